"""
Prune: remove what is past its retention, and leave the rest provable.

* Events of a kind that is kept for less long than others go by themselves: their entries stay, and with them every hash.
* What is past the longest retention goes with its entries, in whole tiles of 256: the log then begins at a seq that is a
  multiple of 256. Below it the tiles stay, 32 bytes for 256 entries; they lead to the roots that were signed, so that
  everything after it is proven as before.

Each needs a checkpoint that stands at or beyond the cut. First it is recorded what may go (``audit.events.purged``); then
it goes, in chunks of a transaction each. After a crash the same call goes on where it stopped.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
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
from auditkit_django.ledger.entry import format_time, parse
from auditkit_django.ledger.ranges import CompactRange
from auditkit_django.log import meta
from auditkit_django.log.adding import add_own, locked_head, refuse_open_transaction
from auditkit_django.log.checkpoints import newest
from auditkit_django.log.holds import refuse_held
from auditkit_django.log.licences import ANY, Purge, licences_of
from auditkit_django.log.own import PURGED, QUARANTINED, own_event
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE
from auditkit_django.log.tree import HEIGHT
from auditkit_django.models import Checkpoint, Entry, Event, Log, Publication, Tile
from auditkit_django.sql.guards import permitted

TILE: Final = 1 << HEIGHT
#: Entries that one transaction deletes or looks through: whole tiles.
CHUNK: Final = 20 * TILE

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """
    One thing to prune, appended before ``before``, which is ``days`` ago; ``count`` are the events that are there to go.
    """

    purge: Purge
    days: int
    before: datetime
    count: int

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {
            "kind": self.purge.kind,
            "until": self.purge.until,
            "days": self.days,
            "before": self.before.isoformat(),
            "count": self.count,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneReport:
    """What was pruned, or (``is_dry_run``) would be, of one log; ``first_seq`` is where it begins now."""

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
        isinstance(name, str) and (days is None or (type(days) is int and days > 0)) for name, days in chosen.items()
    ):
        raise RetentionError(f'RETENTION: got {chosen!r:.200}, wanted days by category or action, such as {{"*": 365}}')
    found: dict[str, int | None] = {}
    for name, days in chosen.items():
        of_class = [action.name for action in actions.all_actions() if action.retention == name]
        found |= dict.fromkeys(of_class or [name], days)
    return found


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
    Prune the newest log of ``tenant`` by its policy; with ``dry_run`` only say what would go. ``progress`` gets (seqs done,
    seqs to go through). Only what a published checkpoint covers goes, unless it ``may_be_unpublished``.

    Raises:
        RetentionError: A legal hold stands, the policy is none, or no checkpoint was published.
        UnknownTenantError: The tenant has no log.
        AppendError: A transaction is open.
    """
    refuse_open_transaction("prune", using=using)
    refuse_held(tenant, using=using)
    log = _log(tenant, using=using)
    checkpoint = newest(log, using=using)
    covered = checkpoint.size if checkpoint is not None else 0
    cuts = tuple(_cuts(log, policy_of(tenant), covered, now=clock(), using=using))
    if cuts and not may_be_unpublished:
        published = published_size(log, using=using)
        if published < covered:
            cuts = tuple(_cuts(log, policy_of(tenant), published, now=clock(), using=using))
        if not cuts:
            raise RetentionError(
                f"prune: what is past its retention of tenant {tenant!r} is below no published checkpoint: set PUBLISHERS, or say"
                " that it may be unpublished"
            )
    if dry_run:
        return PruneReport(tenant=tenant, cuts=cuts, first_seq=log.first_seq, is_dry_run=True)
    _license(log, cuts, actor=actor, using=using, clock=clock)
    crash_point("prune.licensed")
    purges = licences_of(tenant, log.epoch, using=using).purges
    start = max((purge.until for purge in purges if purge.kind is None), default=0)
    ends = {purge.until for purge in purges if purge.kind is not None}
    total = max(start, max(ends, default=0)) - log.first_seq
    done = 0
    for done in _delete_start(log, start, using=using):
        if progress is not None:
            progress(done, total)
    for seq in _delete_events(log, purges, max(ends, default=0), using=using):
        if progress is not None:
            progress(seq - log.first_seq + done, total)
    first_seq = _log(tenant, using=using).first_seq
    return PruneReport(tenant=tenant, cuts=cuts, first_seq=first_seq, is_dry_run=False)


def _log(tenant: str, *, using: str) -> Log:
    log = Log.objects.using(using).filter(tenant=tenant, state=Log.State.OPEN).order_by("-epoch").first()
    if log is None:
        raise UnknownTenantError(f"tenant: got {tenant!r}, wanted one with an open log")
    return log


def published_size(log: Log, *, using: str) -> int:
    """The size of the newest checkpoint of ``log`` that was published, itself or by way of the log of checkpoints; 0: none."""
    own = Publication.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch).order_by("-size").first()
    return max(own.size if own is not None else 0, meta.published_size(log, using=using))


def _cuts(log: Log, policy: Mapping[str, int | None], covered: int, *, now: datetime, using: str) -> Iterator[Cut]:
    """What the policy says is to go, is there, and is below ``covered``, the size of a checkpoint."""
    if not covered or not policy:
        return
    longest = _longest(policy)
    for kind, days in sorted(policy.items()):
        if days is None or (longest is not None and days >= longest):
            continue
        before = now - timedelta(days=days)
        excluded = frozenset(other for other in policy if _is_finer(other, kind))
        until = min(covered, _count_before(log, before, using=using))
        purge = Purge(until=until, kind=kind, excluded=excluded)
        count = sum(len(ids) for ids in _chunks_of(log, [purge], until, using=using)) if until > log.first_seq else 0
        if count:
            yield Cut(purge=purge, days=days, before=before, count=count)
    if longest is not None:
        before = now - timedelta(days=longest)
        until = min(covered, _count_before(log, before, using=using)) // TILE * TILE
        if until > log.first_seq:
            purge = Purge(until=until, kind=None)
            yield Cut(purge=purge, days=longest, before=before, count=until - log.first_seq)


