"""
Prune: remove what is past its retention, and leave the rest provable.

* Events of a kind that is kept for less long than others go by themselves: their entries stay, and with them every hash.
* What is past the longest retention goes with its entries too, in whole tiles of 256: the log then begins at a seq that is a
  multiple of 256. Below it the tiles stay, 32 bytes for 256 entries; they lead to the roots that were signed, so that
  everything after it is proven as before.

Each needs a checkpoint that stands at or beyond the cut. First it is recorded what may go (``audit.events.purged``); then
it goes, in chunks of a transaction each. After a crash the same call goes on where it stopped.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Final
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.transaction import get_connection
from django.utils import timezone

from auditkit_django.crash import crash_point
from auditkit_django.drafts import SYSTEM, Actor, Target
from auditkit_django.exceptions import AppendError, RetentionError, UnknownTenantError
from auditkit_django.ledger.licences import PURGED, Purge
from auditkit_django.log import retention
from auditkit_django.log.control import append_control, locked_log, refuse_open_transaction
from auditkit_django.log.generations import first_size_over, generations_of
from auditkit_django.log.holds import refuse_held
from auditkit_django.log.licences import licences_of
from auditkit_django.log.own import QUARANTINED, own_event
from auditkit_django.log.retention import Cut, Plan, events_of, plans_of
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE
from auditkit_django.log.tree import range_of_tiles
from auditkit_django.log.verify import verify
from auditkit_django.models import Checkpoint, Entry, Event, Log
from auditkit_django.sql.guards import permitted

_HEX: Final = re.compile(r"[0-9a-f]{32}")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What was pruned, or (``is_dry_run``) would be, of one tenant; ``first_seq`` is where the newest log begins now."""

    tenant: str
    cuts: tuple[Cut, ...]
    first_seq: int
    is_dry_run: bool

    @property
    def count(self) -> int:
        """Events that went, or would."""
        return sum(cut.count for cut in self.cuts)

    def as_json(self) -> dict[str, object]:
        """The report for machines."""
        cuts = [cut.as_json() for cut in self.cuts]
        return {
            "tenant": self.tenant,
            "cuts": cuts,
            "count": self.count,
            "first_seq": self.first_seq,
            "is_dry_run": self.is_dry_run,
        }


def prune(
    tenant: str,
    *,
    actor: Actor = SYSTEM,
    dry_run: bool = False,
    may_be_unpublished: bool = False,
    progress: Progress | None = None,
    using: str = DEFAULT_DB_ALIAS,
    clock: Callable[[], datetime] = timezone.now,
) -> PruneReport:
    """
    Prune the logs of ``tenant`` by its policy; with ``dry_run`` only say what would go. ``progress`` gets (seqs done,
    seqs to go through). Only what a published checkpoint covers goes, unless it ``may_be_unpublished``.

    Raises:
        RetentionError: A legal hold stands, the policy is none, no checkpoint was published, or the log is INVALID.
        UnknownTenantError: The tenant has no log.
        AppendError: A transaction is open, or the log takes no entries.
    """
    refuse_open_transaction("prune", using=using)
    refuse_held(tenant, using=using)
    now = clock()
    plans = plans_of(tenant, now=now, is_published=not may_be_unpublished, using=using)
    if not plans:
        raise UnknownTenantError(f"tenant: got {tenant!r}, wanted one with a log")
    log = plans[-1].log
    if log.state != Log.State.OPEN:
        raise AppendError(f"prune: the log of tenant {tenant!r} is {log.state}, wanted an open one")
    cuts = tuple(cut for plan in plans for cut in plan.cuts(using=using))
    if not cuts and not may_be_unpublished:
        _refuse_unpublished(tenant, now=now, using=using)
    if cuts and not dry_run:
        for plan in plans:
            # What was tampered with is kept, and with it the proof that it was.
            report = verify(tenant, epoch=plan.log.epoch, using=using)
            if not report.is_valid:
                raise RetentionError(
                    f"prune: the log of tenant {tenant!r} is {report.verdict}: verify it, and find out first"
                )
        _license(log, cuts, actor=actor, using=using, clock=clock)
        crash_point("prune.licensed")
        for plan in plans:
            _delete(plan, progress, using=using)
        log.refresh_from_db(using=using)
    return PruneReport(tenant=tenant, cuts=cuts, first_seq=log.first_seq, is_dry_run=dry_run)


def _refuse_unpublished(tenant: str, *, now: datetime, using: str) -> None:
    """``RetentionError`` where something would go, if only it were published."""
    plans = plans_of(tenant, now=now, is_published=False, using=using)
    if any(True for plan in plans for _cut in plan.cuts(using=using)):
        raise RetentionError(
            f"prune: what is past its retention of tenant {tenant!r} is below no published checkpoint: set PUBLISHERS, or say"
            " that it may be unpublished"
        )


def _delete(plan: Plan, progress: Progress | None, *, using: str) -> None:
    log = plan.log
    purges = plan.purges(using=using)
    start = max((purge.until for purge in purges if purge.kind is None), default=0)
    end = max((purge.until for purge in purges if purge.kind is not None), default=0)
    first = log.first_seq
    for seq in chain(_delete_start(log, start, using=using), _delete_events(log, purges, end, using=using)):
        if progress is not None:
            progress(seq - first, max(start, end) - first)


