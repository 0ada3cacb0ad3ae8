"""two_factor."""

from __future__ import annotations

HOOK = "two_factor"


def connect() -> None:
    """Connect."""
