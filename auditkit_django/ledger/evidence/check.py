"""
Verify evidence, in order, with bounded memory:

1. The file has the form of one of the formats, and its end is there.
2. The checkpoint is signed by a key that was given, or that one leads to, and is of the log that the manifest names.
3. What the log says may be missing is proven to be in it.
4. Every entry has the one form of entries, names that log and its place, and links to the one before; times do not fall.
5. Every disclosure opens a digest of its entry, and what is shown of the event follows from them. What is not disclosed was
   withheld, as the manifest says, or erased or pruned, as the log says; else it is missing.
6. The entries, and the hashes around them and in between, give the root that was signed: they are all there are.
7. Where there is a window of time, the entries reach it on both sides, so that none in it is missing; and all counts are right.
8. The log extends each checkpoint that somebody held and gave.

The verdict is that of the worst finding.
"""

from __future__ import annotations

import zipfile
import zlib
from binascii import b2a_base64
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO, Final

from auditkit_django.ledger.checkpoint import Checkpoint
from auditkit_django.ledger.entry import ZERO_HASH, Entry, leaf_hash, parse
from auditkit_django.ledger.errors import AuditkitError, MalformedError, VerificationError, excerpt
from auditkit_django.ledger.evidence.bundle import Bundle, open_bundle
from auditkit_django.ledger.evidence.files import CutError, Source, open_text
from auditkit_django.ledger.evidence.form import Control, Manifest, Proof, Totals
from auditkit_django.ledger.evidence.report import EvidenceReport, Found
from auditkit_django.ledger.evidence.rows import Row, csv_line, json_line, opened
from auditkit_django.ledger.licences import ERASED, PURGED, Licences
from auditkit_django.ledger.note import VerifierKey
from auditkit_django.ledger.note import parse as parse_note
from auditkit_django.ledger.proofs import verify_consistency, verify_inclusion
from auditkit_django.ledger.range_proof import ProvenRange
from auditkit_django.ledger.ranges import CompactRange
from auditkit_django.ledger.strict_json import decode
from auditkit_django.ledger.tlog_proof import parse_proof
from auditkit_django.ledger.trust import TrustedKey, open_trusted, reach

_MAX_FINDINGS: Final = 1000
_ZIP: Final = b"PK"
_LINES: Final[Mapping[str, Callable[..., str]]] = {"csv": csv_line, "json": json_line, "jsonl": json_line}

#: Told of each event in the window: its entry, and the JSON texts of the values that are shown, by name.
Seen = Callable[[Entry, Mapping[str, str]], object]


def verify_evidence(
    file: IO[bytes], keys: Sequence[VerifierKey], *, since: Sequence[str] = (), seen: Seen | None = None
) -> EvidenceReport:
    """
    Verify the evidence in ``file``, which is read and sought in, with the pinned ``keys``; ``since`` are signed notes that
    somebody kept. Never raises for what the file holds. ``seen`` is told of the events; nothing of them is proven before the end.
    """
    check = _Check(keys=keys, since=since, seen=seen)
    try:
        file.seek(0)
        is_zip = file.read(len(_ZIP)) == _ZIP
        file.seek(0)
        if is_zip:
            with closing(open_bundle(file)) as archive:
                check.run(Bundle(archive=archive))
        else:
            check.run(open_text(file))
    except _StopError:
        pass
    except CutError as exc:
        check.find("file.cut", str(exc))
    except (zipfile.BadZipFile, zlib.error, AuditkitError, OSError, EOFError, RuntimeError, ValueError) as exc:
        check.find("file.malformed", excerpt(exc))
    return check.report()


class _StopError(Exception):
    """What follows cannot be checked."""


