"""The columns of an event, in the order in which every statement writes them."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from auditkit_django.ledger.entry import format_time


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


class PendingEvent(NamedTuple):
    """An event as the appender needs it: texts ready for its entry, nothing of what is only searched."""

    tenant: str
    pointer: int
    id: str
    at: str
    rec: str
    action: str
    category: str
    severity: str
    outcome: str
    disclosures: str | None


def pending_event(row: EventRow) -> PendingEvent:
    """What the appender needs of ``row`` (for events that the log writes itself: there is no pointer)."""
    return PendingEvent(
        row.tenant,
        0,
        str(row.id),
        format_time(row.occurred_at),
        format_time(row.recorded_at),
        row.action,
        row.category,
        row.severity,
        row.outcome,
        row.disclosures,
    )


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
