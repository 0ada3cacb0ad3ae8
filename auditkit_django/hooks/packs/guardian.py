"""guardian."""

from __future__ import annotations

HOOK = "guardian"


def connect() -> None:
    """Connect."""
