"""
Verify an evidence bundle (:mod:`bundle`), in order, with bounded memory:

1. The zip has these files and no others, each of bounded size and with the SHA-256 that the manifest says.
2. The checkpoint is signed by a key that was given, and is of the log that the manifest names.
3. Every entry has the one form of entries, names that log and its place, and links to the one before; times do not fall.
4. The entries and the hashes around them give the root that was signed: they are all there are between start and end.
5. Where a window of time is given, the entries reach it on both sides, so that none in it is missing.
6. Every disclosure opens a digest of its entry. What is not disclosed was erased, as the log says, or withheld, as the manifest
   says; else it is missing.
7. The log extends each checkpoint that somebody held and gave.

The verdict is the worst of the findings.
"""

from __future__ import annotations

import hashlib
import re
import zipfile
import zlib
from binascii import b2a_base64
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

from auditkit_django.ledger import base64, disclosure
from auditkit_django.ledger.bundle import (
    CONTROL,
    DISCLOSURES,
    ENTRIES,
    MANIFEST,
    NOTE,
    RANGE,
    Manifest,
    parse_manifest,
    strict_object,
)
from auditkit_django.ledger.bundle_report import BundleReport, Found
from auditkit_django.ledger.checkpoint import Checkpoint, open_checkpoint
from auditkit_django.ledger.entry import ZERO_HASH, Entry, leaf_hash, parse
from auditkit_django.ledger.errors import AuditkitError, MalformedError, VerificationError, excerpt
from auditkit_django.ledger.licences import Licences
from auditkit_django.ledger.note import VerifierKey
from auditkit_django.ledger.proofs import verify_consistency, verify_range
from auditkit_django.ledger.range_proof import ProvenRange, parse_range
from auditkit_django.ledger.tlog_proof import parse_proof, verify_proof
from auditkit_django.ledger.verdicts import Verdict

_REQUIRED: Final = (MANIFEST, ENTRIES, DISCLOSURES, CONTROL, RANGE, NOTE)
_CONSISTENCY: Final = re.compile(r"consistency/(0|[1-9][0-9]{0,18})\.txt", re.ASCII)
_READABLE: Final = frozenset({"VERIFY.md", "report.html"})

_MAX_MEMBERS: Final = 64
_MAX_SMALL: Final = 1024 * 1024
#: Of one line of disclosures: a whole event in base64, and room.
_MAX_LINE: Final = 256 * 1024
_MAX_CONTROL: Final = 100_000
#: Of what is compressed so much no event is made.
_MAX_RATIO: Final = 1000
_MAX_FINDINGS: Final = 1000
_PIECE: Final = 1024 * 1024


def verify_bundle(file: IO[bytes], keys: Sequence[VerifierKey], *, since: Sequence[str] = ()) -> BundleReport:
    """
    Verify the bundle in ``file``, which is read and may be sought in, with the pinned ``keys``; ``since`` are signed notes that
    somebody kept. Never raises for what the file holds.
    """
    check = _Check(keys=keys, since=since)
    try:
        with zipfile.ZipFile(file) as archive:
            check.run(archive)
    except _StopError:
        pass
    except (zipfile.BadZipFile, zlib.error, AuditkitError, OSError, EOFError, RuntimeError, ValueError) as exc:
        check.find("bundle.malformed", f"{type(exc).__name__}: {excerpt(exc)}")
    return check.report()


class _StopError(Exception):
    """What follows cannot be checked."""