@dataclass(slots=True, kw_only=True)
class _Check:
    keys: Sequence[VerifierKey]
    since: Sequence[str]
    seen: Seen | None
    findings: list[Found] = field(default_factory=list)
    gaps: list[Found] = field(default_factory=list)
    manifest: Manifest | None = None
    checkpoint: Checkpoint | None = None
    totals: Totals | None = None
    licences: Licences = field(default_factory=Licences)

    def find(self, code: str, message: str, seq: int | None = None) -> None:
        if len(self.findings) < _MAX_FINDINGS:
            self.findings.append(Found(code=code, message=message, seq=seq))

    def report(self) -> EvidenceReport:
        return EvidenceReport(
            manifest=self.manifest,
            checkpoint=self.checkpoint,
            totals=self.totals,
            findings=tuple(self.findings),
            gaps=tuple(self.gaps),
        )

    def run(self, source: Source) -> None:
        """Steps 1 to 8."""
        manifest, proof = source.open()
        self.manifest = manifest
        trusted, refused = reach(self.keys, proof.rotations)
        for message in refused:
            self.find("rotation.proof", message)
        checkpoint = self.checkpoint = self._open_checkpoint(manifest, proof.range, trusted)
        if manifest.format != source.format:
            self.find("manifest.claim", f"got the format {excerpt(manifest.format)}, this is {source.format}")
        for number, control in enumerate(source.controls()):
            try:
                self._take_control(control, proof.range, checkpoint, manifest)
            except (MalformedError, VerificationError) as exc:
                self.find("control.proof", f"number {number + 1}: {exc}")
        walk = _Walk(check=self, manifest=manifest, format=source.format, tree=self._left(proof.range))
        walk.take_all(source)
        walk.end(proof.range, checkpoint)
        for note in self.since:
            self._compare(note, trusted, checkpoint, proof)
        for message in source.digests():
            self.find("file.digest", message)

    def _open_checkpoint(self, manifest: Manifest, proven: ProvenRange, trusted: Sequence[TrustedKey]) -> Checkpoint:
        """Step 2."""
        try:
            found = open_trusted(proven.note, trusted, origin=manifest.origin)
        except VerificationError as exc:
            self.find("note.signature", str(exc))
            raise _StopError from exc
        if (proven.start, proven.end, found.size) != (manifest.start, manifest.end, manifest.size):
            self.find("manifest.claim", "start, end or size in the manifest are not those of the proof")
            raise _StopError
        names = tuple(f"{one.name}+{one.key_id.hex()}" for one in parse_note(proven.note).signatures)
        if names != manifest.signed_by:
            self.find("manifest.claim", f"the checkpoint has the signatures {excerpt(names)}")
        return found

    def _take_control(self, control: Control, proven: ProvenRange, checkpoint: Checkpoint, manifest: Manifest) -> None:
        """Step 3, before anything is missed."""
        body, proof = control.entry.encode(), parse_proof(control.proof)
        entry = parse(body)
        if proof.note != proven.note or proof.index != entry.seq or entry.action not in (ERASED, PURGED):
            raise VerificationError("it is proven to another place or under another checkpoint, or is neither of both")
        verify_inclusion(leaf_hash(body), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
        metadata = decode(opened(control.d, entry.sd).get("metadata", "null"))
        if isinstance(metadata, dict):
            self.licences.take(metadata, action=entry.action, epoch=manifest.epoch, seq=entry.seq)

    def _left(self, proven: ProvenRange) -> CompactRange | None:
        try:
            return CompactRange(proven.start, proven.proof.left)
        except MalformedError as exc:
            self.find("range.root", str(exc))
            return None

    def _compare(self, note: str, trusted: Sequence[TrustedKey], checkpoint: Checkpoint, proof: Proof) -> None:
        """Step 8."""
        try:
            held = open_trusted(note, trusted, origin=checkpoint.origin)
        except (MalformedError, VerificationError) as exc:
            self.find("since.signature", str(exc))
            return
        if held.size > checkpoint.size:
            self.find("since.beyond", f"the note is of {held.size} entries, the file's checkpoint of {checkpoint.size}")
            return
        hashes: tuple[bytes, ...] = ()
        if held.size not in (0, checkpoint.size):
            if held.size not in proof.consistency:
                message = f"there is no proof from {held.size} entries: ask for evidence that has it"
                self.gaps.append(Found(code="check.since", message=message))
                return
            hashes = proof.consistency[held.size]
        try:
            if held.size:
                verify_consistency(held.size, checkpoint.size, hashes, held.root, checkpoint.root)
        except VerificationError as exc:
            self.find("since.root", str(exc))


@dataclass(slots=True, kw_only=True)
class _Walk:
    """Where the pass over the events stands; ``tree`` is None from where it cannot lead to the root any more."""

    check: _Check
    manifest: Manifest
    format: str
    tree: CompactRange | None
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

    def take_all(self, source: Source) -> None:
        """Steps 4 and 5."""
        self.at = self.manifest.start
        self.prev = ZERO_HASH if self.at == 0 else None
        for row in source.rows():
            self._take(row)
        end = source.end()
        self.check.totals = end.totals
        self._skip(end.skipped, self.manifest.end)
        if end.totals != self._totals():
            self.check.find("manifest.claim", f"the totals are not those of the events: {excerpt(self._totals())}")

    def end(self, proven: ProvenRange, checkpoint: Checkpoint) -> None:
        """Steps 6 and 7, and what is not shown."""
        check, manifest = self.check, self.manifest
        if self.tree is not None:
            try:
                if self.tree.end != proven.end:
                    raise VerificationError(
                        f"entries: got {self.tree.end - proven.start}, wanted {proven.end - proven.start}"
                    )
                self.tree.merge(CompactRange(checkpoint.size - proven.end, proven.proof.right, start=proven.end))
                if self.tree.root() != checkpoint.root:
                    raise VerificationError("they lead to another root than the one that was signed")
            except (MalformedError, VerificationError) as exc:
                check.find("range.root", str(exc))
        self._check_edges()
        if self.left_out and not manifest.filter:
            check.find("manifest.claim", f"{self.left_out} entries are left out, and the manifest names no filter")
        for code, count, what in (
            ("check.left_out", self.left_out, "entries are left out"),
            ("check.withheld", self.withheld, "values are withheld"),
            ("check.erased", self.erased, "values were erased"),
            ("check.pruned", self.purged, "values of events that were pruned are gone"),
        ):
            if count:
                check.gaps.append(Found(code=code, message=f"{count} {what}"))

    def _take(self, row: Row) -> None:
        data = row.entry.encode()
        leaf = leaf_hash(data)
        try:
            entry = parse(data)
        except MalformedError as exc:
            self.check.find("entry.malformed", str(exc), self.at)
            self._lose()
        else:
            self._take_entry(entry, leaf, row)
        if self.tree is not None:
            self.tree.append(leaf)
        self.prev = leaf
        self.at += 1

    def _take_entry(self, entry: Entry, leaf: bytes, row: Row) -> None:
        find, seq = self.check.find, entry.seq
        if row.skipped:
            self._skip(row.skipped, seq)
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
        if not self.manifest.is_in_window(entry.time):
            if values or entry.seq not in (self.manifest.start, self.manifest.end - 1):
                self.check.find(
                    "window.edge", "an entry outside of the window is disclosed, or more than one is there", entry.seq
                )
            return
        self.events += 1
        self.disclosed += bool(values)
        self.counts[entry.action, entry.time[:7]] += 1
        if len(values) < len(entry.sd):
            self._miss(entry, values)
        if self.check.seen is not None:
            self.check.seen(entry, values)

    def _miss(self, entry: Entry, values: Mapping[str, str]) -> None:
        licences = self.check.licences
        for name in sorted(entry.sd.keys() - values.keys()):
            if name in self.manifest.withheld:
                self.withheld += 1
            elif licences.is_erased(entry.seq, name):
                self.erased += 1
            elif licences.is_purged(entry.seq, entry.category, entry.action):
                self.purged += 1
            else:
                self.check.find("disclosure.missing", f"{name} is not disclosed", entry.seq)

    def _skip(self, hashes: Sequence[bytes], seq: int) -> None:
        """Go on to ``seq`` over entries that are left out; ``at`` stays where that cannot be."""
        if seq <= self.at:
            if hashes:
                self.check.find("entry.seq", f"got hashes of entries that are left out before {seq}, wanted none", seq)
                self._lose()
            return
        if not hashes:
            return
        try:
            skipped = CompactRange(seq - self.at, hashes, start=self.at)
        except MalformedError as exc:
            self.check.find("range.root", str(exc), seq)
            self._lose()
            return
        if self.tree is not None:
            self.tree.merge(skipped)
        self.left_out += seq - self.at
        self.at, self.prev = seq, None

    def _lose(self) -> None:
        if self.tree is not None:
            self.check.find("range.root", "the entries do not follow on each other", self.at)
        self.tree = None

    def _check_edges(self) -> None:
        manifest, first, last = self.manifest, self.first, self.last
        if manifest.time_from is not None and manifest.start not in (0, self.check.licences.start()):
            is_before = first is not None and first.seq == manifest.start and first.time < manifest.time_from
            if not is_before:
                self.check.find("window.edge", "the first entry is not from before the window")
        if manifest.time_to is not None and manifest.end != manifest.size:
            is_after = last is not None and last.seq == manifest.end - 1 and last.time >= manifest.time_to
            if not is_after:
                self.check.find("window.edge", "the last entry is not from after the window")

    def _totals(self) -> Totals:
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
