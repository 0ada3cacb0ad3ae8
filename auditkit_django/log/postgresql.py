"""
The appender's statements on PostgreSQL. Their order and separation carry the guarantees.

Locking and reading are two statements: one combined statement would, under READ COMMITTED, re-read the head at its
new value and the pointers at the old snapshot. The head's row lock is the mutual exclusion; SKIP LOCKED in one order
means no waiting and no deadlock; the unique keys are the backstop.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from auditkit_django.log.cursors import fetch_all, server_cursor
from auditkit_django.log.heads import EntryRow, Head
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE, LOG_TABLE, PENDING_TABLE, EventRow

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

#: One round trip, first in the transaction. A host may run with another default isolation level.
BEGIN = (
    "SET TRANSACTION ISOLATION LEVEL READ COMMITTED;"
    " SET LOCAL lock_timeout = '2s'; SET LOCAL statement_timeout = '30s';"
    " SET LOCAL idle_in_transaction_session_timeout = '60s'"
)

# A loose index scan: one index probe per tenant that has pending rows, however many rows there are.
_WAITING = f"""
WITH RECURSIVE t AS (
    (SELECT tenant FROM {PENDING_TABLE} WHERE tenant > %(after)s ORDER BY tenant LIMIT 1)
    UNION ALL
    SELECT (SELECT p.tenant FROM {PENDING_TABLE} p WHERE p.tenant > t.tenant ORDER BY p.tenant LIMIT 1)
    FROM t WHERE t.tenant IS NOT NULL)
SELECT tenant, EXISTS (SELECT 1 FROM {LOG_TABLE} l WHERE l.tenant = t.tenant)
FROM t WHERE tenant IS NOT NULL LIMIT %(limit)s
"""

_LOCK = f"""
SELECT tenant, epoch, origin, size, head_hash, head_time FROM {LOG_TABLE}
WHERE tenant = ANY(%s) AND state = 'open' ORDER BY tenant FOR UPDATE SKIP LOCKED
"""

_READ = f"""
SELECT p.id, e.id, e.tenant, e.occurred_at, e.recorded_at, e.action, e.category, e.severity, e.outcome,
       e.actor_type, e.actor_id, e.target_type, e.target_id, e.disclosures, p.tenant
FROM unnest(%(tenants)s::text[]) AS q(tenant)
CROSS JOIN LATERAL (
    SELECT id, tenant, event_id FROM {PENDING_TABLE} WHERE tenant = q.tenant ORDER BY id LIMIT %(limit)s) p
LEFT JOIN {EVENT_TABLE} e ON e.tenant = p.tenant AND e.id = p.event_id
ORDER BY p.tenant, p.id
"""

# Joined on unnest: as two ANY() conditions the delete is quadratic.
_DELETE = f"""
DELETE FROM {PENDING_TABLE} p USING unnest(%s::text[], %s::bigint[]) AS b(tenant, id)
WHERE p.tenant = b.tenant AND p.id = b.id
"""

_UPDATE = f"""
UPDATE {LOG_TABLE} l SET size = b.new, head_hash = b.hash, head_time = b.time
FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bytea[], %s::timestamptz[])
     AS b(tenant, epoch, old, new, hash, time)
WHERE l.tenant = b.tenant AND l.epoch = b.epoch AND l.size = b.old
"""


def begin(connection: BaseDatabaseWrapper) -> None:
    """Settings of this transaction alone."""
    with connection.cursor() as cursor:
        cursor.execute(BEGIN)


def waiting_tenants(connection: BaseDatabaseWrapper, *, after: str, limit: int) -> list[tuple[str, bool]]:
    """Tenants beyond ``after`` with pending rows, in order, each with whether it has a log."""
    return list(fetch_all(connection, _WAITING, {"after": after, "limit": limit}))


def lock_heads(connection: BaseDatabaseWrapper, tenants: Sequence[str]) -> list[Head]:
    """The heads of the open logs of ``tenants``, locked to the end of the transaction; those held elsewhere are skipped."""
    return [
        Head(tenant=tenant, epoch=epoch, origin=origin, size=size, hash=bytes(head_hash), time=time)
        for tenant, epoch, origin, size, head_hash, time in fetch_all(connection, _LOCK, [list(tenants)])
    ]


def read_pending(
    connection: BaseDatabaseWrapper, tenants: Sequence[str], *, limit: int
) -> list[tuple[int, str, EventRow | None]]:
    """Pointer id, tenant and event (None: it is gone) of the oldest pending rows of each of ``tenants``."""
    make = EventRow._make
    rows = fetch_all(connection, _READ, {"tenants": list(tenants), "limit": limit})
    return [(row[0], row[14], make(row[1:14]) if row[1] is not None else None) for row in rows]


def insert_entries(connection: BaseDatabaseWrapper, entries: Sequence[EntryRow]) -> None:
    """Write ``entries`` by COPY."""
    with (
        server_cursor(connection) as cursor,
        cursor.copy(
            f"COPY {ENTRY_TABLE} (tenant, epoch, seq, event_id, body, leaf_hash) FROM STDIN (FORMAT BINARY)"
        ) as copy,
    ):
        copy.set_types(("text", "int4", "int8", "uuid", "bytea", "bytea"))
        for entry in entries:
            copy.write_row(entry)


def delete_pending(connection: BaseDatabaseWrapper, pointers: Sequence[tuple[str, int]]) -> None:
    """Delete the pointers ``(tenant, id)``."""
    with server_cursor(connection) as cursor:
        cursor.execute(_DELETE, [[tenant for tenant, _id in pointers], [id for _tenant, id in pointers]])


def update_heads(connection: BaseDatabaseWrapper, heads: Sequence[Head], old_sizes: Sequence[int]) -> int:
    """Move the heads from their old sizes (compare-and-set); how many rows moved."""
    with server_cursor(connection) as cursor:
        cursor.execute(
            _UPDATE,
            [
                [head.tenant for head in heads],
                [head.epoch for head in heads],
                list(old_sizes),
                [head.size for head in heads],
                [head.hash for head in heads],
                [head.time for head in heads],
            ],
        )
        return int(cursor.rowcount)
