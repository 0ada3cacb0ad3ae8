"""How an API key stands, in one word."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final, Literal

from auditkit_django.models import ApiKey

State = Literal["valid", "expires soon", "rotated", "expired", "revoked"]

#: Before the end of a key, when somebody should rotate it.
SOON: Final = timedelta(days=14)


def state_of(key: ApiKey, now: datetime) -> State:
    """The state of ``key`` at ``now``; "rotated" is one that has a successor and is still valid beside it."""
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at is not None and key.expires_at <= now:
        return "expired"
    if key.successor_id is not None:
        return "rotated"
    return "expires soon" if key.expires_at is not None and key.expires_at - now <= SOON else "valid"
