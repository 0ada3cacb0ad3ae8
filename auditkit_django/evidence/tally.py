"""Tally: what the report counts of the events in scope, and the sample that it draws of them, in one pass."""

from __future__ import annotations

import hashlib
import heapq
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from auditkit_django.ledger.entry import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled:
    """An event of the sample. ``values`` maps a field to the JSON text of its value, and lacks what is not disclosed."""

    entry: Entry
    values: Mapping[str, str]


class Tally:
    """
    Counts of events by what their entries say, and a sample of ``sample`` of them.

    Months are ``YYYY-MM`` and days ``YYYY-MM-DD``, in UTC, of the time at which an event was appended. The sample are the events
    with the smallest SHA-256 of the ASCII text ``<seed>:<seq>``: anybody can draw it again, and nobody could choose it.
    ``first_time`` and ``last_time`` are when the first and the last event were appended, as their entries say it; None without.
    """

    __slots__ = (
        "_heap",
        "by_action_month",
        "by_action_outcome",
        "by_category",
        "by_day_outcome",
        "by_severity",
        "events",
        "first_time",
        "last_time",
        "sample",
        "seed",
    )

    def __init__(self, *, sample: int = 25, seed: str = "1") -> None:
        self.sample = sample
        self.seed = seed
        self.events = 0
        self.first_time: str | None = None
        self.last_time: str | None = None
        self.by_action_month: dict[tuple[str, str], int] = defaultdict(int)
        self.by_action_outcome: dict[tuple[str, str], int] = defaultdict(int)
        self.by_day_outcome: dict[tuple[str, str], int] = defaultdict(int)
        self.by_category: dict[str, int] = defaultdict(int)
        self.by_severity: dict[str, int] = defaultdict(int)
        # The largest hash of the sample comes first, as the smallest of the negated ones. No two events have one seq.
        self._heap: list[tuple[int, int, Sampled]] = []

    def add(self, entry: Entry, values: Mapping[str, str]) -> None:
        """Count one event; to be called once for each, in order of seq. ``values`` as in ``Sampled``."""
        self.events += 1
        # In order of seq no time falls.
        self.first_time = self.first_time or entry.time
        self.last_time = entry.time
        self.by_action_month[entry.action, entry.time[:7]] += 1
        self.by_action_outcome[entry.action, entry.outcome] += 1
        self.by_day_outcome[entry.time[:10], entry.outcome] += 1
        self.by_category[entry.category] += 1
        self.by_severity[entry.severity] += 1
        rank = -int.from_bytes(hashlib.sha256(f"{self.seed}:{entry.seq}".encode("ascii")).digest())
        if len(self._heap) < self.sample:
            heapq.heappush(self._heap, (rank, entry.seq, Sampled(entry=entry, values=dict(values))))
        elif self._heap and rank > self._heap[0][0]:
            heapq.heapreplace(self._heap, (rank, entry.seq, Sampled(entry=entry, values=dict(values))))

    def by_outcome(self) -> dict[str, int]:
        """Outcome to events."""
        found: dict[str, int] = defaultdict(int)
        for (_day, outcome), count in self.by_day_outcome.items():
            found[outcome] += count
        return dict(found)

    def sampled(self) -> list[Sampled]:
        """The sample, in order of seq."""
        return [event for _rank, _seq, event in sorted(self._heap, key=lambda one: one[1])]