@dataclass(slots=True, kw_only=True)
class _Check:
    keys: Sequence[VerifierKey]
    since: Sequence[str]
    findings: list[Found] = field(default_factory=list)
    gaps: list[Found] = field(default_factory=list)
    manifest: Manifest | None = None
    checkpoint: Checkpoint | None = None
    licences: Licences = field(default_factory=Licences)
    digests: dict[str, Any] = field(default_factory=dict)

    def find(self, code: str, message: str, seq: int | None = None) -> None:
        if len(self.findings) < _MAX_FINDINGS:
            self.findings.append(Found(code=code, message=message, seq=seq))

    def report(self) -> BundleReport:
        verdict: Verdict = "INVALID" if self.findings else "VALID_WITH_GAPS" if self.gaps else "VALID"
        return BundleReport(
            verdict=verdict,
            manifest=self.manifest,
            checkpoint=self.checkpoint,
            findings=tuple(self.findings),
            gaps=tuple(self.gaps),
        )

    def run(self, archive: zipfile.ZipFile) -> None:
        """Steps 1 to 7."""
        names = _members(archive)
        manifest = self.manifest = parse_manifest(_small(archive, MANIFEST))
        if set(manifest.files) != names - {MANIFEST}:
            raise MalformedError(
                f"manifest: got the files {sorted(manifest.files)}, wanted {sorted(names - {MANIFEST})}"
            )
        proven = parse_range(self._text(archive, RANGE))
        checkpoint = self._open_checkpoint(proven, manifest)
        if self._text(archive, NOTE) != proven.note:
            self.find("bundle.claim", f"{NOTE} is not the checkpoint of {RANGE}")
        self._take_control(archive, checkpoint, manifest)
        self._walk(archive, manifest, proven, checkpoint)
        for note in self.since:
            self._compare(archive, note, checkpoint, names)
        for name in sorted(names - {MANIFEST}):
            if name not in self.digests:
                self._digest_rest(archive, name)
            if self.digests[name].hexdigest() != manifest.files[name]:
                self.find("bundle.digest", f"{name} is not the file that the manifest names")

    def _open_checkpoint(self, proven: ProvenRange, manifest: Manifest) -> Checkpoint:
        """Step 2."""
        try:
            found = open_checkpoint(proven.note, self.keys, origin=manifest.origin)[0]
        except VerificationError as exc:
            self.find("note.signature", str(exc))
            raise _StopError from exc
        self.checkpoint = found
        if (proven.start, proven.end, found.size) != (manifest.start, manifest.end, manifest.size):
            self.find("bundle.claim", "start, end or size in the manifest are not those of the proof")
        return found

    def _take_control(self, archive: zipfile.ZipFile, checkpoint: Checkpoint, manifest: Manifest) -> None:
        """What the log says may be missing, before anything is missed."""
        for number, line in enumerate(self._lines(archive, CONTROL)):
            if number >= _MAX_CONTROL:
                raise MalformedError(f"{CONTROL}: got more than {_MAX_CONTROL} lines")
            try:
                value = strict_object(line, {"d", "entry", "proof"})
                body = str(value["entry"]).encode()
                under = verify_proof(str(value["proof"]), body, self.keys, origin=checkpoint.origin)
                entry = parse(body)
                index = parse_proof(str(value["proof"])).index
                if under != checkpoint or index != entry.seq:
                    raise VerificationError("it is proven to another place, or to another checkpoint")
                metadata = _opened(value["d"], entry).get("metadata")
                if isinstance(metadata, dict):
                    self.licences.take(metadata, action=entry.action, epoch=manifest.epoch, seq=entry.seq)
            except (MalformedError, VerificationError) as exc:
                self.find("control.proof", f"line {number + 1}: {exc}")

    def _walk(self, archive: zipfile.ZipFile, manifest: Manifest, proven: ProvenRange, checkpoint: Checkpoint) -> None:
        """Steps 3 to 6: one pass over the entries, and beside it one over what they disclose."""
        walk = _Walk(check=self, manifest=manifest, disclosed=_disclosed(self._lines(archive, DISCLOSURES)))
        try:
            leaves = walk.leaves(self._lines(archive, ENTRIES))
            verify_range(leaves, proven.start, proven.end, checkpoint.size, proven.proof, checkpoint.root)
        except VerificationError as exc:
            self.find("range.root", str(exc))
        walk.end()

    def _compare(self, archive: zipfile.ZipFile, note: str, checkpoint: Checkpoint, names: set[str]) -> None:
        """Step 7."""
        try:
            held = open_checkpoint(note, self.keys, origin=checkpoint.origin)[0]
        except (MalformedError, VerificationError) as exc:
            self.find("since.signature", str(exc))
            return
        if held.size > checkpoint.size:
            self.find(
                "since.beyond", f"the note is of {held.size} entries, the bundle's checkpoint of {checkpoint.size}"
            )
            return
        name = f"consistency/{held.size}.txt"
        proof: tuple[bytes, ...] = ()
        if held.size not in (0, checkpoint.size):
            if name not in names:
                self.gaps.append(Found(code="check.since", message=f"there is no {name}: ask for a bundle that has it"))
                return
            lines = self._text(archive, name).splitlines()
            proof = tuple(base64.decode(line, "consistency", length=32) for line in lines)
        try:
            if held.size:
                verify_consistency(held.size, checkpoint.size, proof, held.root, checkpoint.root)
        except VerificationError as exc:
            self.find("since.root", str(exc))

    def _text(self, archive: zipfile.ZipFile, name: str) -> str:
        data = _small(archive, name)
        self.digests[name] = hashlib.sha256(data)
        try:
            return data.decode()
        except UnicodeDecodeError as exc:
            raise MalformedError(f"{name}: got bytes that are not UTF-8") from exc

    def _lines(self, archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
        """The lines of one file, each with its end, which is checked and left out."""
        digest = self.digests[name] = hashlib.sha256()
        with archive.open(name) as file:
            while line := file.readline(_MAX_LINE):
                digest.update(line)
                if not line.endswith(b"\n"):
                    raise MalformedError(f"{name}: got a line that is too long, or has no end: it was cut off")
                yield line[:-1]

    def _digest_rest(self, archive: zipfile.ZipFile, name: str) -> None:
        digest = self.digests[name] = hashlib.sha256()
        with archive.open(name) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)


