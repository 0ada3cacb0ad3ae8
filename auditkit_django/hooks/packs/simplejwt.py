"""simplejwt."""

from __future__ import annotations

HOOK = "simplejwt"


def connect() -> None:
    """Connect."""
