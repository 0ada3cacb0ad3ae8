"""waffle."""

from __future__ import annotations

HOOK = "waffle"


def connect() -> None:
    """Connect."""