def _is_finer(other: str, kind: str) -> bool:
    """Whether ``other`` has the word where both name an event: an action before its category, and any name before ``"*"``."""
    if kind == ANY:
        return other != ANY
    known = actions.get(other)
    return "." in other and "." not in kind and (known is None or known.category == kind)


def _longest(policy: Mapping[str, int | None]) -> int | None:
    """Days after which everything may go; None where something is kept for ever."""
    days = [*policy.values(), *(() if ANY in policy else (None,))]
    return None if None in days else max(one for one in days if one is not None)


def _count_before(log: Log, before: datetime, *, using: str) -> int:
    """The seq of the first entry appended at ``before`` or later. Times of entries never fall: it is searched by halves."""
    low, high, wanted = log.first_seq, log.size, format_time(before)
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    while low < high:
        middle = (low + high) // 2
        body = entries.filter(seq=middle).values_list("body", flat=True).first()
        if body is None:
            raise RetentionError(f"prune: there is no entry at seq {middle} of tenant {log.tenant!r}: verify the log")
        if parse(bytes(body)).time < wanted:
            low = middle + 1
        else:
            high = middle
    return low


def _license(log: Log, cuts: tuple[Cut, ...], *, actor: Actor, using: str, clock: Callable[[], datetime]) -> None:
    """Record what may go, where that was not done by a run that was interrupted."""
    standing = licences_of(log.tenant, log.epoch, using=using).purges
    cuts = tuple(cut for cut in cuts if not any(cut.purge.is_within(one) for one in standing))
    if not cuts:
        return
    with transaction.atomic(using=using):
        head, now = locked_head(log.tenant, using=using), clock()
        refuse_held(log.tenant, using=using)
        if head.epoch != log.epoch:
            raise AppendError(f"prune: the log of tenant {log.tenant!r} was closed meanwhile")
        events = []
        for cut in cuts:
            said: dict[str, object] = {**cut.as_json(), "until": cut.purge.until}
            if cut.purge.kind is None:
                said |= {"root": b64encode(_start(log, cut.purge.until, using=using).root()).decode()}
            if cut.purge.excluded:
                said |= {"except": sorted(cut.purge.excluded)}
            target = Target("log", str(log.pk))
            events.append(own_event(log.tenant, PURGED, target=target, metadata=said, now=now, actor=actor))
        add_own(head, events, now=now, using=using)


def _start(log: Log, until: int, *, using: str) -> CompactRange:
    """The compact range of the entries [0, ``until``), a whole number of tiles, from the tiles alone."""
    tiles = Tile.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, level=1, number__lt=until // TILE)
    return start_of([bytes(value) for value in tiles.order_by("number").values_list("hash", flat=True)], until)


def start_of(tiles: list[bytes], until: int) -> CompactRange:
    """
    The compact range of the leaves [0, ``until``) whose tiles of level 1 these are: nodes of level 8, that are folded as
    leaves are.

    Raises:
        MalformedError: Not one hash of 32 bytes for each.
    """
    above = CompactRange()
    above.extend(tiles)
    return CompactRange(until, above.hashes if len(tiles) == until // TILE else ())


def _delete_start(log: Log, start: int, *, using: str) -> Iterator[int]:
    """Delete events and entries below ``start``; how many seqs are done, after each chunk."""
    connection, first = get_connection(using), log.first_seq
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    while log.first_seq < start:
        until = min(start, log.first_seq + CHUNK)
        with transaction.atomic(using=using):
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
                    cursor.execute(
                        f"DELETE FROM {Checkpoint._meta.db_table} WHERE tenant = %s AND epoch = %s AND size < %s",
                        [log.tenant, log.epoch, until],
                    )
        crash_point("prune.chunk")
        log.first_seq = until
        yield until - first


def _quarantined(tenant: str, ids: list[UUID], *, using: str) -> list[UUID]:
    """Events in quarantine whose stand-ins are among ``ids``: nothing else would stand for them."""
    found: list[UUID] = []
    for at in range(0, len(ids), 500):
        events = Event.objects.using(using).filter(tenant=tenant, id__in=ids[at : at + 500], action=QUARANTINED)
        found += [UUID(hex=key) for key in events.values_list("target_id", flat=True) if key]
    return found


def _delete_events(log: Log, purges: list[Purge], end: int, *, using: str) -> Iterator[int]:
    """Delete the events, without their entries, that ``purges`` cover below ``end``; the seq that is reached."""
    by_kind = [purge for purge in purges if purge.kind is not None]
    seq = log.first_seq
    for ids in _chunks_of(log, by_kind, end, using=using):
        if ids:
            with transaction.atomic(using=using), permitted(get_connection(using), "prune"):
                _delete_by_id(log.tenant, ids, using=using)
                crash_point("prune.purged")
        seq = min(end, seq + CHUNK)
        yield seq


def _chunks_of(log: Log, purges: list[Purge], end: int, *, using: str) -> Iterator[list[UUID]]:
    """Ids of the events that are there and that one of ``purges`` covers, chunk by chunk of seqs."""
    for start in range(log.first_seq, end, CHUNK):
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
