"""hijack."""

from __future__ import annotations

HOOK = "hijack"


def connect() -> None:
    """Connect."""
