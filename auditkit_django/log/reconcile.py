"""
Reconciliation: an event that has neither entry nor pointer gets its pointer back.

``record()`` cannot leave such an event behind (one statement); a restore, a hand-written INSERT or a deleted pointer
can. It is put in the queue again and said loudly; ``verify`` reports it until it is appended.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Exists, OuterRef
from django.db.transaction import get_connection

from auditkit_django.log.own import QUARANTINED
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE, PENDING_TABLE
from auditkit_django.models import Entry, Pending

logger = logging.getLogger("auditkit_django")

_QUARANTINE_KEY = {"postgresql": "replace(e.id::text, '-', '')", "sqlite": "e.id"}


def unlogged_events(tenant: str, *, using: str = DEFAULT_DB_ALIAS, limit: int = 1000) -> list[UUID]:
    """Ids of events of ``tenant`` with neither entry nor pointer nor quarantine entry, at most ``limit``, in order of id."""
    connection = get_connection(using)
    # EXCEPT, which sorts or hashes each side once. As NOT EXISTS the planner, told by old statistics that the queue is
    # empty, walks the dead pointers of the tenant again for every event.
    sql = f"""
        SELECT e.id FROM (
            SELECT id FROM {EVENT_TABLE} WHERE tenant = %s
            EXCEPT SELECT event_id FROM {ENTRY_TABLE} WHERE tenant = %s
            EXCEPT SELECT event_id FROM {PENDING_TABLE} WHERE tenant = %s) e
        WHERE NOT EXISTS (SELECT 1 FROM {EVENT_TABLE} q WHERE q.tenant = %s AND q.action = %s
                          AND q.target_id = {_QUARANTINE_KEY[connection.vendor]})
        ORDER BY e.id LIMIT %s"""
    with connection.cursor() as cursor:
        cursor.execute(sql, [tenant, tenant, tenant, tenant, QUARANTINED, limit])
        return [_uuid(value) for (value,) in cursor.fetchall()]


def reconcile(tenant: str, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Queue the unlogged events of ``tenant`` again; how many. Of two pointers to one event the appender drops one."""
    connection = get_connection(using)
    found = [id for id in unlogged_events(tenant, using=using) if isinstance(id, UUID)]
    if found:
        logger.error(
            "auditkit: %d events of tenant %s had neither entry nor pointer and are queued again", len(found), tenant
        )
        ids = [id if connection.vendor == "postgresql" else id.hex for id in found]
        with transaction.atomic(using=using), connection.cursor() as cursor:
            cursor.executemany(
                f"INSERT INTO {PENDING_TABLE} (tenant, event_id) VALUES (%s, %s)", [(tenant, id) for id in ids]
            )
    return len(found)


def drop_needless_pointers(tenants: Sequence[str], *, using: str = DEFAULT_DB_ALIAS) -> int:
    """Delete pointers to events that have their entry, and all but the first of those to one event; how many."""
    pointers, same = Pending.objects.using(using), {"tenant": OuterRef("tenant"), "event_id": OuterRef("event_id")}
    is_logged = Exists(Entry.objects.using(using).filter(**same))
    is_second = Exists(pointers.filter(**same, id__lt=OuterRef("id")))
    count, _by_model = pointers.filter(is_logged | is_second, tenant__in=tenants).delete()
    if count:
        logger.error("auditkit: %d pending pointers to events that are in the log or in the queue were dropped", count)
    return count


def _uuid(value: Any) -> Any:
    try:
        return UUID(str(value))
    except ValueError:
        # SQLite has no column types: an id that is none was written by hand. It is reported as it stands.
        return value
