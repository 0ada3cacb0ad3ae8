"""
The appender's statements on SQLite, in the ORM's words.

There is one writer at a time, so nothing is locked or skipped: ``BEGIN IMMEDIATE`` (``transaction_mode``) is the mutual
exclusion. A deferred BEGIN that has read and then writes would fail at once when another connection committed between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING
from uuid import UUID

from django.db.models import Exists, OuterRef

from auditkit_django.ledger.entry import format_time
from auditkit_django.log.heads import EntryRow, Head
from auditkit_django.log.reading import event_rows
from auditkit_django.log.rows import EventRow, PendingEvent
from auditkit_django.models import Entry, Log, Pending

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


def take_pending(connection: BaseDatabaseWrapper, tenants: Sequence[str], *, limit: int) -> list[PendingEvent]:
    """
    The oldest pending events of each of ``tenants``, whose pointers are deleted; ``id`` is None where the event is gone.
    """
    found: list[PendingEvent] = []
    for tenant in tenants:
        pending = Pending.objects.using(connection.alias).filter(tenant=tenant)
        pointers = list(pending.order_by("id").values_list("id", "event_id")[:limit])
        for start in range(0, len(pointers), _CHUNK):
            found += _take(connection, tenant, pointers[start : start + _CHUNK])
    return found


def _take(connection: BaseDatabaseWrapper, tenant: str, pointers: list[tuple[int, UUID]]) -> list[PendingEvent]:
    by_id = event_rows(connection, tenant, [event_id for _pk, event_id in pointers])
    Pending.objects.using(connection.alias).filter(tenant=tenant, id__in=[pk for pk, _event_id in pointers]).delete()
    return [_pending_event(tenant, pk, by_id.get(event_id)) for pk, event_id in pointers]


def _pending_event(tenant: str, pointer: int, event: EventRow | None) -> PendingEvent:
    if event is None:
        return PendingEvent(tenant, pointer, *[None] * 8)  # type: ignore[arg-type]
    return PendingEvent(
        tenant,
        pointer,
        str(event.id),
        _time_text(event.occurred_at),
        _time_text(event.recorded_at),
        event.action,
        event.category,
        event.severity,
        event.outcome,
        event.disclosures,
    )


def _time_text(moment: object) -> str:
    # Empty, which is malformed, where somebody wrote into the column by hand what is no time.
    return format_time(moment) if isinstance(moment, datetime) else ""


def insert_entries(connection: BaseDatabaseWrapper, entries: Iterable[EntryRow]) -> None:
    """Write ``entries``."""
    rows = [Entry(**entry._asdict()) for entry in entries]
    Entry.objects.using(connection.alias).bulk_create(rows, batch_size=_CHUNK)


def update_heads(connection: BaseDatabaseWrapper, heads: Sequence[Head], old_sizes: Sequence[int]) -> int:
    """Move the heads from their old sizes (compare-and-set); how many rows moved."""
    return sum(
        Log.objects.using(connection.alias)
        .filter(tenant=head.tenant, epoch=head.epoch, size=old_size)
        .update(size=head.size, head_hash=head.hash, head_time=head.time)
        for head, old_size in zip(heads, old_sizes, strict=True)
    )
