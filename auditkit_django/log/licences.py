"""
Licences: what the log itself says may be missing from it.

An erasure (``audit.subject.erased``) names fields and the seqs whose values went; a purge (``audit.events.purged``) a seq
below which the events of some categories, or the entries too, may be gone. Both are events of the log like any other: their
digests are in entries that stand after what they speak of, so that whoever deletes evidence cannot make one up later
without the chain or a checkpoint telling.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.disclosure import split_with_values
from auditkit_django.log.own import CONTROL_CATEGORY, ERASED, PURGED
from auditkit_django.log.reading import any_text
from auditkit_django.models import Entry, Event

ANY = "*"

_RANGES = re.compile(r"(?:[0-9]{1,16}(?:-[0-9]{1,16})?(?:,|\Z))+")
_CHUNK = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Purge:
    """
    Below ``until`` events of ``kind`` (a category, an action, or ``"*"``) but not of a kind in ``excluded`` may be gone; where
    it is None, everything.
    """

    until: int
    kind: str | None
    excluded: frozenset[str] = frozenset()

    def covers(self, seq: int, category: str, action: str) -> bool:
        """Whether the event at ``seq`` may be gone. What the log says about itself goes only with everything."""
        if seq >= self.until:
            return False
        if self.kind is None:
            return True
        if category == CONTROL_CATEGORY or self.excluded & {category, action}:
            return False
        return self.kind in (ANY, category, action)

    def is_within(self, other: Purge) -> bool:
        """Whether ``other`` lets go all that this one does."""
        return self.until <= other.until and (self.kind, self.excluded) == (other.kind, other.excluded)

    def described(self) -> str:
        """Which events, in words."""
        if self.kind is None:
            return "events with their entries"
        named = "all events" if self.kind == ANY else f"{self.kind} events"
        return f"{named} but {', '.join(sorted(self.excluded))}" if self.excluded else named


@dataclass(slots=True, kw_only=True)
class Licences:
    """
    All licences of one log. ``erased_values`` and ``purged_until`` are what they cover, for the report.
    """

    purges: list[Purge] = field(default_factory=list)
    _erased: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def is_erased(self, seq: int, name: str) -> bool:
        """Whether the field ``name`` of the event at ``seq`` was erased."""
        ranges = self._erased.get(name, [])
        at = bisect_right(ranges, (seq, MAX)) - 1
        return at >= 0 and ranges[at][0] <= seq <= ranges[at][1]

    def is_purged(self, seq: int, category: str, action: str) -> bool:
        """Whether the event at ``seq`` may be gone."""
        return any(purge.covers(seq, category, action) for purge in self.purges)

    def start(self) -> int:
        """The highest seq at which the log may begin."""
        return max((purge.until for purge in self.purges if purge.kind is None), default=0)

    def erased_events(self, start: int) -> int:
        """How many events from ``start`` on lost at least one field."""
        merged = _merged(one for ranges in self._erased.values() for one in ranges)
        return sum(last - max(first, start) + 1 for first, last in merged if last >= start)

    def add_erasure(self, names: Iterable[str], ranges: Sequence[tuple[int, int]]) -> None:
        """The values of ``names`` in ``ranges`` (first and last seq) were erased."""
        for name in names:
            self._erased[name] = _merged((*self._erased.get(name, []), *ranges))


#: Behind every seq.
MAX = 2**63


def licences_of(tenant: str, epoch: int, *, using: str) -> Licences:
    """
    What the logs of ``tenant`` say may be missing from that of ``epoch``. Events that are in no log, that cannot be read or
    that speak of what comes after them give none; whether those that do are what was recorded, the walk over the entries tells.
    """
    found = Licences()
    events = Event.objects.using(using).filter(tenant=tenant, action__in=(ERASED, PURGED))
    with any_text(using):
        rows = list(events.order_by("id").values_list("id", "action", "disclosures"))
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        ids = [row[0] for row in some]
        entries = Entry.objects.using(using).filter(tenant=tenant, epoch__gte=epoch, event_id__in=ids)
        # A log that was closed is spoken of in a later one, and all of it came before.
        seqs = {
            event_id: seq if at == epoch else MAX
            for event_id, at, seq in entries.values_list("event_id", "epoch", "seq")
        }
        for event_id, action, disclosures in some:
            seq = seqs.get(event_id)
            if type(seq) is int:
                _take(found, epoch, seq, action, _metadata(disclosures))
    return found


def _take(found: Licences, epoch: int, seq: int, action: str, said: dict[str, Any]) -> None:
    if action == ERASED:
        parts = said.get("erased")
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict) or part.get("epoch") != epoch:
                continue
            names, text = part.get("fields"), part.get("seqs")
            if isinstance(names, list) and isinstance(text, str) and _RANGES.fullmatch(text):
                ranges = parse_ranges(text)
                if all(first <= last < seq for first, last in ranges):
                    found.add_erasure((name for name in names if isinstance(name, str)), ranges)
        return
    until, kind, excluded = said.get("until"), said.get("kind"), said.get("except") or []
    is_named = kind is None or isinstance(kind, str)
    is_named = is_named and said.get("epoch") == epoch
    if type(until) is int and 0 < until <= seq and is_named and isinstance(excluded, list):
        found.purges.append(Purge(until=until, kind=kind, excluded=frozenset(map(str, excluded))))


def format_ranges(seqs: Iterable[int]) -> Iterator[str]:
    """``seqs``, rising, as ``0-5,9``: one piece for each run."""
    first = last = -1
    for seq in seqs:
        if first >= 0 and seq == last + 1:
            last = seq
            continue
        if first >= 0:
            yield f"{first}-{last}" if last > first else str(first)
        first = last = seq
    if first >= 0:
        yield f"{first}-{last}" if last > first else str(first)


def parse_ranges(text: str) -> list[tuple[int, int]]:
    """First and last of each run in ``0-5,9``."""
    runs = (piece.partition("-") for piece in text.split(","))
    return [(int(first), int(last or first)) for first, _dash, last in runs]


def _merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _metadata(disclosures: object) -> dict[str, Any]:
    try:
        value = split_with_values(disclosures)["metadata"][1] if isinstance(disclosures, str) else None
    except (MalformedError, KeyError):
        return {}
    return value if isinstance(value, dict) else {}
