"""
Many events from elsewhere in one statement, each with an idempotency key or without: what a batch endpoint needs.

In difference to :class:`recording.batch.Batch` keys may stand already, and each event has an outcome of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from uuid import UUID

from django.db import DatabaseError, Error, router, transaction
from django.db.transaction import get_connection

from auditkit_django.drafts import EventDraft
from auditkit_django.exceptions import IdempotencyConflictError, RecordingError
from auditkit_django.log.rows import EventRow
from auditkit_django.log.writing import write_events, write_keyed_events
from auditkit_django.models import Event
from auditkit_django.recording.encoding import encode_row
from auditkit_django.recording.idempotency import check_event
from auditkit_django.recording.record import follow_all

#: True: recorded; False: it stands already; an error: its key stands for something else.
Written = bool | IdempotencyConflictError


def encoded(draft: EventDraft) -> tuple[EventDraft, EventRow]:
    """``draft`` with its row; MalformedError where it has none."""
    return draft, encode_row(draft)


def write_all(
    pairs: Sequence[tuple[EventDraft, EventRow]], *, is_atomic: bool = False, using: str | None = None
) -> list[Written]:
    """
    Write drafts with their rows in one transaction; what became of each, in order. With ``is_atomic`` one conflict undoes all.

    Raises:
        RecordingError: The database refused; nothing was written.
    """
    alias = using or router.db_for_write(Event)
    is_undone = False
    try:
        # What is written is one statement. To undo it takes a transaction, and not to break one that is open a savepoint.
        is_wrapped = is_atomic or get_connection(alias).in_atomic_block
        with transaction.atomic(using=alias) if is_wrapped else nullcontext():
            outcomes = _write(pairs, using=alias)
            if is_atomic and any(isinstance(one, IdempotencyConflictError) for one in outcomes):
                is_undone = True
                transaction.set_rollback(True, using=alias)
    except (DatabaseError, Error) as exc:
        raise RecordingError(f"batch of {len(pairs)}: not recorded, the database answered: {exc}") from exc
    if not is_undone:
        follow_all((row for (_draft, row), one in zip(pairs, outcomes, strict=True) if one is True), using=alias)
    return outcomes


def _write(pairs: Sequence[tuple[EventDraft, EventRow]], *, using: str) -> list[Written]:
    first: dict[UUID, int] = {}
    for index, (draft, _row) in enumerate(pairs):
        # Ids of two tenants are never the same: the tenant is part of what they are made of.
        first.setdefault(draft.id, index)
    rows = [pairs[index][1] for index in first.values()]
    if all(draft.idempotency_key is None for draft, _row in pairs):
        write_events(rows, using=using)
        return [True] * len(pairs)
    written = write_keyed_events(rows, using=using)
    if len(written) == len(pairs):
        return [True] * len(pairs)
    is_new = [first[draft.id] == index and draft.id in written for index, (draft, _row) in enumerate(pairs)]
    repeated = [draft for (draft, _row), is_written in zip(pairs, is_new, strict=True) if not is_written]
    standing = _standing(repeated, using=using)
    return [
        is_written or _compared(draft, standing.get(draft.id))
        for (draft, _row), is_written in zip(pairs, is_new, strict=True)
    ]


def _standing(drafts: Iterable[EventDraft], *, using: str) -> dict[UUID, Event]:
    """The events that repeated drafts are compared with."""
    wanted: dict[str, set[UUID]] = {}
    for draft in drafts:
        wanted.setdefault(draft.tenant, set()).add(draft.id)
    return {
        event.id: event
        for tenant, ids in wanted.items()
        for event in Event.objects.using(using).filter(tenant=tenant, id__in=ids)
    }


def _compared(draft: EventDraft, event: Event | None) -> Written:
    if event is None:
        # It is in the log and was pruned since: there is nothing left to compare with.
        return False
    try:
        check_event(draft, event)
    except IdempotencyConflictError as exc:
        return exc
    return False
