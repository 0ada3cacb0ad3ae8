"""allauth."""

from __future__ import annotations

HOOK = "allauth"


def connect() -> None:
    """Connect."""
