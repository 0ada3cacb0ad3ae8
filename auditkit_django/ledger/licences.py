"""
Licences: what a log itself says may be missing from it.

An erasure (``audit.subject.erased``) names fields and the seqs whose values went; a purge (``audit.events.purged``) a seq
below which the events of some kinds, or the entries too, may be gone. Both are events of the log like any other: their
digests are in entries that stand after what they speak of, so that whoever deletes evidence cannot make one up later
without the chain or a checkpoint telling.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

ERASED = "audit.subject.erased"
PURGED = "audit.events.purged"
#: What a log says about itself, and verification reads: it goes only with its entries, and is never erased.
CONTROL = frozenset(
    {
        "audit.checkpoint.sealed",
        "audit.event.quarantined",
        "audit.key.revoked",
        "audit.key.rotated",
        "audit.log.opened",
        ERASED,
        PURGED,
    }
)
ANY = "*"
#: Behind every seq.
MAX = 2**63

_SEQ = r"(?:0|[1-9][0-9]{0,15})"
_RUN = rf"{_SEQ}(?:-{_SEQ})?"
_RANGES = re.compile(rf"{_RUN}(?:,{_RUN})*", re.ASCII)


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
        if action in CONTROL or self.excluded & {category, action}:
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
    """All licences of one log."""

    purges: list[Purge] = field(default_factory=list)
    _erased: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    _added: dict[str, list[tuple[int, int]]] = field(default_factory=dict)

    def is_erased(self, seq: int, name: str) -> bool:
        """Whether the field ``name`` of the event at ``seq`` was erased."""
        ranges = self._ranges(name)
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
        merged = _merged(one for name in {*self._erased, *self._added} for one in self._ranges(name))
        return sum(last - max(first, start) + 1 for first, last in merged if last >= start)

    def add_erasure(self, names: Iterable[str], ranges: Sequence[tuple[int, int]]) -> None:
        """The values of ``names`` in ``ranges`` (first and last seq) were erased."""
        for name in names:
            self._added.setdefault(name, []).extend(ranges)

    def _ranges(self, name: str) -> list[tuple[int, int]]:
        if added := self._added.pop(name, None):
            # Once for all that was added: a subject of many scattered events is told in very many runs.
            self._erased[name] = _merged((*self._erased.get(name, []), *added))
        return self._erased.get(name, [])

    def take(self, said: Mapping[str, object], *, action: str, epoch: int, seq: int) -> None:
        """
        Take what the metadata of a control event at ``seq`` says of the log of ``epoch``. What cannot be read, or speaks of what
        comes after it, is no licence.
        """
        if action == PURGED and _is_epoch(said.get("epoch"), epoch):
            self._take_purge(said, seq)
        parts = said.get("erased") if action == ERASED else None
        for part in parts if isinstance(parts, list) else ():
            if isinstance(part, dict) and _is_epoch(part.get("epoch"), epoch):
                self._take_erasure(part.get("fields"), part.get("seqs"), seq)

    def _take_purge(self, said: Mapping[str, object], seq: int) -> None:
        until, excluded = said.get("until"), said.get("except", [])
        # Absent it is no licence: None is the one for everything.
        kind = said.get("kind", False)
        is_kind = kind is None or isinstance(kind, str)
        if type(until) is int and 0 < until <= seq and is_kind and _is_texts(excluded):
            new = Purge(until=until, kind=kind, excluded=frozenset(excluded))  # type: ignore[arg-type, call-overload]
            # Of those that differ in their cut alone, one for each run of the policy, the highest says it all.
            if not any(new.is_within(one) for one in self.purges):
                self.purges = [one for one in self.purges if not one.is_within(new)] + [new]

    def _take_erasure(self, names: object, text: object, seq: int) -> None:
        if _is_texts(names) and isinstance(text, str) and _RANGES.fullmatch(text):
            ranges = parse_ranges(text)
            if all(first <= last < seq for first, last in ranges):
                self.add_erasure(names, ranges)  # type: ignore[arg-type]


def _is_epoch(said: object, epoch: int) -> bool:
    # Python takes false and 0.0 for 0.
    return type(said) is int and said == epoch


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


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
