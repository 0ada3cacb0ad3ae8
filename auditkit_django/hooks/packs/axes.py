"""axes."""

from __future__ import annotations

HOOK = "axes"


def connect() -> None:
    """Connect."""
