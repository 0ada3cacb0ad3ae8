"""
The pass over the events of evidence: entries, links, disclosures and what is shown of them; counts and hashes for what follows.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from auditkit_django.ledger.entry import Entry, leaf_hash, parse
from auditkit_django.ledger.errors import MalformedError, VerificationError, excerpt
from auditkit_django.ledger.evidence.form import Manifest, Totals
from auditkit_django.ledger.evidence.report import Found
from auditkit_django.ledger.evidence.rows import Row, csv_line, json_line, opened
from auditkit_django.ledger.licences import ERASED, PURGED, Licences
from auditkit_django.ledger.ranges import CompactRange

MAX_FINDINGS: Final = 1000
_LINES: Final[Mapping[str, Callable[..., str]]] = {"csv": csv_line, "json": json_line, "jsonl": json_line}

#: Told of each event in the window: its entry, and the JSON texts of the values that are shown, by name.
Seen = Callable[[Entry, Mapping[str, str]], object]


@dataclass(slots=True, kw_only=True)
class Walk:
    """
    Where the pass over the events stands: the place that comes next, the leaf hash and the time of the entry before it. ``tree``
    is None from where it cannot lead to the root any more.
    """

    manifest: Manifest
    licences: Licences
    format: str
    tree: CompactRange | None
    seen: Seen | None = None
    controls: frozenset[int] = frozenset()
    findings: list[Found] = field(default_factory=list)
    at: int = 0
    prev: bytes | None = None
    time: str = ""
    first: Entry | None = None
    last: Entry | None = None
    events: int = 0
    left_out: int = 0
    disclosed: int = 0
    withheld: int = 0
    erased: int = 0
    purged: int = 0
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def find(self, code: str, message: str, seq: int | None = None) -> None:
        """Remember a finding."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Found(code=code, message=message, seq=seq))

    def take(self, row: Row) -> None:
        """One event: its entry's place, its disclosures, and what is shown of it."""
        data = row.entry.encode()
        leaf = leaf_hash(data)
        try:
            entry = parse(data)
        except MalformedError as exc:
            self.find("entry.malformed", str(exc), self.at)
            self._lose()
        else:
            self._take_entry(entry, leaf, row)
        if self.tree is not None:
            self.tree.append(leaf)
        self.prev = leaf
        self.at += 1

    def _take_entry(self, entry: Entry, leaf: bytes, row: Row) -> None:
        find, seq = self.find, entry.seq
        if row.skipped:
            self.skip(row.skipped, seq)
        if seq != self.at:
            find("entry.seq", f"got {seq}, wanted {self.at}", seq)
            self._lose()
            self.at = seq
        elif self.prev is not None and entry.prev != self.prev:
            find("entry.prev", f"links to {b2a_base64(entry.prev, newline=False).decode()}", seq)
        if entry.log != self.manifest.origin:
            find("entry.origin", f"got {excerpt(entry.log)}, wanted {excerpt(self.manifest.origin)}", seq)
        if entry.time < self.time:
            find("entry.time", f"got {entry.time} after {self.time}", seq)
        self.time, self.last = entry.time, entry
        if self.first is None:
            self.first = entry
        try:
            values = opened(row.disclosures, entry.sd)
        except MalformedError as exc:
            find("disclosure.malformed", str(exc), seq)
        except VerificationError as exc:
            find("disclosure.mismatch", str(exc), seq)
        else:
            if row.raw is not None:
                line = _LINES[self.format](entry, row.entry, leaf, values, row.disclosures, row.skipped)
                if line != row.raw:
                    find("event.text", f"got {_difference(row.raw, line)}", seq)
            self._count(entry, values)

    def _count(self, entry: Entry, values: Mapping[str, str]) -> None:
        if entry.action in (ERASED, PURGED) and entry.seq not in self.controls:
            self.find("control.proof", "an erasure or a purge is not among the control events", entry.seq)
        if any(name in values for name in self.manifest.withheld):
            self.find("manifest.claim", "a field is disclosed that is said to be withheld", entry.seq)
        if not self.manifest.is_in_window(entry.time):
            if values or entry.seq not in (self.manifest.start, self.manifest.end - 1):
                self.find(
                    "window.edge", "an entry outside of the window is disclosed, or more than one is there", entry.seq
                )
            return
        self.events += 1
        self.disclosed += bool(values)
        self.counts[entry.action, entry.time[:7]] += 1
        if len(values) < len(entry.sd):
            self._miss(entry, values)
        if self.seen is not None:
            self.seen(entry, values)

    def _miss(self, entry: Entry, values: Mapping[str, str]) -> None:
        licences = self.licences
        for name in sorted(entry.sd.keys() - values.keys()):
            if name in self.manifest.withheld:
                self.withheld += 1
            elif licences.is_erased(entry.seq, name):
                self.erased += 1
            elif not values and licences.is_purged(entry.seq, entry.category, entry.action):
                self.purged += 1
            else:
                self.find("disclosure.missing", f"{name} is not disclosed", entry.seq)

    def skip(self, hashes: Sequence[bytes], seq: int) -> None:
        """Go on to ``seq`` over entries that are left out; ``at`` stays where that cannot be."""
        if seq <= self.at:
            if hashes:
                self.find("entry.seq", f"got hashes of entries that are left out before {seq}, wanted none", seq)
                self._lose()
            return
        if not hashes:
            return
        try:
            skipped = CompactRange(seq - self.at, hashes, start=self.at)
        except MalformedError as exc:
            self.find("range.root", str(exc), seq)
            self._lose()
            return
        if self.tree is not None:
            self.tree.merge(skipped)
        self.left_out += seq - self.at
        self.at, self.prev = seq, None

    def _lose(self) -> None:
        if self.tree is not None:
            self.find("range.root", "the entries do not follow on each other", self.at)
        self.tree = None

    def check_edges(self) -> Iterator[Found]:
        """Whether the events reach the edges of the window; what is found."""
        manifest, first, last = self.manifest, self.first, self.last
        if manifest.start not in (0, self.licences.start()):
            # Without a time the window is open: it begins where the log does.
            is_edge = first is not None and first.seq == manifest.start and first.time < (manifest.time_from or "")
            if not is_edge:
                yield Found(code="window.edge", message="the first entry is not from before the window")
        if manifest.end != manifest.size:
            is_edge = last is not None and last.seq == manifest.end - 1 and last.time >= (manifest.time_to or "~")
            if not is_edge:
                yield Found(code="window.edge", message="the last entry is not from after the window")

    def absorb(self, later: Walk) -> None:
        """Go on from where ``later`` ended, which began where this one stands."""
        for one in later.findings:
            self.find(one.code, one.message, one.seq)
        if self.tree is None or later.tree is None:
            self.tree = None
        else:
            self.tree.merge(later.tree)
        self.at, self.prev, self.time, self.last = later.at, later.prev, later.time, later.last or self.last
        self.first = self.first or later.first
        self.counts.update(later.counts)
        for name in ("events", "left_out", "disclosed", "withheld", "erased", "purged"):
            setattr(self, name, getattr(self, name) + getattr(later, name))

    def totals(self) -> Totals:
        """The figures so far."""
        counts: dict[str, dict[str, int]] = {name: {} for name in self.manifest.actions}
        for (action, month), count in sorted(self.counts.items()):
            counts.setdefault(action, {})[month] = count
        return Totals(
            events=self.events,
            left_out=self.left_out,
            disclosed=self.disclosed,
            withheld=self.withheld,
            erased=self.erased,
            purged=self.purged,
            counts=counts,
        )


def _difference(got: str, wanted: str) -> str:
    """Where two lines begin to differ."""
    at = next(
        (at for at, (one, other) in enumerate(zip(got, wanted, strict=False)) if one != other),
        min(len(got), len(wanted)),
    )
    return f"{excerpt(got[at : at + 40])} at {at}, wanted {excerpt(wanted[at : at + 40])}"
