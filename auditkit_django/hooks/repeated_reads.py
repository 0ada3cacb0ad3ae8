"""
Reads recorded once: the first at once, its repeats by the same actor counted and recorded as one event.

The first read of an object opens a window of ``READ_WINDOW_SECONDS``. Each further one is a single statement, an UPDATE
that counts it. When the window is over, its row becomes one event (``metadata`` with ``count``, ``first`` and ``last``,
``occurred_at`` the last read) and is deleted in the same transaction: a crash leaves both or none of it done. That is
done by the next read, or as a chore by whoever appends.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from itertools import groupby
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.db import Error, router, transaction
from django.db.models import F, QuerySet
from django.db.models.functions import Coalesce, Greatest, Least
from django.db.transaction import get_connection
from django.utils import timezone

from auditkit_django.conf import settings
from auditkit_django.drafts import EventDraft
from auditkit_django.exceptions import AuditkitError, RecordingError
from auditkit_django.ledger.disclosure import SALT_BYTES, encode_value, join, make
from auditkit_django.ledger.entry import format_time
from auditkit_django.log import chores
from auditkit_django.log.identity import new_id
from auditkit_django.log.rows import EventRow
from auditkit_django.log.writing import write_events
from auditkit_django.models import Event, RepeatedRead
from auditkit_django.recording import losses
from auditkit_django.recording.encoding import encode_fields
from auditkit_django.recording.record import build_draft, follow, write_draft

VIEWED: Final = "data.record.viewed"
EXPORTED: Final = "data.exported"

#: Windows that one run of the chore closes: a request in mode "inline" may have to wait for it.
_PER_RUN: Final = 200
#: Each attempt fails only where another process opened or closed the same window in between.
_ATTEMPTS: Final = 5

_TABLE: Final = RepeatedRead._meta.db_table
_OPEN: Final = (
    f"INSERT INTO {_TABLE} (tenant, key, count, last_at, closes_at, draft) VALUES (%s, %s, 0, %s, %s, %s)"
    " ON CONFLICT DO NOTHING"
)


def connect() -> None:
    """Have windows that are over closed by whoever appends; called when Django starts."""
    chores.register("repeated_reads", close_windows)


def record_read(
    *,
    action: str,
    resource: object,
    tenant: object = None,
    actor: object = None,
    metadata: Mapping[str, object] | None = None,
) -> None:
    """
    Record that ``resource`` was read, or count it where this actor read it a moment ago.

    Exports, and reads of what has no id, are recorded every time.

    Raises:
        MalformedError: Something given cannot be recorded.
        RecordingError: The database refused.
    """
    alias = router.db_for_write(Event)
    try:
        draft = build_draft(action=action, resource=resource, tenant=tenant, actor=actor, metadata=metadata)
        with _savepoint(alias):
            _record(draft, using=alias)
    except (AuditkitError, Error) as exc:
        if settings.ON_ERROR == "log" and not isinstance(exc, ImproperlyConfigured):
            losses.LOSSES.add(action, exc)
        elif isinstance(exc, AuditkitError):
            raise
        else:
            raise RecordingError(f"{action}: not recorded, the database answered: {exc}") from exc


def close_windows(using: str) -> bool:
    """Make events of windows that are over, at most 200; whether more are left. Those that are being counted wait."""
    ended = _windows(using).filter(closes_at__lte=timezone.now()).order_by("closes_at")
    if not ended.exists():
        # Nothing to do, nearly always: without taking SQLite's one write lock.
        return False
    with transaction.atomic(using=using):
        taken = list(ended.select_for_update(skip_locked=True)[:_PER_RUN])
        _close(taken, using=using)
    return len(taken) == _PER_RUN


def _savepoint(using: str) -> AbstractContextManager[Any]:
    # A refused statement would poison the caller's transaction, which is to go on without its record.
    return transaction.atomic(using=using) if settings.ON_ERROR == "log" else nullcontext()


def _record(draft: EventDraft, *, using: str) -> None:
    if _is_collapsible(draft):
        key = _key_of(draft)
        for _attempt in range(_ATTEMPTS):
            if _count(draft, key, using=using) or _open(draft, key, using=using):
                return
    write_draft(draft, using=using)


def _is_collapsible(draft: EventDraft) -> bool:
    has_object = bool(draft.targets) and draft.targets[0].id is not None
    return has_object and draft.action != EXPORTED and settings.READ_WINDOW_SECONDS > 0


def _key_of(draft: EventDraft) -> str:
    """What repeats have in common. Who has no id (anonymous) is told apart by address and session."""
    who = [(actor.type, actor.id) for actor in (draft.actor, draft.on_behalf_of) if actor is not None]
    where = [draft.context.get(fact) for fact in ("ip", "session")] if draft.actor.id is None else []
    target = draft.targets[0]
    return hashlib.sha256(encode_value([draft.action, who, where, target.type, target.id]).encode()).hexdigest()


def _count(draft: EventDraft, key: str, *, using: str) -> bool:
    """Count a repeat in the window that is open; False where none is. Nothing is read, so that none is counted twice."""
    now = draft.recorded_at
    return bool(
        _windows(using)
        .filter(tenant=draft.tenant, key=key, closes_at__gt=now)
        .update(
            count=F("count") + 1,
            # Processes do not agree on the time to the microsecond, and the later one may be counted first.
            first_at=Least(Coalesce(F("first_at"), now), now),
            last_at=Greatest(F("last_at"), now),
            draft=_encode(draft),
        )
    )


def _open(draft: EventDraft, key: str, *, using: str) -> bool:
    """Close the window before, open one and record its first read; False where another process just opened it."""
    now = draft.recorded_at
    with transaction.atomic(using=using):
        before = _windows(using).filter(tenant=draft.tenant, key=key, closes_at__lte=now)
        _close(list(before.select_for_update()), using=using)
        if not _insert(draft, key, using=using):
            return False
        write_draft(draft, using=using)
    return True


def _insert(draft: EventDraft, key: str, *, using: str) -> bool:
    connection = get_connection(using)
    now, end = draft.recorded_at, draft.recorded_at + timedelta(seconds=settings.READ_WINDOW_SECONDS)
    times = [connection.ops.adapt_datetimefield_value(moment) for moment in (now, end)]
    with connection.cursor() as cursor:
        # Nothing of the event is kept until there is a repeat.
        cursor.execute(_OPEN, [draft.tenant, key, *times, ""])
        return bool(cursor.rowcount == 1)


def _close(ended: Sequence[RepeatedRead], *, using: str) -> None:
    """Delete windows, which this transaction has locked, and write the events of those that saw repeats."""
    rows = [_event_of(read) for read in ended if read.count]
    for tenant, group in groupby(sorted(ended, key=lambda read: read.tenant), key=lambda read: read.tenant):
        _windows(using).filter(tenant=tenant, key__in=[read.key for read in group]).delete()
    if rows:
        write_events(rows, using=using)
    for row in rows:
        follow(row, using=using)


def _encode(draft: EventDraft) -> str:
    """What the event will need, as it would be recorded: redacted, repaired, within the limits."""
    target = draft.targets[0]
    return encode_value(
        {
            "action": [draft.action, draft.category, draft.severity, draft.outcome],
            "actor": [draft.actor.type, draft.actor.id],
            "target": [target.type, target.id],
            "fields": encode_fields(draft),
        }
    )


def _event_of(read: RepeatedRead) -> EventRow:
    assert read.first_at is not None, "a window that counted has a first repeat"
    draft, now = json.loads(read.draft), timezone.now()
    fields = {name: json.loads(text) for name, text in draft["fields"].items()}
    times = {"first": format_time(read.first_at), "last": format_time(read.last_at)}
    fields["metadata"] = {**fields.get("metadata", {}), "count": read.count, **times}
    disclosures = join({name: make(name, value, salt=os.urandom(SALT_BYTES)) for name, value in fields.items()})
    columns = [*draft["action"], *draft["actor"], *draft["target"]]
    return EventRow._make([new_id(now), read.tenant, read.last_at, now, *columns, disclosures])


def _windows(using: str) -> QuerySet[RepeatedRead]:
    return RepeatedRead.objects.using(using)
