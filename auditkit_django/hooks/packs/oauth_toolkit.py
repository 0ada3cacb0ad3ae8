"""oauth_toolkit."""

from __future__ import annotations

HOOK = "oauth_toolkit"


def connect() -> None:
    """Connect."""