def _license(log: Log, cuts: tuple[Cut, ...], *, actor: Actor, using: str, clock: Callable[[], datetime]) -> None:
    """Record what may go, where that was not done by a run that was interrupted."""
    with transaction.atomic(using=using):
        locked, now = locked_log(log.tenant, using=using), clock()
        refuse_held(log.tenant, using=using)
        if locked.pk != log.pk:
            raise AppendError(f"prune: the log of tenant {log.tenant!r} was closed meanwhile")
        epochs = {cut.epoch for cut in cuts}
        standing = {epoch: licences_of(log.tenant, epoch, using=using).purges for epoch in epochs}
        for cut in cuts:
            if any(cut.purge.is_within(one) for one in standing[cut.epoch]):
                continue
            said: dict[str, object] = cut.as_json()
            if cut.purge.kind is None:
                said |= {
                    "root": b64encode(
                        range_of_tiles(log.tenant, log.epoch, cut.purge.until, using=using).root()
                    ).decode()
                }
            if cut.purge.excluded:
                said |= {"except": sorted(cut.purge.excluded)}
            target = Target("log", str(log.pk))
            event = own_event(log.tenant, PURGED, target=target, metadata=said, now=now, actor=actor)
            append_control(locked, event, now=now, using=using)


def _delete_start(log: Log, start: int, *, using: str) -> Iterator[int]:
    """Delete events and entries below ``start``; the seq that is reached, after each chunk."""
    connection = get_connection(using)
    # By the first checkpoints over a change of keys whoever pinned the key before comes to trust the next.
    kept = {first_size_over(log, one.seq, using=using) for one in generations_of(log, using=using)}
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    while log.first_seq < start:
        until = min(start, log.first_seq + retention.CHUNK)
        with transaction.atomic(using=using):
            refuse_held(log.tenant, using=using)
            moved = Log.objects.using(using).filter(pk=log.pk, first_seq=log.first_seq).update(first_seq=until)
            if not moved:
                raise AppendError(f"prune: the log of tenant {log.tenant!r} is pruned by somebody else")
            rows = entries.filter(seq__gte=log.first_seq, seq__lt=until)
            ids = list(rows.values_list("event_id", flat=True))
            with permitted(connection, "prune"):
                _delete_by_id(log.tenant, [*ids, *_quarantined(log.tenant, ids, using=using)], using=using)
                with connection.cursor() as cursor:
                    cursor.execute(
                        f"DELETE FROM {ENTRY_TABLE} WHERE tenant = %s AND epoch = %s AND seq >= %s AND seq < %s",
                        [log.tenant, log.epoch, log.first_seq, until],
                    )
                    crash_point("prune.deleted")
                    cursor.executemany(
                        f"DELETE FROM {Checkpoint._meta.db_table} WHERE tenant = %s AND epoch = %s AND size = %s",
                        [(log.tenant, log.epoch, size) for size in _sizes_below(log, until, using=using) - kept],
                    )
        crash_point("prune.chunk")
        log.first_seq = until
        yield until


def _sizes_below(log: Log, until: int, *, using: str) -> set[int]:
    rows = Checkpoint.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, size__lt=until)
    return set(rows.values_list("size", flat=True))


def _quarantined(tenant: str, ids: list[UUID], *, using: str) -> list[UUID]:
    """Events in quarantine whose stand-ins are among ``ids``: nothing else would stand for them."""
    found: list[UUID] = []
    for at in range(0, len(ids), 500):
        events = Event.objects.using(using).filter(tenant=tenant, id__in=ids[at : at + 500], action=QUARANTINED)
        found += [UUID(hex=key) for key in events.values_list("target_id", flat=True) if key and _HEX.fullmatch(key)]
    return found


def _delete_events(log: Log, purges: list[Purge], end: int, *, using: str) -> Iterator[int]:
    """Delete the events, without their entries, that ``purges`` cover below ``end``; the seq that is reached."""
    by_kind = [purge for purge in purges if purge.kind is not None]
    seq = log.first_seq
    for ids in events_of(log, by_kind, log.first_seq, end, using=using):
        if ids:
            with transaction.atomic(using=using), permitted(get_connection(using), "prune"):
                refuse_held(log.tenant, using=using)
                _delete_by_id(log.tenant, ids, using=using)
                crash_point("prune.purged")
        seq = min(end, seq + retention.CHUNK)
        yield seq


def _delete_by_id(tenant: str, ids: list[UUID], *, using: str) -> None:
    connection = get_connection(using)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"DELETE FROM {EVENT_TABLE} WHERE tenant = %s AND id = ANY(%s)", [tenant, ids])
            return
        for at in range(0, len(ids), 500):
            some = [one.hex for one in ids[at : at + 500]]
            places = ", ".join(["%s"] * len(some))
            cursor.execute(f"DELETE FROM {EVENT_TABLE} WHERE tenant = %s AND id IN ({places})", [tenant, *some])
