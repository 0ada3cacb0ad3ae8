"""The columns of an event, in the order in which every statement writes them."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import NamedTuple
from uuid import UUID


class EventRow(NamedTuple):
    """One row of ``auditkit_django_event``: the columns of ``models.Event`` in their order."""

    id: UUID
    tenant: str
    occurred_at: datetime
    recorded_at: datetime
    action: str
    category: str
    severity: str
    outcome: str
    actor_type: str | None
    actor_id: str | None
    target_type: str | None
    target_id: str | None
    disclosures: str | None


EVENT_COLUMNS = ", ".join(EventRow._fields)
EVENT_PLACES = ", ".join(["%s"] * len(EventRow._fields))
EVENT_TABLE = "auditkit_django_event"
PENDING_TABLE = "auditkit_django_pending"
ENTRY_TABLE = "auditkit_django_entry"
LOG_TABLE = "auditkit_django_log"


def row_digest(row: EventRow) -> str:
    """SHA-256, in hex, over all columns of an event as one JSON list: what a quarantine entry remembers of it."""
    columns = [value.isoformat() if isinstance(value, datetime) else value for value in row[1:]]
    return hashlib.sha256(json.dumps([row.id.hex, *columns], ensure_ascii=True).encode()).hexdigest()
