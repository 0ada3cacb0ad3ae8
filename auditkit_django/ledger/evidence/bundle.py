"""
Evidence as a bundle: a zip in which entries, disclosures and proofs are files of their own.

The files, and what they hold, are in docs/evidence.md. ``entries.jsonl`` and ``disclosures.jsonl`` are read side by side.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import IO, Any, Final

from auditkit_django.ledger.errors import MalformedError, excerpt
from auditkit_django.ledger.evidence.files import CutError
from auditkit_django.ledger.evidence.form import (
    MAX_LINE,
    Control,
    End,
    Manifest,
    Proof,
    Totals,
    decode_hashes,
    decoded,
    encode_hashes,
    parse_control,
    parse_manifest,
    parse_rotation,
    parse_size,
    parse_totals,
    strict_object,
)
from auditkit_django.ledger.evidence.pieces import Piece
from auditkit_django.ledger.evidence.rows import Row
from auditkit_django.ledger.range_proof import parse_range
from auditkit_django.ledger.trust import Rotation

MANIFEST: Final = "manifest.json"
ENTRIES: Final = "entries.jsonl"
DISCLOSURES: Final = "disclosures.jsonl"
CONTROL: Final = "control.jsonl"
RANGE: Final = "range.proof"
NOTE: Final = "checkpoint.note"
ROTATIONS: Final = "rotations.jsonl"
REPORT: Final = "report.html"
REPORT_PDF: Final = "report.pdf"
INSTRUCTIONS: Final = "VERIFY.md"
VERIFIER: Final = "verify.py"

_REQUIRED: Final = (MANIFEST, ENTRIES, DISCLOSURES, CONTROL, RANGE, NOTE)
_OPTIONAL: Final = frozenset({ROTATIONS, REPORT, REPORT_PDF, INSTRUCTIONS, VERIFIER})
_CONSISTENCY: Final = re.compile(r"consistency/(0|[1-9][0-9]{0,18})\.txt", re.ASCII)
_SEQ: Final = re.compile(r'"seq":(0|[1-9][0-9]{0,15}),"severity":"')

_MAX_MEMBERS: Final = 64
#: Of what is compressed so much no event is made.
_MAX_RATIO: Final = 1000
_PIECE: Final = 1024 * 1024


def skipped_line(hashes: Iterable[str]) -> str:
    """A line of ``entries.jsonl`` that stands for entries that are left out; ``hashes`` in base64."""
    return json.dumps({"skipped": list(hashes)}, separators=(",", ":"))


def disclosed_line(disclosures: Sequence[str], seq: int) -> str:
    """A line of ``disclosures.jsonl``."""
    listed = '","'.join(disclosures)
    return f'{{"d":["{listed}"],"seq":{seq}}}'


def consistency_name(size: int) -> str:
    """The file with the consistency proof from a checkpoint of ``size`` entries."""
    return f"consistency/{size}.txt"


@dataclass(slots=True, kw_only=True)
class Bundle:
    """A zip that is being read: a ``Source``."""

    archive: zipfile.ZipFile
    format: str = "bundle"
    _names: set[str] = field(init=False, default_factory=set)
    _files: Mapping[str, str] = field(init=False, default_factory=dict)
    _totals: Totals | None = field(init=False, default=None)
    _found: dict[str, Any] = field(init=False, default_factory=dict)
    _trailing: tuple[bytes, ...] = field(init=False, default=())
    _problems: list[str] = field(init=False, default_factory=list)

    def open(self) -> tuple[Manifest, Proof]:
        self._names = _members(self.archive)
        found = strict_object(self._small(MANIFEST), ("files", "manifest", "totals"))
        manifest, self._totals, self._files = (
            parse_manifest(found["manifest"]),
            parse_totals(found["totals"]),
            found["files"],
        )
        wanted = self._names - {MANIFEST}
        if not isinstance(self._files, dict) or self._files.keys() != wanted:
            raise MalformedError(f"manifest: got the files {excerpt(self._files)}, wanted {excerpt(sorted(wanted))}")
        proven = parse_range(self._small(RANGE))
        if self._small(NOTE) != proven.note:
            self._problems.append(f"{NOTE} is not the checkpoint of {RANGE}")
        return manifest, Proof(range=proven, consistency=self._consistency(), rotations=self._rotations())

    def controls(self) -> Iterator[Control]:
        for line in self._lines(CONTROL):
            yield parse_control(strict_object(line, ("d", "entry", "proof")))

    def pieces(self, count: int) -> Sequence[Piece]:
        return ()

    def pass_over(self, pieces: Sequence[Piece]) -> None:
        raise NotImplementedError("a bundle has no pieces")

    def rows(self) -> Iterator[Row]:
        skipped: tuple[bytes, ...] = ()
        disclosed = self._disclosed()
        seq, disclosures = next(disclosed, (-1, ()))
        for line in self._lines(ENTRIES):
            if line.startswith('{"skipped":'):
                if skipped:
                    raise MalformedError(f"{ENTRIES}: got two lines of skipped hashes, one after the other")
                skipped = decode_hashes(_texts(strict_object(line, ("skipped",))["skipped"]))
                if line != skipped_line(encode_hashes(skipped)) or not skipped:
                    raise MalformedError(f"{ENTRIES}: got {excerpt(line)}, wanted hashes without white space")
                continue
            match = _SEQ.search(line)
            is_disclosed = match is not None and int(match[1]) == seq
            yield Row(line, disclosures if is_disclosed else (), skipped, None)
            skipped = ()
            if is_disclosed:
                seq, disclosures = next(disclosed, (-1, ()))
        self._trailing = skipped
        if seq >= 0:
            raise MalformedError(f"{DISCLOSURES}: got seq {seq}, which is no entry of the bundle, or stands twice")

    def end(self) -> End:
        assert self._totals is not None, "open() was not called"
        return End(head="", skipped=self._trailing, totals=self._totals)

    def digests(self) -> Iterator[str]:
        yield from self._problems
        for name in sorted(self._files):
            if name not in self._found:
                self._digest_rest(name)
            if self._found[name].hexdigest() != self._files[name]:
                yield f"{name} is not the file that the manifest names"

    def _consistency(self) -> dict[int, tuple[bytes, ...]]:
        matches = (_CONSISTENCY.fullmatch(name) for name in sorted(self._names))
        return {
            parse_size(match[1]): decode_hashes(self._small(match[0]).splitlines())
            for match in matches
            if match is not None
        }

    def _rotations(self) -> tuple[Rotation, ...]:
        if ROTATIONS not in self._names:
            return ()
        lines = self._small(ROTATIONS).splitlines()
        return tuple(parse_rotation(strict_object(line, ("entry", "metadata", "proof"))) for line in lines)

    def _disclosed(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        for line in self._lines(DISCLOSURES):
            value = strict_object(line, ("d", "seq"))
            if type(value["seq"]) is not int or value["seq"] < 0:
                raise MalformedError(f"{DISCLOSURES}: got the seq {excerpt(value['seq'])}, wanted a place")
            given = tuple(_texts(value["d"]))
            if line != disclosed_line(given, value["seq"]):
                raise MalformedError(f"{DISCLOSURES}: got {excerpt(line)}, wanted disclosures without white space")
            yield value["seq"], given

    def _small(self, name: str) -> str:
        with self.archive.open(name) as file:
            data = file.read(MAX_LINE + 1)
        if len(data) > MAX_LINE:
            raise MalformedError(f"{name}: got more than {MAX_LINE} bytes")
        self._found[name] = hashlib.sha256(data)
        return decoded(data)

    def _lines(self, name: str) -> Iterator[str]:
        """The lines of one file, each with its end, which is checked and left out."""
        digest = self._found[name] = hashlib.sha256()
        with self.archive.open(name) as file:
            while line := file.readline(MAX_LINE + 1):
                digest.update(line)
                if not line.endswith(b"\n") or len(line) > MAX_LINE:
                    raise MalformedError(f"{name}: got a line that is too long, or has no end")
                yield decoded(line[:-1])

    def _digest_rest(self, name: str) -> None:
        digest = self._found[name] = hashlib.sha256()
        with self.archive.open(name) as file:
            while piece := file.read(_PIECE):
                digest.update(piece)


def open_bundle(file: IO[bytes]) -> zipfile.ZipFile:
    """
    The zip in ``file``.

    Raises:
        CutError: It has no directory: it was cut off.
    """
    try:
        return zipfile.ZipFile(file)
    except zipfile.BadZipFile as exc:
        raise CutError(f"got a zip that cannot be opened: {exc}; it was cut off") from exc


def _members(archive: zipfile.ZipFile) -> set[str]:
    """The names of the files, of which none was read."""
    infos = archive.infolist()
    names = {info.filename for info in infos}
    if len(infos) > _MAX_MEMBERS or len(names) != len(infos):
        raise MalformedError(
            f"bundle: got {len(infos)} files of {len(names)} names, wanted at most {_MAX_MEMBERS}, each once"
        )
    if archive.comment or any(info.comment for info in infos):
        raise MalformedError("bundle: got a comment in the zip, wanted none")
    for info in infos:
        name = info.filename
        if name not in _REQUIRED and name not in _OPTIONAL and not _CONSISTENCY.fullmatch(name):
            raise MalformedError(f"bundle: got the file {excerpt(name)}, which no bundle has")
        if info.flag_bits & 0x1 or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise MalformedError(f"bundle: got {excerpt(name)} encrypted or packed otherwise than by deflate")
        if info.file_size > MAX_LINE and info.file_size > _MAX_RATIO * max(info.compress_size, 1):
            raise MalformedError(f"bundle: got {excerpt(name)}, which is packed more than {_MAX_RATIO} times")
    if missing := set(_REQUIRED) - names:
        raise MalformedError(f"bundle: got none of {', '.join(sorted(missing))}")
    return names


def _texts(value: object) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise MalformedError(f"bundle: got {excerpt(value)}, wanted a list of texts")
    return value
