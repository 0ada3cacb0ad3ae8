"""Ids of events: UUIDv7, or derived from the tenant and an idempotency key."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from uuid import UUID


def new_id(moment: datetime) -> UUID:
    """A UUIDv7 of ``moment`` (RFC 9562, section 5.7): millisecond time, then 74 random bits. Sorts by time."""
    milliseconds = int(moment.timestamp() * 1000)
    random = int.from_bytes(os.urandom(10))
    return UUID(
        int=(milliseconds & 0xFFFFFFFFFFFF) << 80
        | 0x7 << 76
        | (random & 0xFFF) << 64
        | 0b10 << 62
        | (random >> 16) & 0x3FFFFFFFFFFFFFFF
    )


def id_of_key(tenant: str, idempotency_key: str) -> UUID:
    """The id that stands for ``idempotency_key`` in the log of ``tenant`` (UUIDv8, from SHA-256), the same for ever."""
    digest = hashlib.sha256(f"auditkit-django/idempotency/1\n{tenant}\n{idempotency_key}".encode()).digest()
    number = int.from_bytes(digest[:16])
    return UUID(int=number & ~(0xF << 76) & ~(0b11 << 62) | 0x8 << 76 | 0b10 << 62)
