"""otp."""

from __future__ import annotations

HOOK = "otp"


def connect() -> None:
    """Connect."""
