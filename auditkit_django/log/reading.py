"""Entries with their events, in order of seq, chunk by chunk: constant memory, one query per chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import UUID

from django.db.transaction import get_connection
from django.utils.dateparse import parse_datetime
from django.utils.timezone import is_aware, make_aware

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.entry import format_time
from auditkit_django.log.cursors import fetch_all
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE, EventRow
from auditkit_django.models import Entry
from auditkit_django.sql.postgresql import entry_time

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_Row = TypeVar("_Row", bound=tuple[Any, ...])

CHUNK = 2000
MAX_SEQ = 2**63 - 1

# Times that Python has no value for (infinity, before Christ) are read as NULL: no entry says that.
_TIME = "CASE WHEN {0} BETWEEN '0001-01-02 00:00:00Z' AND '9999-12-30 00:00:00Z' THEN {0} END"
_TIMES = {
    "postgresql": f"{_TIME.format('e.occurred_at')}, {_TIME.format('e.recorded_at')}",
    # The plus makes them expressions, which Django's converter for datetime columns, strict and first, leaves alone.
    "sqlite": "+e.occurred_at, +e.recorded_at",
}
# A range of the primary key with both its ends, so that no other index of the tenant looks as good to a planner without
# statistics, which would read the whole log again for each chunk.
_READ = f"""
SELECT n.seq, %(entry_id)s, n.body, n.leaf_hash, %(id)s, e.tenant, %(times)s, e.action, e.category,
       e.severity, e.outcome, e.actor_type, e.actor_id, e.target_type, e.target_id, e.disclosures
