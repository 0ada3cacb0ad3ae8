"""What is to be exported, as a value: the same for code, command, admin and page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.checkpoint import parse_checkpoint
from auditkit_django.ledger.entry import FIELDS
from auditkit_django.ledger.evidence.form import Manifest, Totals
from auditkit_django.ledger.note import parse as parse_note
from auditkit_django.query.filters import EventFilter

#: Format to content type and ending of names.
FORMATS: Final = {
    "bundle": ("application/zip", "zip"),
    "csv": ("text/csv; charset=utf-8", "csv"),
    "json": ("application/json", "json"),
    "jsonl": ("application/jsonl", "jsonl"),
    "parquet": ("application/vnd.apache.parquet", "parquet"),
    "xlsx": ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
}
#: With a proof; the others are copies for reading.
PROVEN: Final = ("bundle", "csv", "json", "jsonl")
MAX_SAMPLE: Final = 1000

#: Told how many of how many entries were written.
Progress = Callable[[int, int], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """
    One export. ``start`` (included) and ``end`` (not), both aware, are of when entries were appended; without proof, of when
    events occurred. ``chosen`` narrows the events, ``withheld`` are names of fields, ``since`` signed notes that the receiver
    holds.

    Of the report of a bundle: ``sample`` events are drawn by ``seed``, with ``pdf`` it is there as PDF too, and ``name`` is what
    it calls the organization (its key, where there is none).

    Raises:
        MalformedError: Something in it cannot be meant.
    """

    tenant: str
    format: str = "bundle"
    proof: bool = True
    start: datetime | None = None
    end: datetime | None = None
    chosen: EventFilter = field(default_factory=EventFilter)
    withheld: tuple[str, ...] = ()
    since: tuple[str, ...] = ()
    sample: int = 25
    seed: str = "1"
    pdf: bool = False
    name: str = ""

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise MalformedError(f"format: got {self.format!r:.20}, wanted one of {', '.join(FORMATS)}")
        if self.proof and self.format not in PROVEN:
            raise MalformedError(f"format: got {self.format} with its proof, wanted one of {', '.join(PROVEN)}")
        if not self.proof and self.format == "bundle":
            raise MalformedError("format: got a bundle without proof, wanted another format, or the proof")
        if unknown := set(self.withheld) - set(FIELDS):
            raise MalformedError(f"withheld: got {', '.join(sorted(unknown))}, wanted some of {', '.join(FIELDS)}")
        if not self.proof and self.since:
            raise MalformedError("since: got a note for an export without proof")
        for name in ("start", "end"):
            moment = getattr(self, name)
            if moment is not None and moment.utcoffset() is None:
                raise MalformedError(f"{name}: got the naive {moment}, wanted a datetime with a time zone")
        if self.start is not None and self.end is not None and self.end < self.start:
            raise MalformedError(f"end: got {self.end}, which is before the start")
        if self.pdf and self.format != "bundle":
            raise MalformedError(f"pdf: got it for {self.format}, wanted a bundle, which has a report")
        if type(self.sample) is not int or not 0 <= self.sample <= MAX_SAMPLE:
            raise MalformedError(f"sample: got {self.sample!r:.20}, wanted 0 to {MAX_SAMPLE}")
        if not self.seed.isascii() or not self.seed.isprintable() or len(self.seed) > 64:
            raise MalformedError(f"seed: got {self.seed!r:.80}, wanted at most 64 printable ASCII characters")
        self.held()

    def held(self) -> dict[int, str]:
        """The checkpoints in ``since``: size to origin."""
        found = [parse_checkpoint(parse_note(note).text) for note in self.since]
        return {one.size: one.origin for one in sorted(found, key=lambda one: one.size)}

    @property
    def content_type(self) -> str:
        """For a download."""
        return FORMATS[self.format][0]

    @property
    def suffix(self) -> str:
        """The ending of a file's name, without the dot."""
        return FORMATS[self.format][1]

    def described(self) -> dict[str, object]:
        """What the event of the export remembers."""
        times = {name: moment.isoformat() for name in ("start", "end") if (moment := getattr(self, name)) is not None}
        withheld = {"withheld": sorted(set(self.withheld))} if self.withheld else {}
        return {"format": self.format, "proof": self.proof, "filter": self.chosen.described(), **times, **withheld}


@dataclass(slots=True, kw_only=True)
class Export:
    """
    A file that is being made: ``blocks`` are its bytes, to be taken once. ``manifest`` is None without proof, ``totals`` until
    the last block was taken; ``events`` counts those that were written.
    """

    order: Order
    blocks: Iterator[bytes]
    manifest: Manifest | None = None
    totals: Totals | None = None
    events: int = 0
