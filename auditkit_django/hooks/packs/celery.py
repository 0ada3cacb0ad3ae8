"""celery."""

from __future__ import annotations

HOOK = "celery"


def connect() -> None:
    """Connect."""