FROM {ENTRY_TABLE} n LEFT JOIN {EVENT_TABLE} e ON e.tenant = n.tenant AND e.id = n.event_id
WHERE n.tenant = %%s AND n.epoch = %%s AND n.seq >= %%s AND n.seq < %%s
"""
# Texts as entries have them, made by the database: nothing is built here only to be written out again.
_READ_POSTGRESQL = _READ % {
    "entry_id": "n.event_id::text",
    "id": "e.id::text",
    "times": f"{entry_time('e.occurred_at')}, {entry_time('e.recorded_at')}",
}
_READ_SQLITE = _READ % {"entry_id": "n.event_id", "id": "e.id", "times": _TIMES["sqlite"]}


_READ_DISCLOSED = f"""
SELECT n.seq, %(entry_id)s, n.body, e.disclosures
FROM {ENTRY_TABLE} n LEFT JOIN {EVENT_TABLE} e ON e.tenant = n.tenant AND e.id = n.event_id
WHERE n.tenant = %%s AND n.epoch = %%s AND n.seq >= %%s AND n.seq < %%s
"""
_READ_DISCLOSED_POSTGRESQL = _READ_DISCLOSED % {"entry_id": "n.event_id::text"}
_READ_DISCLOSED_SQLITE = _READ_DISCLOSED % {"entry_id": "n.event_id"}


class DisclosedEntry(NamedTuple):
    """One entry, and what opens its digests (None where nothing does); ``event_id`` is UUID text."""

    seq: int
    event_id: str
    body: bytes
    disclosures: str | None


class StoredEvent(NamedTuple):
    """The columns of an event as an entry would say them: id and times are text, None where no entry can."""

    id: str
    tenant: str
    occurred_at: str | None
    recorded_at: str | None
    action: str
    category: str
    severity: str
    outcome: str
    actor_type: str | None
    actor_id: str | None
    target_type: str | None
    target_id: str | None
    disclosures: str | None


class StoredEntry(NamedTuple):
    """One entry as stored, and the event it stands for; None where that is gone. ``event_id`` is UUID text."""

    seq: int
    event_id: str
    body: bytes
    leaf_hash: bytes
    event: StoredEvent | None


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
    return _in_chunks(tenant, epoch, start, {"postgresql": _read_postgresql, "sqlite": _read_sqlite}, using=using)


def disclosed_entries(tenant: str, epoch: int, *, start: int, using: str) -> Iterator[list[DisclosedEntry]]:
    """The same with no more than evidence shows of them."""
    reads = {"postgresql": _read_disclosed_postgresql, "sqlite": _read_disclosed_sqlite}
    return _in_chunks(tenant, epoch, start, reads, using=using)


def _in_chunks(
    tenant: str,
    epoch: int,
    start: int,
    reads: Mapping[str, Callable[[BaseDatabaseWrapper, str, int, int], list[_Row]]],
    *,
    using: str,
) -> Iterator[list[_Row]]:
    connection = get_connection(using)
    read_rows = reads[connection.vendor]
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="auditkit-verify") as reader:
        # The database finds the next chunk while this one is checked; psycopg's connection serialises who uses it.
        def read(start: int) -> Future[list[_Row]]:
            if connection.vendor == "postgresql":
                return reader.submit(read_rows, connection, tenant, epoch, start)
            # SQLite's connection belongs to its thread.
            done: Future[list[_Row]] = Future()
            done.set_result(read_rows(connection, tenant, epoch, start))
            return done

        ahead = read(start)
        while True:
            chunk, at = ahead.result(), start
            start += CHUNK
            if len(chunk) < CHUNK:
                found = _next_seq(tenant, epoch, start, using=using)
                if found is None:
                    if chunk:
                        yield chunk
                    return
                # A gap, or entries that were appended since: all before the one that was found are there by now.
                chunk, start = read(at).result(), found
            ahead = read(start)
            if chunk:
                yield chunk


def _next_seq(tenant: str, epoch: int, start: int, *, using: str) -> int | None:
    """Where the log goes on after a gap longer than a chunk; None at its end."""
    after = Entry.objects.using(using).filter(tenant=tenant, epoch=epoch, seq__gte=start, seq__lte=MAX_SEQ)
    return after.order_by("seq").values_list("seq", flat=True).first()


def _read_postgresql(connection: BaseDatabaseWrapper, tenant: str, epoch: int, start: int) -> list[StoredEntry]:
    make = StoredEvent._make
    rows = fetch_all(connection, _READ_POSTGRESQL, (tenant, epoch, start, start + CHUNK))
    return [
        StoredEntry(row[0], row[1], row[2], row[3], make(row[4:]) if row[4] is not None else None)
        for row in sorted(rows, key=itemgetter(0))
    ]


def _read_sqlite(connection: BaseDatabaseWrapper, tenant: str, epoch: int, start: int) -> list[StoredEntry]:
    with connection.cursor() as cursor, _any_bytes_as_text(connection):
        cursor.execute(_READ_SQLITE, (tenant, epoch, start, start + CHUNK))
        rows = sorted(cursor.fetchall(), key=itemgetter(0))
    return [
        StoredEntry(
            seq,
            str(_uuid(event_id)),
            _bytes(body),
            _bytes(leaf_hash),
            _stored_event(_sqlite_event(values, connection)) if values[0] is not None else None,
        )
        for seq, event_id, body, leaf_hash, *values in rows
    ]


def _read_disclosed_postgresql(
    connection: BaseDatabaseWrapper, tenant: str, epoch: int, start: int
) -> list[DisclosedEntry]:
    rows = fetch_all(connection, _READ_DISCLOSED_POSTGRESQL, (tenant, epoch, start, start + CHUNK))
    return list(map(DisclosedEntry._make, sorted(rows, key=itemgetter(0))))


def _read_disclosed_sqlite(
    connection: BaseDatabaseWrapper, tenant: str, epoch: int, start: int
) -> list[DisclosedEntry]:
    with connection.cursor() as cursor, _any_bytes_as_text(connection):
        cursor.execute(_READ_DISCLOSED_SQLITE, (tenant, epoch, start, start + CHUNK))
        rows = sorted(cursor.fetchall(), key=itemgetter(0))
    return [
        DisclosedEntry(seq, str(_uuid(event_id)), _bytes(body), _text(disclosures))
        for seq, event_id, body, disclosures in rows
    ]


def _stored_event(row: EventRow) -> StoredEvent:
    return StoredEvent(str(row.id), row.tenant, _entry_time(row.occurred_at), _entry_time(row.recorded_at), *row[4:])


def _entry_time(moment: object) -> str:
    try:
        return format_time(moment)  # type: ignore[arg-type]
    except (MalformedError, AttributeError):
        return repr(moment)


# SQLite has no column types: whoever edits by hand may leave text or a number where bytes stood, and bytes that are no
# text. What cannot be converted comes out as something that no entry says.


def _sqlite_event(values: Sequence[Any], connection: BaseDatabaseWrapper) -> EventRow:
    id, tenant, occurred_at, recorded_at, *texts = values
    moments = (_moment(occurred_at, connection), _moment(recorded_at, connection))
    return EventRow(_uuid(id), _text(tenant), *moments, *map(_text, texts))


@contextmanager
def any_text(using: str) -> Iterator[None]:
    """Inside, SQLite gives text that is not UTF-8 with escapes instead of an error."""
    connection = get_connection(using)
    if connection.vendor != "sqlite":
        yield
        return
    connection.ensure_connection()
    with _any_bytes_as_text(connection):
        yield


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
