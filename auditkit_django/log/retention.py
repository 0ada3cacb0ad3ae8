"""
Retention: how long the events of a tenant are kept, and what of its logs is past that now.

The policy has days by kind of event. Each kind that is past its own loses its events; what is past the longest of all goes
with its entries, in whole tiles. Only what a checkpoint covers counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.transaction import get_connection

from auditkit_django import actions
from auditkit_django.conf import resolve, settings
from auditkit_django.exceptions import RetentionError
from auditkit_django.ledger.licences import ANY, Purge
from auditkit_django.log import meta
from auditkit_django.log.checkpoints import newest
from auditkit_django.log.licences import licences_of
from auditkit_django.log.places import first_seq_from
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE
from auditkit_django.log.tree import HEIGHT
from auditkit_django.models import Log, Publication

TILE: Final = 1 << HEIGHT
#: Entries that are looked through, or deleted, at once: whole tiles.
CHUNK = 20 * TILE

#: A century.
_MOST_DAYS: Final = 36_525
_READ: Final = f"""
SELECT n.seq, e.id, e.category, e.action FROM {ENTRY_TABLE} n JOIN {EVENT_TABLE} e ON e.tenant = n.tenant AND e.id = n.event_id
WHERE n.tenant = %s AND n.epoch = %s AND n.seq >= %s AND n.seq < %s"""

_Policy = Mapping[str, int | None]


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
class Plan:
    """
    The policy as it is at ``now`` for one log, of which ``covered`` entries are below a checkpoint. ``may_cut``: entries may
    go too.
    """

    log: Log
    policy: _Policy
    covered: int
    may_cut: bool
    now: datetime

    def cuts(self, *, using: str) -> Iterator[Cut]:
        """What may go and is there."""
        rules = list(self._rules(using=using))
        start = max((purge.until for purge, _days, _before in rules if purge.kind is None), default=self.log.first_seq)
        for purge, days, before in rules:
            if purge.kind is None:
                count = purge.until - self.log.first_seq
            else:
                # Below the cut they go with their entries.
                count = sum(map(len, events_of(self.log, [purge], start, purge.until, using=using)))
            if count:
                yield Cut(epoch=self.log.epoch, purge=purge, days=days, before=before, count=count)

    def purges(self, *, using: str) -> list[Purge]:
        """What may be deleted: the policy lets it go today, and the log says so."""
        standing = licences_of(self.log.tenant, self.log.epoch, using=using).purges
        rules = self._rules(using=using)
        return [purge for purge, _days, _before in rules if any(purge.is_within(one) for one in standing)]

    def _rules(self, *, using: str) -> Iterator[tuple[Purge, int, datetime]]:
        """What the policy lets go, whether it is there or not; what goes with its entries comes last."""
        for kind, days in sorted(self.policy.items()):
            if days is not None:
                before, until = self._before(days, using=using)
                excluded = frozenset(other for other in self.policy if _is_finer(other, kind))
                if until > self.log.first_seq:
                    yield Purge(until=until, kind=kind, excluded=excluded), days, before
        longest = _longest(self.policy) if self.may_cut else None
        if longest is not None:
            before, until = self._before(longest, using=using)
            if until // TILE * TILE > self.log.first_seq:
                yield Purge(until=until // TILE * TILE, kind=None), longest, before

    def _before(self, days: int, *, using: str) -> tuple[datetime, int]:
        """When that many days ago was, and the first covered seq from then on."""
        before = self.now - timedelta(days=days)
        return before, min(self.covered, first_seq_from(self.log, before, using=using)) if self.covered else 0


def plans_of(tenant: str, *, now: datetime, is_published: bool, using: str) -> list[Plan]:
    """
    A plan for each log of ``tenant``, the oldest first; where ``is_published``, by what published checkpoints cover.

    Raises:
        RetentionError: The policy is none.
    """
    logs = list(Log.objects.using(using).filter(tenant=tenant).order_by("epoch"))
    policy = policy_of(tenant) if logs else {}
    # The first entry of a log that came after another says what was lost in between, and the log of checkpoints what was
    # published of the others: they stay, and all behind them.
    may_cut = len(logs) == 1 and tenant != meta.META_TENANT
    return [
        Plan(log=log, policy=policy, covered=_covered(log, is_published, using=using), may_cut=may_cut, now=now)
        for log in logs
    ]


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


def published_size(log: Log, *, using: str) -> int:
    """The size of the newest checkpoint of ``log`` that was published, itself or by way of the log of checkpoints; 0: none."""
    own = Publication.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch).order_by("-size").first()
    return max(own.size if own is not None else 0, meta.published_size(log, using=using))


def events_of(log: Log, purges: list[Purge], first: int, end: int, *, using: str) -> Iterator[list[UUID]]:
    """Ids of the events from ``first`` to ``end`` that are there and that one of ``purges`` covers, chunk by chunk of seqs."""
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


def _covered(log: Log, is_published: bool, *, using: str) -> int:
    checkpoint = newest(log, using=using)
    covered = checkpoint.size if checkpoint is not None else 0
    return min(covered, published_size(log, using=using)) if is_published else covered


def _is_finer(other: str, kind: str) -> bool:
    """Whether ``other`` has the word where both name an event: an action before a category, and any name before ``"*"``."""
    return other != ANY if kind == ANY else "." in other and "." not in kind


def _longest(policy: _Policy) -> int | None:
    """Days after which everything may go; None where something is kept for ever."""
    # Also where there is no policy, or none for what is not named.
    days = [*policy.values(), *(() if ANY in policy else (None,))]
    return None if None in days else max(one for one in days if one is not None)
