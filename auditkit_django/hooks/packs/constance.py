"""constance."""

from __future__ import annotations

HOOK = "constance"


def connect() -> None:
    """Connect."""
