"""rest_framework_api_key."""

from __future__ import annotations

HOOK = "rest_framework_api_key"


def connect() -> None:
    """Connect."""
