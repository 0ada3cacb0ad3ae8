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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any, Final
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.transaction import get_connection
from django.utils import timezone

from auditkit_django import actions
from auditkit_django.conf import resolve, settings
from auditkit_django.crash import crash_point
from auditkit_django.drafts import SYSTEM, Actor, Target
from auditkit_django.exceptions import AppendError, RetentionError, UnknownTenantError
from auditkit_django.ledger.licences import ANY, PURGED, Purge
from auditkit_django.log import meta
from auditkit_django.log.checkpoints import newest
from auditkit_django.log.control import append_control, locked_log, refuse_open_transaction
from auditkit_django.log.generations import generations_of
from auditkit_django.log.holds import refuse_held
from auditkit_django.log.licences import licences_of
from auditkit_django.log.own import QUARANTINED, own_event
from auditkit_django.log.places import first_seq_from
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE
from auditkit_django.log.tree import HEIGHT, range_of_tiles
from auditkit_django.log.verify import verify
from auditkit_django.models import Checkpoint, Entry, Event, Log, Publication
from auditkit_django.sql.guards import permitted

TILE: Final = 1 << HEIGHT
#: Entries that one transaction deletes or looks through: whole tiles.
CHUNK: Final = 20 * TILE

#: A century.
_MOST_DAYS: Final = 36_525
_HEX: Final = re.compile(r"[0-9a-f]{32}")

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """
    One thing to prune, appended before ``before``, which is ``days`` ago; ``count`` are the events that are there to go.
    """

    epoch: int
    purge: Purge
    days: int
    before: datetime
    count: int

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "epoch": self.epoch,
            "kind": self.purge.kind,
            "until": self.purge.until,
            "days": self.days,
            "before": self.before.isoformat(),
            "count": self.count,
        }


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


def policy_of(tenant: str) -> dict[str, int | None]:
    """
    Days by kind of event (a category, an action, ``"*"``), by ``RETENTION``; empty where nothing is ever pruned. The name of a
    retention class of the catalogue ("data_access") stands for its actions.

    Raises:
        RetentionError: Not a dict of names and whole days.
    """
    chosen: Any = settings.RETENTION
    if isinstance(chosen, str) or callable(chosen):
        resolver = resolve(chosen)
        chosen = resolver(tenant) if resolver is not None else None
    if chosen is None:
        return {}
    if not isinstance(chosen, Mapping) or not all(
        isinstance(name, str) and (days is None or (type(days) is int and 0 < days <= _MOST_DAYS))
        for name, days in chosen.items()
    ):
        raise RetentionError(f'RETENTION: got {chosen!r:.200}, wanted days by category or action, such as {{"*": 365}}')
    classes = {name: [action.name for action in actions.all_actions() if action.retention == name] for name in chosen}
    found = {action: days for name, days in chosen.items() for action in classes[name]}
    # What is named has the word before what a class stands for.
    return found | {name: days for name, days in chosen.items() if not classes[name]}


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
    logs = list(Log.objects.using(using).filter(tenant=tenant).order_by("epoch"))
    if not logs:
        raise UnknownTenantError(f"tenant: got {tenant!r}, wanted one with a log")
    newest_log = logs[-1]
    if newest_log.state != Log.State.OPEN:
        raise AppendError(f"prune: the log of tenant {tenant!r} is {newest_log.state}, wanted an open one")
    policy, now = policy_of(tenant), clock()
    plans = list(_plans(logs, policy, now=now, is_published=not may_be_unpublished, using=using))
    cuts = tuple(cut for plan in plans for cut in plan.cuts(using=using))
    if not cuts and not may_be_unpublished:
        unpublished = _plans(logs, policy, now=now, is_published=False, using=using)
        if any(True for plan in unpublished for _cut in plan.cuts(using=using)):
            raise RetentionError(
                f"prune: what is past its retention of tenant {tenant!r} is below no published checkpoint: set PUBLISHERS, or say"
                " that it may be unpublished"
            )
    if cuts and not dry_run:
        for log in logs:
            # What was tampered with is kept, and with it the proof that it was.
            report = verify(tenant, epoch=log.epoch, using=using)
            if not report.is_valid:
                raise RetentionError(
                    f"prune: the log of tenant {tenant!r} is {report.verdict}: verify it, and find out first"
                )
        _license(newest_log, cuts, actor=actor, using=using, clock=clock)
        crash_point("prune.licensed")
        for plan in plans:
            _delete(plan, progress, using=using)
        newest_log.refresh_from_db(using=using)
    return PruneReport(tenant=tenant, cuts=cuts, first_seq=newest_log.first_seq, is_dry_run=dry_run)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """The policy as it is today for one log, of which ``covered`` entries are below a checkpoint."""

    log: Log
    policy: Mapping[str, int | None]
    covered: int
    may_cut: bool
    now: datetime

    def cuts(self, *, using: str) -> Iterator[Cut]:
        return _cuts(self.log, self.policy, self.covered, may_cut=self.may_cut, now=self.now, using=using)

    def purges(self, *, using: str) -> list[Purge]:
        """What may be deleted: the policy lets it go today, and the log says so."""
        standing = licences_of(self.log.tenant, self.log.epoch, using=using).purges
        rules = _rules(self.log, self.policy, self.covered, may_cut=self.may_cut, now=self.now, using=using)
        return [purge for purge, _days, _before in rules if any(purge.is_within(one) for one in standing)]