@dataclass(slots=True, kw_only=True)
class _Walk:
    """Where the pass over the entries stands."""

    check: _Check
    manifest: Manifest
    disclosed: Iterator[tuple[int, object]]
    counts: Counter[str] = field(default_factory=Counter)
    opened: int = 0
    withheld: int = 0
    erased: int = 0
    purged: int = 0
    first_time: str | None = None
    last_time: str | None = None
    next_disclosed: tuple[int, object] | None = None

    def leaves(self, lines: Iterator[bytes]) -> Iterator[bytes]:
        """Steps 3 and 6 for each entry; its leaf hash."""
        seq, prev, time = self.manifest.start, ZERO_HASH if self.manifest.start == 0 else None, ""
        self.next_disclosed = next(self.disclosed, None)
        for line in lines:
            found = leaf_hash(line)
            try:
                entry = parse(line)
            except MalformedError as exc:
                self.check.find("entry.malformed", str(exc), seq)
                entry = None
            if entry is not None:
                self._check_place(entry, seq, prev, time)
                self._check_disclosures(entry, seq)
                time = entry.time
                self.first_time = self.first_time if self.first_time is not None else entry.time
                self.last_time = entry.time
            yield found
            seq, prev = seq + 1, found

    def end(self) -> None:
        """Step 5, the counts of the manifest, and what is not disclosed."""
        if self.next_disclosed is not None:
            self.check.find(
                "disclosure.mismatch", f"seq {self.next_disclosed[0]} is no entry of the bundle, or is told twice"
            )
        manifest = self.manifest
        if dict(self.counts) != dict(manifest.counts):
            self.check.find("bundle.claim", "the counts of actions are not those of the entries")
        if self.opened != manifest.disclosed:
            self.check.find(
                "bundle.claim", f"{self.opened} events are disclosed, the manifest says {manifest.disclosed}"
            )
        is_open = manifest.start in (0, self.check.licences.start())
        if manifest.time_from is not None and not is_open and not (self.first_time or "~") < manifest.time_from:
            self.check.find("window.edge", "the first entry is not from before the window")
        is_last = manifest.end == manifest.size
        if manifest.time_to is not None and not is_last and not (self.last_time or "") >= manifest.time_to:
            self.check.find("window.edge", "the last entry is not from after the window")
        for code, count, what in (
            ("check.withheld", self.withheld, "values are withheld"),
            ("check.erased", self.erased, "values were erased"),
            ("check.pruned", self.purged, "events were pruned"),
        ):
            if count:
                self.check.gaps.append(Found(code=code, message=f"{count} {what}"))

    def _check_place(self, entry: Entry, seq: int, prev: bytes | None, time: str) -> None:
        if entry.log != self.manifest.origin:
            self.check.find("entry.origin", f"got {excerpt(entry.log)}, wanted {excerpt(self.manifest.origin)}", seq)
        if entry.seq != seq:
            self.check.find("entry.seq", f"got {entry.seq}, wanted {seq}", seq)
        if prev is not None and entry.prev != prev:
            got = b2a_base64(entry.prev, newline=False).decode()
            self.check.find("entry.prev", f"links to {got}", seq)
        if entry.time < time:
            self.check.find("entry.time", f"got {entry.time} after {time}", seq)
        self.counts[entry.action] += 1

    def _check_disclosures(self, entry: Entry, seq: int) -> None:
        opened: Mapping[str, object] = {}
        if self.next_disclosed is not None and self.next_disclosed[0] == seq:
            try:
                opened = _opened(self.next_disclosed[1], entry)
            except MalformedError as exc:
                self.check.find("disclosure.malformed", str(exc), seq)
            except VerificationError as exc:
                self.check.find("disclosure.mismatch", str(exc), seq)
            self.opened += 1
            self.next_disclosed = next(self.disclosed, None)
        licences, missing = self.check.licences, entry.sd.keys() - opened.keys()
        is_left_out = bool(self.manifest.filter) and not opened
        for name in sorted(missing):
            if name in self.manifest.withheld or is_left_out:
                self.withheld += 1
            elif licences.is_erased(seq, name):
                self.erased += 1
            elif licences.is_purged(seq, entry.category, entry.action):
                self.purged += 1
            else:
                self.check.find("disclosure.missing", f"{name} is not disclosed", seq)


