"""
Append: pending events get their ``seq`` and ``prev`` (DESIGN 4.2).

One pass is one short transaction over up to 64 logs, whoever runs it (the committing thread, the process's appender
thread, any number of workers):

1. lock the heads of logs that have pending rows, skipping those held elsewhere;
2. in a second statement, read the pending rows of exactly those logs, oldest first, with their events;
3. make the entries: only concatenation and hashing, nothing depends on content; a poison event gets a stand-in;
4. insert the entries, delete the pointers, move the heads by compare-and-set.

A crash anywhere leaves all of it or nothing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain, groupby
from operator import itemgetter
from types import ModuleType
from typing import TYPE_CHECKING

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction
from django.db.transaction import get_connection
from django.utils import timezone

from auditkit_django.conf import settings
from auditkit_django.crash import crash_point
from auditkit_django.environment import is_test_run
from auditkit_django.exceptions import AppendError, MalformedError
from auditkit_django.log.halting import halt_first_seen
from auditkit_django.log.heads import Head, ReadyEvent, extend, ready
from auditkit_django.log.opening import open_logs
from auditkit_django.log.own import quarantine_event
from auditkit_django.log.reading import event_row
from auditkit_django.log.reconcile import drop_needless_pointers
from auditkit_django.log.rows import PendingEvent, pending_event
from auditkit_django.log.writing import insert_own_event
from auditkit_django.models import Log
from auditkit_django.signals import events_appended

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

logger = logging.getLogger("auditkit_django")

LOGS_PER_PASS = 64
#: Shared by the logs of a pass: its transaction stays short however much is pending.
EVENTS_PER_PASS = 6400

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class PassResult:
    """
    What one pass did. ``appended``: new entries by tenant. ``next_tenant``: where the sweep goes on, None at its end.
    ``has_left``: pending rows were seen and left, in a log held elsewhere or beyond the batch: sweep again soon.
    """

    appended: dict[str, int] = field(default_factory=dict)
    next_tenant: str | None = None
    has_left: bool = False

    @property
    def total(self) -> int:
        """Number of entries written."""
        return sum(self.appended.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    head: Head
    old_size: int
    events: list[ReadyEvent]


def append_pass(
    *,
    using: str = DEFAULT_DB_ALIAS,
    after: str = "",
    limit: int | None = None,
    clock: Clock = timezone.now,
    may_nest: bool = False,
) -> PassResult:
    """
    Append what is pending in up to 64 logs of tenants beyond ``after``, at most ``limit`` events of each.

    Raises:
        AppendError: Called inside a transaction (``may_nest`` lifts that for tests), or a head moved under its lock.
    """
    connection = get_connection(using)
    if connection.in_atomic_block and not may_nest and not is_test_run():
        raise AppendError("append: got an open transaction, wanted none: events are appended after they are committed")
    store = store_of(connection)
    limit = limit or settings.APPEND_BATCH
    waiting = store.waiting_tenants(connection, after=after, limit=LOGS_PER_PASS)
    if not waiting:
        return PassResult()
    open_logs([tenant for tenant, has_log in waiting if not has_log], using=using, clock=clock)
    tenants = [tenant for tenant, _has_log in waiting]
    halt_first_seen(tenants, using=using)
    try:
        appended, is_full, locked = _append_to(connection, store, tenants, limit=limit, clock=clock)
    except IntegrityError:
        # A second pointer to one event (two reconcilers at once, a hand-written row): the unique key refuses its second
        # entry, and would for ever.
        if not drop_needless_pointers(tenants, using=using):
            raise
        appended, is_full, locked = _append_to(connection, store, tenants, limit=limit, clock=clock)
    if appended:
        events_appended.send_robust(sender=Log, tenants=appended, using=using)
    return PassResult(
        appended=appended,
        next_tenant=tenants[-1] if len(tenants) == LOGS_PER_PASS else None,
        has_left=is_full or (locked < len(tenants) and locked < _open_logs(tenants, using=using)),
    )


def _open_logs(tenants: Sequence[str], *, using: str) -> int:
    """How many logs of ``tenants`` take entries: for a halted one there is no use in coming back soon."""
    return Log.objects.using(using).filter(tenant__in=tenants, state=Log.State.OPEN).count()


def append_sweep(*, using: str = DEFAULT_DB_ALIAS, clock: Clock = timezone.now, may_nest: bool = False) -> PassResult:
    """One pass after another over all logs that have pending rows, once each; the sum of what they did."""
    appended: dict[str, int] = {}
    has_left = False
    after: str | None = ""
    while after is not None:
        result = append_pass(using=using, after=after, clock=clock, may_nest=may_nest)
        appended.update(result.appended)
        has_left = has_left or result.has_left
        after = result.next_tenant
    return PassResult(appended=appended, has_left=has_left)


def append_all(*, using: str = DEFAULT_DB_ALIAS, clock: Clock = timezone.now, may_nest: bool = False) -> int:
    """Sweep until nothing is left that this process can take; the number of entries written."""
    total = 0
    while True:
        result = append_sweep(using=using, clock=clock, may_nest=may_nest)
        total += result.total
        # Nothing appended and something left: another appender holds those logs and will take them.
        if not result.has_left or not result.total:
            return total


def _append_to(
    connection: BaseDatabaseWrapper, store: ModuleType, tenants: Sequence[str], *, limit: int, clock: Clock
) -> tuple[dict[str, int], bool, int]:
    is_nested = connection.in_atomic_block
    with transaction.atomic(using=connection.alias):
        if not is_nested:
            store.begin(connection)
        heads = store.lock_heads(connection, tenants)
        crash_point("append.locked")
        if not heads:
            return {}, False, 0
        limit = max(1, min(limit, EVENTS_PER_PASS // len(heads)))
        taken = store.take_pending(connection, [head.tenant for head in heads], limit=limit)
        crash_point("append.taken")
        batches = _batches(heads, taken, clock=clock, connection=connection)
        now = clock()
        # Made one by one while the database stores the ones before.
        store.insert_entries(connection, chain.from_iterable(extend(b.head, b.events, now=now) for b in batches))
        crash_point("append.inserted")
        moved = store.update_heads(connection, [batch.head for batch in batches], [batch.old_size for batch in batches])
        if moved != len(batches):
            raise AppendError(f"append: {moved} of {len(batches)} locked heads moved: another writer changed one")
        crash_point("append.updated")
    crash_point("append.committed")
    is_full = len(taken) >= limit and any(len(batch.events) >= limit for batch in batches)
    return {batch.head.tenant: len(batch.events) for batch in batches if batch.events}, is_full, len(heads)


def _batches(
    heads: Sequence[Head], taken: Sequence[PendingEvent], *, clock: Clock, connection: BaseDatabaseWrapper
) -> list[_Batch]:
    by_tenant = {head.tenant: head for head in heads}
    batches: list[_Batch] = []
    for tenant, group in groupby(taken, key=itemgetter(0)):
        head = by_tenant[tenant]
        batch = _Batch(head=head, old_size=head.size, events=[])
        for event in group:
            if not event.id:
                # The pointer outlived its event: verification reports what is missing from the log, not from here.
                logger.error("auditkit: a pending pointer of tenant %s has no event and was dropped", tenant)
                continue
            try:
                batch.events.append(ready(event))
            except MalformedError as exc:
                batch.events.append(_quarantine(event, str(exc), clock=clock, connection=connection))
        batches.append(batch)
    return batches


def _quarantine(poison: PendingEvent, reason: str, *, clock: Clock, connection: BaseDatabaseWrapper) -> ReadyEvent:
    logger.error("auditkit: event %s of tenant %s is quarantined: %s", poison.id, poison.tenant, reason)
    row = event_row(poison.tenant, poison.id, using=connection.alias)
    assert row is not None, poison.id
    stand_in = quarantine_event(row, reason=reason, now=clock())
    insert_own_event(connection, stand_in)
    return ready(pending_event(stand_in), is_own=True)


def store_of(connection: BaseDatabaseWrapper) -> ModuleType:
    """The statements for the database at hand."""
    if connection.vendor == "postgresql":
        from auditkit_django.log import postgresql

        return postgresql
    from auditkit_django.log import sqlite

    return sqlite
