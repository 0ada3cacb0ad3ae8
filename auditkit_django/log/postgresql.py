"""
The appender's statements on PostgreSQL. Their order and separation carry the guarantees.

Locking and reading are two statements: one combined statement would, under READ COMMITTED, re-read the head at its
new value and the pointers at the old snapshot. The head's row lock is the mutual exclusion; SKIP LOCKED in one order
means no waiting and no deadlock; the unique keys are the backstop.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING

from auditkit_django.log.cursors import fetch_all, server_cursor
from auditkit_django.log.heads import EntryRow, Head
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE, LOG_TABLE, PENDING_TABLE, PendingEvent
from auditkit_django.sql.postgresql import entry_time

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_COPY_PART = 100
_MAX_ID = 2**63 - 1

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

# The pointers go in the same statement that reads them: one pass over their index instead of two. Taken are the rows
# that are there, oldest first, never a range of ids: a row that commits late with a lower id is taken by a later pass.
# Compared as whole keys, so that the index gives their order: else a planner without statistics sorts the whole queue.
_TAKE = f"""
WITH taken AS (
    DELETE FROM {PENDING_TABLE} p
    USING unnest(%(tenants)s::text[]) AS q(tenant)
    CROSS JOIN LATERAL (
        SELECT id FROM {PENDING_TABLE} WHERE (tenant, id) >= (q.tenant, 0) AND (tenant, id) <= (q.tenant, {_MAX_ID})
        ORDER BY tenant, id LIMIT %(limit)s) o
    WHERE p.tenant = q.tenant AND p.id = o.id
    RETURNING p.tenant, p.id, p.event_id)
SELECT t.tenant, t.id, e.id::text,
       {entry_time("e.occurred_at")}, {entry_time("e.recorded_at")},
       e.action, e.category, e.severity, e.outcome, e.disclosures
FROM taken t LEFT JOIN {EVENT_TABLE} e ON e.tenant = t.tenant AND e.id = t.event_id
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


def take_pending(connection: BaseDatabaseWrapper, tenants: Sequence[str], *, limit: int) -> list[PendingEvent]:
    """
    The oldest pending events of each of ``tenants``, whose pointers are deleted; ``id`` is None where the event is gone.
    """
    rows = fetch_all(connection, _TAKE, {"tenants": list(tenants), "limit": limit})
    # Sorted here: the database would sort the wide rows, on disk from its work memory on.
    return [PendingEvent._make(row) for row in sorted(rows, key=itemgetter(0, 1))]


def insert_entries(connection: BaseDatabaseWrapper, entries: Iterable[EntryRow]) -> None:
    """
    Write ``entries`` by COPY, taking them one by one: the server stores the first while the last are being made.

    The lines are put together here: of all columns only the tenant can hold a character that COPY would read.
    """
    with (
        server_cursor(connection) as cursor,
        cursor.copy(f"COPY {ENTRY_TABLE} (tenant, epoch, seq, event_id, body, leaf_hash) FROM STDIN") as copy,
    ):
        iterator = iter(entries)
        while part := list(islice(iterator, _COPY_PART)):
            copy.write("".join([_copy_line(entry) for entry in part]))


def _copy_line(entry: EntryRow) -> str:
    tenant, epoch, seq, event_id, body, leaf_hash = entry
    if "\\" in tenant:
        tenant = tenant.replace("\\", "\\\\")
    return f"{tenant}\t{epoch}\t{seq}\t{event_id}\t\\\\x{body.hex()}\t\\\\x{leaf_hash.hex()}\n"


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
