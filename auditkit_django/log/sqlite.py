"""
The appender's statements on SQLite, in the ORM's words.

There is one writer at a time, so nothing is locked or skipped: ``BEGIN IMMEDIATE`` (``transaction_mode``) is the mutual
exclusion. A deferred BEGIN that has read and then writes would fail at once when another connection committed between.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from django.db.models import Exists, OuterRef

from auditkit_django.log.heads import EntryRow, Head
from auditkit_django.log.rows import EventRow
from auditkit_django.models import Entry, Event, Log, Pending

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

_CHUNK = 500


def begin(connection: BaseDatabaseWrapper) -> None:
    """Nothing to set."""


def waiting_tenants(connection: BaseDatabaseWrapper, *, after: str, limit: int) -> list[tuple[str, bool]]:
    """Tenants beyond ``after`` with pending rows, in order, each with whether it has a log."""
    has_log = Exists(Log.objects.using(connection.alias).filter(tenant=OuterRef("tenant")))
    waiting = Pending.objects.using(connection.alias).filter(tenant__gt=after).annotate(has_log=has_log)
    return list(waiting.order_by("tenant").values_list("tenant", "has_log").distinct()[:limit])


def lock_heads(connection: BaseDatabaseWrapper, tenants: Sequence[str]) -> list[Head]:
    """The heads of the open logs of ``tenants``."""
    logs = Log.objects.using(connection.alias).filter(tenant__in=tenants, state=Log.State.OPEN).order_by("tenant")
    return [
        Head(
            tenant=log.tenant,
            epoch=log.epoch,
            origin=log.origin,
            size=log.size,
            hash=bytes(log.head_hash),
            time=log.head_time,
        )
        for log in logs
    ]


def read_pending(
    connection: BaseDatabaseWrapper, tenants: Sequence[str], *, limit: int
) -> list[tuple[int, str, EventRow | None]]:
    """Pointer id, tenant and event (None: it is gone) of the oldest pending rows of each of ``tenants``."""
    found: list[tuple[int, str, EventRow | None]] = []
    for tenant in tenants:
        pending = Pending.objects.using(connection.alias).filter(tenant=tenant).order_by("id")
        pointers = list(pending.values_list("id", "event_id")[:limit])
        for start in range(0, len(pointers), _CHUNK):
            part = pointers[start : start + _CHUNK]
            events = Event.objects.using(connection.alias).filter(tenant=tenant, id__in=[id for _pk, id in part])
            by_id = {values[0]: EventRow._make(values) for values in events.values_list(*EventRow._fields)}
            found += [(pk, tenant, by_id.get(event_id)) for pk, event_id in part]
    return found


def insert_entries(connection: BaseDatabaseWrapper, entries: Sequence[EntryRow]) -> None:
    """Write ``entries``."""
    rows = [Entry(**entry._asdict()) for entry in entries]
    Entry.objects.using(connection.alias).bulk_create(rows, batch_size=_CHUNK)


def delete_pending(connection: BaseDatabaseWrapper, pointers: Sequence[tuple[str, int]]) -> None:
    """Delete the pointers ``(tenant, id)``."""
    by_tenant: dict[str, list[int]] = defaultdict(list)
    for tenant, pk in pointers:
        by_tenant[tenant].append(pk)
    for tenant, pks in by_tenant.items():
        for start in range(0, len(pks), _CHUNK):
            Pending.objects.using(connection.alias).filter(tenant=tenant, id__in=pks[start : start + _CHUNK]).delete()


def update_heads(connection: BaseDatabaseWrapper, heads: Sequence[Head], old_sizes: Sequence[int]) -> int:
    """Move the heads from their old sizes (compare-and-set); how many rows moved."""
    return sum(
        Log.objects.using(connection.alias)
        .filter(tenant=head.tenant, epoch=head.epoch, size=old_size)
        .update(size=head.size, head_hash=head.hash, head_time=head.time)
        for head, old_size in zip(heads, old_sizes, strict=True)
    )
