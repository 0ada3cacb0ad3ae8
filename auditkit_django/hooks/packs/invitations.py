"""invitations."""

from __future__ import annotations

HOOK = "invitations"


def connect() -> None:
    """Connect."""
