"""Entries by the thousand, for what depends on a log's size alone: a chain of well-formed entries without their events."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from django.utils import timezone

from auditkit_django.log.heads import Head, ReadyEvent, extend
from auditkit_django.log.rows import PendingEvent
from auditkit_django.models import Entry, Log


def grow_log(tenant: str, count: int) -> None:
    """``count`` more entries in the log of ``tenant``, which has one."""
    log = Log.objects.get(tenant=tenant)
    head = Head(
        tenant=tenant,
        epoch=log.epoch,
        origin=log.origin,
        size=log.size,
        hash=bytes(log.head_hash),
        time=log.head_time,
    )
    rows = (Entry(**entry._asdict()) for entry in extend(head, _events(tenant, log.size, count), now=timezone.now()))
    Entry.objects.bulk_create(rows, batch_size=2000)
    Log.objects.filter(pk=log.pk).update(size=head.size, head_hash=head.hash, head_time=head.time)


def _events(tenant: str, start: int, count: int) -> Iterator[ReadyEvent]:
    for number in range(start, start + count):
        event = PendingEvent(
            tenant,
            0,
            str(uuid.UUID(int=number)),
            "2026-01-01T00:00:00.000000Z",
            "2026-01-01T00:00:00.000000Z",
            "org.updated",
            "org",
            "low",
            "success",
            None,
        )
        yield ReadyEvent(event, {})
