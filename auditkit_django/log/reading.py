"""Entries with their events, in order of seq, chunk by chunk: constant memory, one query per chunk."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple
from uuid import UUID

from django.db.transaction import get_connection

from auditkit_django.log.cursors import fetch_all
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE, EventRow
from auditkit_django.models import Entry, Event

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

CHUNK = 2000

_READ = f"""
SELECT n.seq, n.event_id, n.body, n.leaf_hash, e.id, e.tenant, e.occurred_at, e.recorded_at, e.action, e.category,
       e.severity, e.outcome, e.actor_type, e.actor_id, e.target_type, e.target_id, e.disclosures
FROM {ENTRY_TABLE} n LEFT JOIN {EVENT_TABLE} e ON e.tenant = n.tenant AND e.id = n.event_id
WHERE n.tenant = %s AND n.epoch = %s AND n.seq >= %s
ORDER BY n.seq LIMIT %s
"""


class StoredEntry(NamedTuple):
    """One entry as stored, and the event it stands for; None where that is gone."""

    seq: int
    event_id: UUID
    body: bytes
    leaf_hash: bytes
    event: EventRow | None


def event_row(tenant: str, event_id: object, *, using: str) -> EventRow | None:
    """The row of one event, or None."""
    try:
        key = event_id if isinstance(event_id, UUID) else UUID(str(event_id))
    except ValueError:
        return None
    values = Event.objects.using(using).filter(tenant=tenant, id=key).values_list(*EventRow._fields).first()
    return EventRow._make(values) if values is not None else None


def stored_entries(tenant: str, epoch: int, *, start: int, using: str) -> Iterator[list[StoredEntry]]:
    """Chunks of the entries of one log from ``start`` on, in order of seq, whatever the log's row says of its size."""
    connection = get_connection(using)
    read = _read_postgresql if connection.vendor == "postgresql" else _read_by_orm
    while chunk := read(connection, tenant, epoch, start):
        yield chunk
        start = chunk[-1].seq + 1


def _read_postgresql(connection: BaseDatabaseWrapper, tenant: str, epoch: int, start: int) -> list[StoredEntry]:
    make = EventRow._make
    return [
        StoredEntry(row[0], row[1], row[2], row[3], make(row[4:]) if row[4] is not None else None)
        for row in fetch_all(connection, _READ, (tenant, epoch, start, CHUNK))
    ]


def _read_by_orm(connection: BaseDatabaseWrapper, tenant: str, epoch: int, start: int) -> list[StoredEntry]:
    entries = Entry.objects.using(connection.alias).filter(tenant=tenant, epoch=epoch, seq__gte=start).order_by("seq")
    found = list(entries.values_list("seq", "event_id", "body", "leaf_hash")[:CHUNK])
    events: dict[UUID, EventRow] = {}
    ids = [row[1] for row in found]
    for index in range(0, len(ids), 500):
        rows = Event.objects.using(connection.alias).filter(tenant=tenant, id__in=ids[index : index + 500])
        events.update((row[0], EventRow._make(row)) for row in rows.values_list(*EventRow._fields))
    return [
        StoredEntry(seq, event_id, _bytes(body), _bytes(leaf_hash), events.get(event_id))
        for seq, event_id, body, leaf_hash in found
    ]


def _bytes(value: object) -> bytes:
    # SQLite has no column types: whoever edits by hand may leave text or a number where bytes stood.
    return bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode(errors="replace")
