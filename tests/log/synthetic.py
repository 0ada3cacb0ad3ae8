"""Entries by the thousand, for what depends on a log's size alone: a chain of well-formed entries without their events."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

from django.utils import timezone

from auditkit_django.log.heads import EntryRow, Head, ReadyEvent, extend
from auditkit_django.log.rows import PendingEvent
from auditkit_django.models import Entry, Log

#: As many digests as an event of a request has.
_TEXTS = {name: f'["salt","{name}",1]' for name in ("actor", "context", "metadata", "targets")}


def grow_log(tenant: str, count: int) -> None:
    """``count`` more entries in the log of ``tenant``, which has one."""
    log = Log.objects.get(tenant=tenant)
    head, rows = grown(log, count)
    Entry.objects.bulk_create((Entry(**row._asdict()) for row in rows), batch_size=2000)
    move_head(log, head)


def grown(log: Log, count: int) -> tuple[Head, Iterator[EntryRow]]:
    """The head of ``log``, which moves along as the entries, ``count`` of them, are taken."""
    head = Head(
        tenant=log.tenant,
        epoch=log.epoch,
        origin=log.origin,
        size=log.size,
        hash=bytes(log.head_hash),
        time=log.head_time,
    )
    return head, extend(head, _events(log.tenant, log.size, count), now=timezone.now())


def move_head(log: Log, head: Head) -> None:
    """Make the log's row say what ``head`` says."""
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
        yield ReadyEvent(event, _TEXTS)