def _members(archive: zipfile.ZipFile) -> set[str]:
    """Step 1, without reading."""
    infos = archive.infolist()
    names = {info.filename for info in infos}
    if len(infos) > _MAX_MEMBERS or len(names) != len(infos):
        raise MalformedError(
            f"bundle: got {len(infos)} files of {len(names)} names, wanted at most {_MAX_MEMBERS}, each once"
        )
    for info in infos:
        name = info.filename
        if name not in _REQUIRED and name not in _READABLE and not _CONSISTENCY.fullmatch(name):
            raise MalformedError(f"bundle: got the file {excerpt(name)}, which no bundle has")
        if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise MalformedError(f"bundle: got {excerpt(name)} encrypted or packed otherwise than by deflate")
        if info.file_size > _MAX_SMALL and info.file_size > _MAX_RATIO * max(info.compress_size, 1):
            raise MalformedError(f"bundle: got {excerpt(name)}, which is packed more than {_MAX_RATIO} times")
    if missing := set(_REQUIRED) - names:
        raise MalformedError(f"bundle: got none of {', '.join(sorted(missing))}: it was cut off, or is none")
    return names


def _small(archive: zipfile.ZipFile, name: str) -> bytes:
    with archive.open(name) as file:
        data = file.read(_MAX_SMALL + 1)
    if len(data) > _MAX_SMALL:
        raise MalformedError(f"{name}: got more than {_MAX_SMALL} bytes")
    return data


def _disclosed(lines: Iterator[bytes]) -> Iterator[tuple[int, object]]:
    for line in lines:
        value = strict_object(line, {"d", "seq"})
        if type(value["seq"]) is not int:
            raise MalformedError(f"{DISCLOSURES}: got the seq {excerpt(value['seq'])}, wanted an integer")
        yield value["seq"], value["d"]


def _opened(given: object, entry: Entry) -> dict[str, object]:
    """The values that the disclosures open; each opens the digest of its name, and none is given twice."""
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise MalformedError(f"disclosures: got {excerpt(given)}, wanted a list of texts")
    found: dict[str, object] = {}
    for text in given:
        opened = disclosure.parse(text)
        if opened.name in found or entry.sd.get(opened.name) != disclosure.digest(text):
            raise VerificationError(f"{excerpt(opened.name)} is not what the entry has a digest of, or is given twice")
        found[opened.name] = opened.value
    return found