def _plans(
    logs: Sequence[Log], policy: Mapping[str, int | None], *, now: datetime, is_published: bool, using: str
) -> Iterator[_Plan]:
    for log in logs:
        checkpoint = newest(log, using=using)
        covered = checkpoint.size if checkpoint is not None else 0
        if is_published:
            covered = min(covered, published_size(log, using=using))
        # The first entry of a log that came after another says what was lost in between, and the log of checkpoints what was
        # published of the others: they stay, and all behind them.
        may_cut = len(logs) == 1 and log.tenant != meta.META_TENANT
        yield _Plan(log=log, policy=policy, covered=covered, may_cut=may_cut, now=now)


def _delete(plan: _Plan, progress: Progress | None, *, using: str) -> None:
    log = plan.log
    purges = plan.purges(using=using)
    start = max((purge.until for purge in purges if purge.kind is None), default=0)
    end = max((purge.until for purge in purges if purge.kind is not None), default=0)
    first = log.first_seq
    for seq in chain(_delete_start(log, start, using=using), _delete_events(log, purges, end, using=using)):
        if progress is not None:
            progress(seq - first, max(start, end) - first)


def published_size(log: Log, *, using: str) -> int:
    """The size of the newest checkpoint of ``log`` that was published, itself or by way of the log of checkpoints; 0: none."""
    own = Publication.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch).order_by("-size").first()
    return max(own.size if own is not None else 0, meta.published_size(log, using=using))


def _cuts(
    log: Log, policy: Mapping[str, int | None], covered: int, *, may_cut: bool, now: datetime, using: str
) -> Iterator[Cut]:
    """What the policy says is to go, is there, and is below ``covered``, the size of a checkpoint."""
    rules = list(_rules(log, policy, covered, may_cut=may_cut, now=now, using=using))
    start = max((purge.until for purge, _days, _before in rules if purge.kind is None), default=log.first_seq)
    for purge, days, before in rules:
        if purge.kind is None:
            count = purge.until - log.first_seq
        else:
            # Below the cut they go with their entries.
            count = sum(len(ids) for ids in _chunks_of(log, [purge], start, purge.until, using=using))
        if count:
            yield Cut(epoch=log.epoch, purge=purge, days=days, before=before, count=count)


def _rules(
    log: Log, policy: Mapping[str, int | None], covered: int, *, may_cut: bool, now: datetime, using: str
) -> Iterator[tuple[Purge, int, datetime]]:
    """What the policy lets go today, whether it is there or not; what goes with its entries comes last."""
    longest = _longest(policy) if may_cut and policy else None
    for kind, days in sorted(policy.items()) if covered else ():
        if days is None:
            continue
        before = now - timedelta(days=days)
        until = min(covered, first_seq_from(log, before, using=using))
        if until > log.first_seq:
            excluded = frozenset(other for other in policy if _is_finer(other, kind))
            yield Purge(until=until, kind=kind, excluded=excluded), days, before
    if longest is not None and covered:
        before = now - timedelta(days=longest)
        until = min(covered, first_seq_from(log, before, using=using)) // TILE * TILE
        if until > log.first_seq:
            yield Purge(until=until, kind=None), longest, before


def _is_finer(other: str, kind: str) -> bool:
    """Whether ``other`` has the word where both name an event: an action before a category, and any name before ``"*"``."""
    return other != ANY if kind == ANY else "." in other and "." not in kind


def _longest(policy: Mapping[str, int | None]) -> int | None:
    """Days after which everything may go; None where something is kept for ever."""
    days = [*policy.values(), *(() if ANY in policy else (None,))]
    return None if None in days else max(one for one in days if one is not None)


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
    kept = _keys_first_checkpoints(log, using=using)
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    while log.first_seq < start:
        until = min(start, log.first_seq + CHUNK)
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


def _keys_first_checkpoints(log: Log, *, using: str) -> set[int]:
    """Sizes of the first checkpoints over a change of keys: by them whoever pinned the key before comes to trust the next."""
    rows = Checkpoint.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    firsts = (
        rows.filter(size__gt=one.seq).order_by("size").values_list("size", flat=True).first()
        for one in generations_of(log, using=using)
    )
    return {size for size in firsts if size is not None}


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
    for ids in _chunks_of(log, by_kind, log.first_seq, end, using=using):
        if ids:
            with transaction.atomic(using=using), permitted(get_connection(using), "prune"):
                refuse_held(log.tenant, using=using)
                _delete_by_id(log.tenant, ids, using=using)
                crash_point("prune.purged")
        seq = min(end, seq + CHUNK)
        yield seq


def _chunks_of(log: Log, purges: list[Purge], first: int, end: int, *, using: str) -> Iterator[list[UUID]]:
    """Ids of the events that are there and that one of ``purges`` covers, chunk by chunk of seqs."""
    for start in range(first, end, CHUNK):
        values = [log.tenant, log.epoch, start, min(end, start + CHUNK)]
        with get_connection(using).cursor() as cursor:
            cursor.execute(_READ, values)
            rows = cursor.fetchall()
        yield [
            event_id if isinstance(event_id, UUID) else UUID(event_id)
            for seq, event_id, category, action in rows
            if any(purge.covers(seq, category, action) for purge in purges)
        ]


_READ: Final = f"""
SELECT n.seq, e.id, e.category, e.action FROM {ENTRY_TABLE} n JOIN {EVENT_TABLE} e ON e.tenant = n.tenant AND e.id = n.event_id
WHERE n.tenant = %s AND n.epoch = %s AND n.seq >= %s AND n.seq < %s"""


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
