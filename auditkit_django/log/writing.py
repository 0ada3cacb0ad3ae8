"""
Event and pending pointer, in the caller's transaction (DESIGN 4.1): the one way in for events.

PostgreSQL: one statement, ``SELECT auditkit_django_record(…)``; from 200 rows up COPY. SQLite: two inserts inside one
(possibly nested) transaction. No lock, no foreign key, no SELECT, no network.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.transaction import get_connection

from auditkit_django.log.cursors import fetch_value, server_cursor
from auditkit_django.log.rows import (
    ENTRY_TABLE,
    EVENT_COLUMNS,
    EVENT_PLACES,
    EVENT_TABLE,
    PENDING_TABLE,
    EventRow,
)
from auditkit_django.log.waking import wake_on_commit

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

COPY_FROM = 200
"""Rows from which COPY beats a multi-row INSERT (benchmarks/)."""

_CHUNK = 500
_EVENT_TYPES = ("uuid", "text", "timestamptz", "timestamptz", *["text"] * 9)
_RECORD = f"SELECT auditkit_django_record({EVENT_PLACES})"
# Rows whose id has an entry are passed over too: the event was pruned, and is in the log all the same.
_RECORD_KEYED = f"""
WITH written AS (
    INSERT INTO {EVENT_TABLE} ({EVENT_COLUMNS})
    SELECT {EVENT_COLUMNS} FROM unnest({", ".join(f"%b::{kind}[]" for kind in _EVENT_TYPES)})
        WITH ORDINALITY AS given ({EVENT_COLUMNS}, place)
    WHERE NOT EXISTS (SELECT 1 FROM {ENTRY_TABLE} n WHERE n.tenant = given.tenant AND n.event_id = given.id)
    ORDER BY place
    ON CONFLICT DO NOTHING RETURNING tenant, id
)
INSERT INTO {PENDING_TABLE} (tenant, event_id) SELECT tenant, id FROM written RETURNING event_id
"""
_INSERT_PENDING = f"INSERT INTO {PENDING_TABLE} (tenant, event_id) VALUES "


def write_event(row: EventRow, *, using: str = DEFAULT_DB_ALIAS, is_new: bool = True, wakes: bool = True) -> bool:
    """
    Write one event with its pointer. False: its id stands already, and nothing was written.

    ``is_new`` says that the id was never used before; where it may have been (idempotency key), SQLite looks first.
    Without ``wakes`` nobody is woken to append it: the caller does so, when its own work is done.
    """
    connection = get_connection(using)
    if connection.vendor == "postgresql":
        has_written = bool(fetch_value(connection, _RECORD, row))
    else:
        with transaction.atomic(using=using, savepoint=False), connection.cursor() as cursor:
            has_written = is_new or not _exists(cursor, row)
            if has_written:
                _insert_rows(cursor, connection, [row])
    if has_written and wakes:
        wake_on_commit(connection)
    return has_written


def is_broken(connection: BaseDatabaseWrapper) -> bool:
    """Whether the open transaction takes no more statements and can only roll back."""
    if not connection.in_atomic_block or connection.needs_rollback:
        return bool(connection.needs_rollback)
    # PostgreSQL refuses everything after a failed statement; Django learns of it only at the end of the block.
    return connection.vendor == "postgresql" and connection.connection.info.transaction_status.name == "INERROR"


def write_again(row: EventRow, *, using: str) -> None:
    """Write an event whose transaction was rolled back; harmless where it stands after all."""
    write_event(row, using=using, is_new=False)


def insert_own_event(connection: BaseDatabaseWrapper, row: EventRow) -> None:
    """Write an event of the log itself, without a pointer: its entry is made in the same transaction."""
    with connection.cursor() as cursor:
        sql = f"INSERT INTO {EVENT_TABLE} ({EVENT_COLUMNS}) VALUES ({EVENT_PLACES})"
        cursor.execute(sql, _adapt(connection, row))


def write_events(rows: Sequence[EventRow], *, using: str = DEFAULT_DB_ALIAS, savepoint: bool = False) -> None:
    """Write many new events, all or none, in their order; with ``savepoint`` a refusal leaves an outer transaction whole."""
    connection = get_connection(using)
    with transaction.atomic(using=using, savepoint=savepoint), connection.cursor() as cursor:
        if connection.vendor == "postgresql" and len(rows) >= COPY_FROM:
            _copy_rows(cursor, rows)
        else:
            _insert_rows(cursor, connection, rows)
        wake_on_commit(connection)


def write_keyed_events(rows: Sequence[EventRow], *, using: str = DEFAULT_DB_ALIAS) -> set[UUID]:
    """
    Write those of ``rows`` whose ids, each only once among them, do not stand yet; the ids that were written. All or none.
    """
    connection = get_connection(using)
    if connection.vendor == "postgresql":
        # One statement, which is its own transaction where there is no other: COPY is faster and takes ten round trips, in each
        # of which a thread that appends takes its turn.
        with server_cursor(connection) as cursor:
            cursor.execute(_RECORD_KEYED, [list(column) for column in zip(*rows, strict=True)])
            written = {row[0] for row in cursor.fetchall()}
        wake_on_commit(connection)
        return written
    with transaction.atomic(using=using, savepoint=False), connection.cursor() as cursor:
        standing = {id for table in (_EVENT_IDS, _ENTRY_IDS) for id in _standing(cursor, table, rows)}
        fresh = [row for row in rows if row.id.hex not in standing]
        _insert_rows(cursor, connection, fresh)
        wake_on_commit(connection)
    return {row.id for row in fresh}


_EVENT_IDS = f"SELECT id FROM {EVENT_TABLE} WHERE (tenant, id) IN (VALUES {{places}})"
_ENTRY_IDS = f"SELECT event_id FROM {ENTRY_TABLE} WHERE (tenant, event_id) IN (VALUES {{places}})"


def _standing(cursor: Any, sql: str, rows: Sequence[EventRow]) -> set[str]:
    found: set[str] = set()
    for at in range(0, len(rows), _CHUNK):
        chunk = rows[at : at + _CHUNK]
        keys = [value for row in chunk for value in (row.tenant, row.id.hex)]
        cursor.execute(sql.format(places=", ".join(["(%s, %s)"] * len(chunk))), keys)
        found.update(row[0] for row in cursor.fetchall())
    return found


def _exists(cursor: Any, row: EventRow) -> bool:
    cursor.execute(f"SELECT 1 FROM {EVENT_TABLE} WHERE tenant = %s AND id = %s", [row.tenant, row.id.hex])
    return cursor.fetchone() is not None


def _insert_rows(cursor: Any, connection: BaseDatabaseWrapper, rows: Sequence[EventRow]) -> None:
    # 13 columns: 500 rows stay far below the 65,535 parameters of PostgreSQL and the 32,766 of SQLite.
    iterator = iter(rows)
    while chunk := list(islice(iterator, _CHUNK)):
        values = [value for row in chunk for value in _adapt(connection, row)]
        places = ", ".join([f"({EVENT_PLACES})"] * len(chunk))
        cursor.execute(f"INSERT INTO {EVENT_TABLE} ({EVENT_COLUMNS}) VALUES {places}", values)
        pointers = [value for row in chunk for value in (row.tenant, _id(connection, row))]
        cursor.execute(_INSERT_PENDING + ", ".join(["(%s, %s)"] * len(chunk)), pointers)


def _copy_rows(cursor: Any, rows: Sequence[EventRow]) -> None:
    with cursor.copy(f"COPY {EVENT_TABLE} ({EVENT_COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(_EVENT_TYPES)
        for row in rows:
            copy.write_row(row)
    with cursor.copy(f"COPY {PENDING_TABLE} (tenant, event_id) FROM STDIN (FORMAT BINARY)") as copy:
        copy.set_types(("text", "uuid"))
        for row in rows:
            copy.write_row((row.tenant, row.id))


def _adapt(connection: BaseDatabaseWrapper, row: EventRow) -> Sequence[Any]:
    if connection.vendor == "postgresql":
        return row
    adapt_time = connection.ops.adapt_datetimefield_value
    return (row.id.hex, row.tenant, adapt_time(row.occurred_at), adapt_time(row.recorded_at), *row[4:])


def _id(connection: BaseDatabaseWrapper, row: EventRow) -> object:
    return row.id if connection.vendor == "postgresql" else row.id.hex
