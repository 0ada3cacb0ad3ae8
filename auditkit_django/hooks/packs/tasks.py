"""tasks."""

from __future__ import annotations

HOOK = "tasks"


def connect() -> None:
    """Connect."""
