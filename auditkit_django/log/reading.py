"""Entries with their events, in order of seq, chunk by chunk: constant memory, one query per chunk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from django.db.transaction import get_connection
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware, make_aware

from auditkit_django.log.cursors import fetch_all
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE, EventRow

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

CHUNK = 2000

# Times that Python has no value for (infinity, before Christ) are read as NULL: no entry says that.
_TIME = "CASE WHEN {0} BETWEEN '0001-01-02 00:00:00Z' AND '9999-12-30 00:00:00Z' THEN {0} END"
_TIMES = {
    "postgresql": f"{_TIME.format('e.occurred_at')}, {_TIME.format('e.recorded_at')}",
    # The plus makes them expressions, which Django's converter for datetime columns, strict and first, leaves alone.
    "sqlite": "+e.occurred_at, +e.recorded_at",
}
_READ = f"""
SELECT n.seq, n.event_id, n.body, n.leaf_hash, e.id, e.tenant, %(times)s, e.action, e.category,
       e.severity, e.outcome, e.actor_type, e.actor_id, e.target_type, e.target_id, e.disclosures
FROM {ENTRY_TABLE} n LEFT JOIN {EVENT_TABLE} e ON e.tenant = n.tenant AND e.id = n.event_id
WHERE n.tenant = %%s AND n.epoch = %%s AND n.seq BETWEEN %%s AND 9223372036854775807
ORDER BY n.seq LIMIT %%s
"""
_READ_BY_VENDOR = {vendor: _READ % {"times": times} for vendor, times in _TIMES.items()}


class StoredEntry(NamedTuple):
    """One entry as stored, and the event it stands for; None where that is gone."""

    seq: int
    event_id: UUID
    body: bytes
    leaf_hash: bytes
    event: EventRow | None


_EVENTS = f"""
SELECT e.id, e.tenant, %(times)s, e.action, e.category, e.severity, e.outcome, e.actor_type, e.actor_id, e.target_type,
       e.target_id, e.disclosures
FROM {EVENT_TABLE} e WHERE e.tenant = %%s AND e.id"""
_EVENT_POSTGRESQL = _EVENTS % {"times": _TIMES["postgresql"]} + " = %s"
_EVENTS_SQLITE = _EVENTS % {"times": _TIMES["sqlite"]} + " IN ({places})"


def event_row(tenant: str, event_id: object, *, using: str) -> EventRow | None:
    """The row of one event, or None."""
    try:
        key = event_id if isinstance(event_id, UUID) else UUID(str(event_id))
    except ValueError:
        return None
    connection = get_connection(using)
    if connection.vendor != "postgresql":
        return event_rows(connection, tenant, [key]).get(key)
    rows = fetch_all(connection, _EVENT_POSTGRESQL, (tenant, key))
    return EventRow._make(rows[0]) if rows else None


def event_rows(connection: BaseDatabaseWrapper, tenant: str, ids: Sequence[UUID]) -> dict[UUID, EventRow]:
    """The rows, on SQLite, of at most some hundred events, by id; those that are gone are left out."""
    sql = _EVENTS_SQLITE.format(places=", ".join(["%s"] * len(ids)))
    with connection.cursor() as cursor, _any_bytes_as_text(connection):
        cursor.execute(sql, (tenant, *[id.hex for id in ids]))
        rows = [_sqlite_event(values, connection) for values in cursor.fetchall()]
    return {row.id: row for row in rows}


def stored_entries(tenant: str, epoch: int, *, start: int, using: str) -> Iterator[list[StoredEntry]]:
    """Chunks of the entries of one log from ``start`` on, in order of seq, whatever the log's row says of its size."""
    connection = get_connection(using)
    read = _read_postgresql if connection.vendor == "postgresql" else _read_sqlite
    while chunk := read(connection, tenant, epoch, start):
        yield chunk
        start = chunk[-1].seq + 1


def _read_postgresql(connection: BaseDatabaseWrapper, tenant: str, epoch: int, start: int) -> list[StoredEntry]:
    make = EventRow._make
    return [
        StoredEntry(row[0], row[1], row[2], row[3], make(row[4:]) if row[4] is not None else None)
        for row in fetch_all(connection, _READ_BY_VENDOR["postgresql"], (tenant, epoch, start, CHUNK))
    ]


def _read_sqlite(connection: BaseDatabaseWrapper, tenant: str, epoch: int, start: int) -> list[StoredEntry]:
    with connection.cursor() as cursor, _any_bytes_as_text(connection):
        cursor.execute(_READ_BY_VENDOR["sqlite"], (tenant, epoch, start, CHUNK))
        rows = cursor.fetchall()
    return [
        StoredEntry(
            seq,
            _uuid(event_id),
            _bytes(body),
            _bytes(leaf_hash),
            _sqlite_event(values, connection) if values[0] is not None else None,
        )
        for seq, event_id, body, leaf_hash, *values in rows
    ]


# SQLite has no column types: whoever edits by hand may leave text or a number where bytes stood, and bytes that are no
# text. What cannot be converted comes out as something that no entry says.


def _sqlite_event(values: Sequence[Any], connection: BaseDatabaseWrapper) -> EventRow:
    id, tenant, occurred_at, recorded_at, *texts = values
    moments = (_moment(occurred_at, connection), _moment(recorded_at, connection))
    return EventRow(_uuid(id), _text(tenant), *moments, *map(_text, texts))


@contextmanager
def _any_bytes_as_text(connection: BaseDatabaseWrapper) -> Iterator[None]:
    raw = connection.connection
    raw.text_factory = partial(str, encoding="utf-8", errors="backslashreplace")
    try:
        yield
    finally:
        raw.text_factory = str


def _bytes(value: object) -> bytes:
    return bytes(value) if isinstance(value, (bytes, memoryview)) else str(value).encode(errors="replace")


def _text(value: Any) -> Any:
    return value if value is None or type(value) is str else repr(value)


def _uuid(value: Any) -> Any:
    try:
        return UUID(value)
    except (AttributeError, TypeError, ValueError):
        return value


def _moment(value: Any, connection: BaseDatabaseWrapper) -> Any:
    try:
        moment = parse_datetime(value)
    except (TypeError, ValueError):
        return value
    return value if moment is None else moment if is_aware(moment) else make_aware(moment, connection.timezone)
