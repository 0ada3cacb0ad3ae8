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
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import IO, Final

from auditkit_django.ledger.checkpoint import Checkpoint
from auditkit_django.ledger.entry import ZERO_HASH, leaf_hash, parse
from auditkit_django.ledger.errors import AuditkitError, MalformedError, VerificationError, excerpt
from auditkit_django.ledger.evidence.bundle import Bundle, open_bundle
from auditkit_django.ledger.evidence.files import CutError, Source, open_text
from auditkit_django.ledger.evidence.form import Control, Manifest, Proof, Totals
from auditkit_django.ledger.evidence.pieces import take_pieces
from auditkit_django.ledger.evidence.report import EvidenceReport, Found
from auditkit_django.ledger.evidence.rows import opened
from auditkit_django.ledger.evidence.walk import MAX_FINDINGS, Seen, Walk
from auditkit_django.ledger.licences import ERASED, PURGED, Licences
from auditkit_django.ledger.note import VerifierKey
from auditkit_django.ledger.note import parse as parse_note
from auditkit_django.ledger.proofs import verify_consistency, verify_inclusion
from auditkit_django.ledger.range_proof import ProvenRange
from auditkit_django.ledger.ranges import CompactRange
from auditkit_django.ledger.strict_json import decode
from auditkit_django.ledger.tlog_proof import parse_proof
from auditkit_django.ledger.trust import TrustedKey, open_trusted, reach

_ZIP: Final = b"PK"


def verify_evidence(
    file: IO[bytes],
    keys: Sequence[VerifierKey],
    *,
    since: Sequence[str] = (),
    seen: Seen | None = None,
    jobs: int = 1,
) -> EvidenceReport:
    """
    Verify the evidence in ``file``, which is read and sought in, with the pinned ``keys``; ``since`` are signed notes that
    somebody kept. Never raises for what the file holds. ``seen`` is told of the events; nothing of them is proven before the end.
    With ``jobs`` a large jsonl that is a file of its own is walked by so many processes.
    """
    check = _Check(keys=keys, since=since, seen=seen, jobs=jobs)
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
    except OSError as exc:
        check.find("file.cut", f"could not be read: {exc}")
    except (zipfile.BadZipFile, zlib.error, AuditkitError, EOFError, RuntimeError, ValueError) as exc:
        check.find("file.malformed", excerpt(exc))
    return check.report()


class _StopError(Exception):
    """What follows cannot be checked."""


@dataclass(slots=True, kw_only=True)
class _Check:
    keys: Sequence[VerifierKey]
    since: Sequence[str]
    seen: Seen | None
    jobs: int
    findings: list[Found] = field(default_factory=list)
    gaps: list[Found] = field(default_factory=list)
    manifest: Manifest | None = None
    checkpoint: Checkpoint | None = None
    totals: Totals | None = None
    licences: Licences = field(default_factory=Licences)
    controls: list[int] = field(default_factory=list)

    def find(self, code: str, message: str, seq: int | None = None) -> None:
        if len(self.findings) < MAX_FINDINGS:
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
        walk = self._walk(source, manifest, proof.range)
        self._end(walk, proof.range, checkpoint)
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
        if self.controls and entry.seq <= self.controls[-1]:
            raise VerificationError("it is there twice, or not in order of seq")
        verify_inclusion(leaf_hash(body), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
        values = opened(control.d, entry.sd)
        if values.keys() - {"metadata"}:
            raise VerificationError("it discloses something else than its metadata")
        self.controls.append(entry.seq)
        metadata = decode(values.get("metadata", "null"))
        if isinstance(metadata, dict):
            self.licences.take(metadata, action=entry.action, epoch=manifest.epoch, seq=entry.seq)

    def _walk(self, source: Source, manifest: Manifest, proven: ProvenRange) -> Walk:
        """Steps 4 and 5."""
        walk = Walk(
            manifest=manifest,
            licences=self.licences,
            format=source.format,
            tree=self._left(proven),
            seen=self.seen,
            controls=frozenset(self.controls),
            findings=self.findings,
            at=manifest.start,
            prev=ZERO_HASH if manifest.start == 0 else None,
        )
        pieces = source.pieces(self.jobs) if self.jobs > 1 and self.seen is None else ()
        if pieces and take_pieces(walk, pieces):
            source.pass_over(pieces)
        for row in source.rows():
            walk.take(row)
        end = source.end()
        self.totals = end.totals
        walk.skip(end.skipped, manifest.end)
        if end.totals != walk.totals():
            walk.find("manifest.claim", f"the totals are not those of the events: {excerpt(walk.totals())}")
        return walk

    def _end(self, walk: Walk, proven: ProvenRange, checkpoint: Checkpoint) -> None:
        """Steps 6 and 7, and what is not shown."""
        tree, manifest = walk.tree, walk.manifest
        if tree is not None:
            try:
                if tree.end != proven.end:
                    raise VerificationError(
                        f"entries: got {tree.end - proven.start}, wanted {proven.end - proven.start}"
                    )
                tree.merge(CompactRange(checkpoint.size - proven.end, proven.proof.right, start=proven.end))
                if tree.root() != checkpoint.root:
                    raise VerificationError("they lead to another root than the one that was signed")
            except (MalformedError, VerificationError) as exc:
                self.find("range.root", str(exc))
        self.findings += walk.check_edges()
        if walk.left_out and not manifest.filter:
            self.find("manifest.claim", f"{walk.left_out} entries are left out, and the manifest names no filter")
        if manifest.start and manifest.start == self.licences.start():
            message = f"the entries before #{manifest.start} were pruned"
            self.gaps.append(Found(code="check.pruned", message=message))
        for code, count, what in (
            ("check.left_out", walk.left_out, "entries are left out"),
            ("check.withheld", walk.withheld, "values are withheld"),
            ("check.erased", walk.erased, "values were erased"),
            ("check.pruned", walk.purged, "values of events that were pruned are gone"),
        ):
            if count:
                self.gaps.append(Found(code=code, message=f"{count} {what}"))

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
