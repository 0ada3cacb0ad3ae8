"""organizations."""

from __future__ import annotations

HOOK = "organizations"


def connect() -> None:
    """Connect."""
