"""The entries of a window, one after the other, as evidence shows them: whole, or as hashes of those that are left out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from auditkit_django.evidence.order import Order, Progress
from auditkit_django.evidence.tally import Tally
from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.disclosure import from_json, split
from auditkit_django.ledger.entry import Entry, leaf_hash, parse
from auditkit_django.ledger.evidence.form import Manifest, Totals
from auditkit_django.ledger.evidence.rows import value_text
from auditkit_django.ledger.licences import Licences
from auditkit_django.ledger.ranges import CompactRange
from auditkit_django.log.reading import DisclosedEntry, disclosed_entries
from auditkit_django.query.filters import EventFilter

_CHUNK: Final = 500


class Shown(NamedTuple):
    """One event: arguments of ``rows.json_line``, and whether it is in the window (else it shows its edge)."""

    entry: Entry
    text: str
    leaf: bytes
    values: Mapping[str, str]
    disclosures: Sequence[str]
    skipped: Sequence[bytes]
    is_in_window: bool


@dataclass(slots=True, kw_only=True)
class Walk:
    """One pass over the entries [``manifest.start``, ``manifest.end``), and what it counted."""

    order: Order
    manifest: Manifest
    licences: Licences
    using: str
    progress: Progress | None = None
    tally: Tally | None = None
    trailing: tuple[bytes, ...] = ()
    _events: int = 0
    _left_out: int = 0
    _disclosed: int = 0
    _withheld: int = 0
    _erased: int = 0
    _purged: int = 0
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)

    def shown(self) -> Iterator[Shown]:
        """The events that are shown, in order of seq."""
        manifest, withheld = self.manifest, frozenset(self.manifest.withheld)
        skipped: CompactRange | None = None
        for chunk in self._chunks():
            is_matching = self._matching(chunk)
            for seq, event_id, body, texts in chunk:
                entry = parse(body)
                is_in_window = manifest.is_in_window(entry.time)
                leaf = leaf_hash(body)
                if is_in_window and not is_matching(event_id):
                    skipped = skipped or CompactRange(start=seq)
                    skipped.append(leaf)
                    self._left_out += 1
                    continue
                values, disclosures = _opened(texts, withheld) if is_in_window else ({}, ())
                hashes, skipped = skipped.hashes if skipped is not None else (), None
                if is_in_window:
                    self._count(entry, values)
                yield Shown(entry, body.decode("ascii"), leaf, values, disclosures, hashes, is_in_window)
        self.trailing = skipped.hashes if skipped is not None else ()

    def totals(self) -> Totals:
        """The figures of the pass that is over."""
        counts: dict[str, dict[str, int]] = {name: {} for name in self.manifest.actions}
        for (action, month), count in self._counts.items():
            counts.setdefault(action, {})[month] = count
        return Totals(
            events=self._events,
            left_out=self._left_out,
            disclosed=self._disclosed,
            withheld=self._withheld,
            erased=self._erased,
            purged=self._purged,
            counts=counts,
        )

    def _count(self, entry: Entry, values: Mapping[str, str]) -> None:
        self._events += 1
        self._disclosed += bool(values)
        self._counts[entry.action, entry.time[:7]] += 1
        if self.tally is not None:
            self.tally.add(entry, values)
        if len(values) == len(entry.sd):
            return
        for name in entry.sd.keys() - values.keys():
            if name in self.manifest.withheld:
                self._withheld += 1
            elif self.licences.is_erased(entry.seq, name):
                self._erased += 1
            elif not values and self.licences.is_purged(entry.seq, entry.category, entry.action):
                self._purged += 1

    def _chunks(self) -> Iterator[list[DisclosedEntry]]:
        start, end = self.manifest.start, self.manifest.end
        origin = self.order.tenant, self.manifest.epoch
        for chunk in disclosed_entries(*origin, start=start, using=self.using) if start < end else ():
            kept = chunk if chunk[-1].seq < end else [one for one in chunk if one.seq < end]
            if kept:
                yield kept
            if self.progress is not None and kept:
                self.progress(kept[-1].seq + 1 - start, end - start)
            if len(kept) < len(chunk) or (kept and kept[-1].seq == end - 1):
                return

    def _matching(self, chunk: Sequence[DisclosedEntry]) -> Callable[[str], bool]:
        """Whether the event with an id matches the filter."""
        chosen = self.order.chosen
        if chosen == EventFilter():
            return lambda _id: True
        ids = [one.event_id for one in chunk]
        found: set[str] = set()
        for at in range(0, len(ids), _CHUNK):
            rows = chosen.apply(self.order.tenant).using(self.using).filter(id__in=ids[at : at + _CHUNK])
            found |= {str(key) for key in rows.values_list("id", flat=True)}
        return found.__contains__


def _opened(text: str | None, withheld: frozenset[str]) -> tuple[dict[str, str], list[str]]:
    """The JSON texts of the values that are shown, by name, and their disclosures."""
    try:
        texts = split(text or "{}")
        shown = {name: array for name, array in texts.items() if name not in withheld} if withheld else texts
        return {name: value_text(array, name) for name, array in shown.items()}, [
            from_json(array) for array in shown.values()
        ]
    except MalformedError:
        # Edited in the database: it opens nothing, as verification will say.
        return {}, []
