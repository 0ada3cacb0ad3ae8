"""
Many events from elsewhere in one statement, each with an idempotency key or without: what a batch endpoint needs.

In difference to :class:`recording.batch.Batch` keys may stand already, and each event has an outcome of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from django.db import DatabaseError, Error, router, transaction

from auditkit_django.drafts import EventDraft
from auditkit_django.exceptions import IdempotencyConflictError, RecordingError
from auditkit_django.log.rows import EventRow
from auditkit_django.log.writing import write_events, write_keyed_events
from auditkit_django.models import Event
from auditkit_django.recording.encoding import encode_row
from auditkit_django.recording.idempotency import check_event
from auditkit_django.recording.record import follow

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
    try:
        with transaction.atomic(using=alias):
            outcomes = _write(pairs, using=alias)
            is_undone = is_atomic and any(isinstance(one, IdempotencyConflictError) for one in outcomes)
            if is_undone:
                transaction.set_rollback(True, using=alias)
    except (DatabaseError, Error) as exc:
        raise RecordingError(f"batch of {len(pairs)}: not recorded, the database answered: {exc}") from exc
    if not is_undone:
        for (_draft, row), outcome in zip(pairs, outcomes, strict=True):
            if outcome is True:
                follow(row, using=alias)
    return outcomes


def _write(pairs: Sequence[tuple[EventDraft, EventRow]], *, using: str) -> list[Written]:
    first: dict[tuple[str, UUID], EventDraft] = {}
    for draft, _row in pairs:
        first.setdefault((draft.tenant, draft.id), draft)
    rows = [row for draft, row in pairs if first[draft.tenant, draft.id] is draft]
    if all(draft.idempotency_key is None for draft, _row in pairs):
        write_events(rows, using=using)
        written = {row.id for row in rows}
    else:
        written = write_keyed_events(rows, using=using)
    standing = _standing([draft for draft, _row in pairs], first, written, using=using)
    return [
        True
        if draft.id in written and first[draft.tenant, draft.id] is draft
        else _compared(draft, standing.get((draft.tenant, draft.id)))
        for draft, _row in pairs
    ]


def _standing(
    drafts: Iterable[EventDraft],
    first: Mapping[tuple[str, UUID], EventDraft],
    written: set[UUID],
    *,
    using: str,
) -> dict[tuple[str, UUID], Event]:
    """The events that repeated drafts are compared with, by tenant and id."""
    wanted: dict[str, set[UUID]] = {}
    for draft in drafts:
        if draft.id not in written or first[draft.tenant, draft.id] is not draft:
            wanted.setdefault(draft.tenant, set()).add(draft.id)
    found: dict[tuple[str, UUID], Event] = {}
    for tenant, ids in wanted.items():
        for event in Event.objects.using(using).filter(tenant=tenant, id__in=ids):
            found[tenant, event.id] = event
    return found


def _compared(draft: EventDraft, event: Event | None) -> Written:
    if event is None:
        # It is in the log and was pruned since: there is nothing left to compare with.
        return False
    try:
        check_event(draft, event)
    except IdempotencyConflictError as exc:
        return exc
    return False
