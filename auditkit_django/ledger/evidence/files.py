"""
Evidence that is one text: jsonl, json and csv, read line by line.

json and csv are layouts of the documents that jsonl has on lines of their own. What is read is turned back into those lines, so
that there is one reader of documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from typing import IO, Any, Final, Protocol

from auditkit_django.ledger.errors import MalformedError, excerpt
from auditkit_django.ledger.evidence.form import (
    MAX_LINE,
    Control,
    End,
    Manifest,
    Proof,
    decoded,
    parse_control,
    parse_end,
    parse_manifest,
    parse_proof,
    strict_object,
)
from auditkit_django.ledger.evidence.form import line as written
from auditkit_django.ledger.evidence.pieces import Piece, cut
from auditkit_django.ledger.evidence.rows import (
    COLUMNS,
    EVIDENCE_COLUMNS,
    Row,
    cells_line,
    document_line,
    restored,
    split_csv_cells,
    split_json_line,
)

_HEADER: Final = cells_line(EVIDENCE_COLUMNS)
_NO_EVENT: Final = '"",' * (len(EVIDENCE_COLUMNS) - 1)
#: Possessive, so that it reads each character once: a run of quotes can be read in one way only.
_CELL: Final = re.compile(r'"([^"]*+(?:""[^"]*+)*+)"(,|\r\n)')


class CutError(MalformedError):
    """The file ends too early, or holds no proof: nothing is shown by it."""

    code = "cut"


class Source(Protocol):
    """One evidence file; its methods are called in this order, and each iterator is read to its end."""

    format: str

    def open(self) -> tuple[Manifest, Proof]:
        """The documents that say what follows."""
        ...

    def controls(self) -> Iterator[Control]:
        """What the log says may be missing."""
        ...

    def pieces(self, count: int) -> Sequence[Piece]:
        """All the events, in up to ``count`` pieces of a file, where that is worth it; ``pass_over`` leaves none for ``rows``."""
        ...

    def pass_over(self, pieces: Sequence[Piece]) -> None:
        """Go on after the pieces."""
        ...

    def rows(self) -> Iterator[Row]:
        """The events."""
        ...

    def end(self) -> End:
        """What ends the file."""
        ...

    def digests(self) -> Iterator[str]:
        """What is not what the file says of its own parts, in words."""
        ...


@dataclass(slots=True, kw_only=True)
class Documents:
    """The documents of jsonl; ``lines`` are without their ends. ``file`` is what they are read from, where that is all it has."""

    lines: Iterator[str]
    format: str = "jsonl"
    file: IO[bytes] | None = None
    _events_at: int = field(init=False, default=0)
    _head: Any = field(init=False, default_factory=sha256)
    _end: End | None = field(init=False, default=None)

    def open(self) -> tuple[Manifest, Proof]:
        manifest, proof = (self._document(name) for name in ("manifest", "proof"))
        return parse_manifest(manifest), parse_proof(proof)

    def controls(self) -> Iterator[Control]:
        for line in self.lines:
            if not line.startswith('{"control":'):
                self.lines = chain([line], self.lines)
                self._events_at = self.file.tell() - len(line.encode()) - 1 if self.file is not None else 0
                return
            self._head.update(line.encode() + b"\n")
            yield parse_control(strict_object(line, ("control",))["control"])

    def pieces(self, count: int) -> Sequence[Piece]:
        return cut(self.file, self._events_at, count) if self.file is not None else ()

    def pass_over(self, pieces: Sequence[Piece]) -> None:
        assert self.file is not None, "there are no pieces"
        self.file.seek(pieces[-1].stop)
        self.lines = _lines(self.file)

    def rows(self) -> Iterator[Row]:
        for line in self.lines:
            if not line.startswith('{"seq":'):
                self._take_end(line)
                return
            yield split_json_line(line)
        raise CutError("got no end after the events: the file was cut off")

    def end(self) -> End:
        assert self._end is not None, "rows() was not read to its end"
        return self._end

    def digests(self) -> Iterator[str]:
        if self._end is None or self._head.hexdigest() != self._end.head:
            yield "what stands before the events is not what the end of the file names"

    def _document(self, name: str) -> object:
        line = next(self.lines, None)
        if line is None:
            raise CutError(f"got no {name}: the file was cut off")
        self._head.update(line.encode() + b"\n")
        return strict_object(line, (name,))[name]

    def _take_end(self, line: str) -> None:
        self._end = parse_end(strict_object(line, ("end",))["end"])
        # Nothing after it says what its bytes are: it is taken in the one spelling alone.
        if line != written("end", self._end.as_json()):
            raise MalformedError(f"end: got {excerpt(line)}, wanted it sorted and without white space")
        if (after := next(self.lines, None)) is not None:
            raise MalformedError(f"got {excerpt(after)} after the end of the evidence")


class Table(Documents):
    """csv: the events, and then the other documents, one to a row."""

    __slots__ = ("_events",)

    def __init__(self, file: IO[bytes]) -> None:
        file.seek(0)
        records, events = _records(file), 0
        _check_header(next(records, ""))
        for record in records:
            if record.startswith(_NO_EVENT):
                Documents.__init__(self, lines=map(_document, chain([record], records)), format="csv")
                break
            events += 1
        else:
            raise CutError("got no documents after the events: the file was cut off")
        self._events = self._read(file, events)

    def rows(self) -> Iterator[Row]:
        for line in self.lines:
            self._take_end(line)
            break
        else:
            raise CutError("got no end after the events: the file was cut off")
        yield from self._events

    @staticmethod
    def _read(file: IO[bytes], events: int) -> Iterator[Row]:
        file.seek(0)
        records = _records(file)
        next(records)
        for _number, record in zip(range(events), records, strict=False):
            yield split_csv_cells(_cells(record), record)


def open_text(file: IO[bytes]) -> Documents:
    """
    The evidence in ``file``, which can be sought in: jsonl, json or csv, by how it begins.

    Raises:
        CutError: It is empty, or a listing without proof.
        MalformedError: It is none of them.
    """
    first = file.readline(MAX_LINE + 1)
    file.seek(0)
    if not first:
        raise CutError("got an empty file")
    if first.startswith(b'"'):
        return Table(file)
    if first.startswith(b'{"seq":'):
        raise CutError("got events without their proof: a listing")
    if not first.startswith(b'{"manifest":'):
        raise MalformedError(f"got {excerpt(first)}, wanted evidence: a bundle (zip), csv, json or jsonl")
    if first.endswith(b"},\n"):
        return Documents(lines=_from_json(_lines(file)), format="json")
    return Documents(lines=_lines(file), format="jsonl", file=file)


def _lines(file: IO[bytes]) -> Iterator[str]:
    while data := file.readline(MAX_LINE + 1):
        if data[-1:] != b"\n":
            raise _unended(data)
        yield decoded(data[:-1])


def _unended(data: bytes) -> MalformedError:
    if len(data) > MAX_LINE:
        return MalformedError(f"got a line of more than {MAX_LINE} bytes")
    if data[-1:] == b"\n":
        return MalformedError("got a row that ends otherwise than in CR LF: the file was saved again")
    return CutError("got a line without its end: the file was cut off")


def _from_json(lines: Iterator[str]) -> Iterator[str]:
    """The lines of jsonl that stand in a json."""
    for before in ("", "{"):
        line = _next(lines)
        if line[-1:] != ",":
            raise MalformedError(f"json: got {excerpt(line)}, wanted a document and a comma")
        yield before + line[:-1] + "}"
    yield from ('{"control":' + item + "}" for item in _items("control", lines))
    yield from _items("events", lines)
    yield "{" + _next(lines)
    yield from lines


def _items(name: str, lines: Iterator[str]) -> Iterator[str]:
    """The lines of a list, without their commas."""
    if (line := _next(lines)) != f'"{name}":[':
        raise MalformedError(f'json: got {excerpt(line)}, wanted "{name}":[')
    line = _next(lines)
    is_more = line != "],"
    while is_more:
        is_more = line.endswith("},")
        yield line.removesuffix(",") if is_more else line
        line = _next(lines)
        if not is_more and line != "],":
            raise MalformedError(f"json: got {excerpt(line)}, wanted the end of the list {name}")


def _next(lines: Iterator[str]) -> str:
    line = next(lines, None)
    if line is None:
        raise CutError("got no end after the events: the file was cut off")
    return line


def _records(file: IO[bytes]) -> Iterator[str]:
    """The rows of a csv, with their ends; those inside of cells are none."""
    parts, size, is_open = [], 0, False
    while data := file.readline(MAX_LINE + 1 - size):
        parts.append(data)
        size += len(data)
        # A row ends where all quotes are closed.
        is_open ^= data.count(b'"') % 2 == 1
        if size > MAX_LINE:
            break
        if not is_open and data[-2:] == b"\r\n":
            yield decoded(b"".join(parts))
            parts, size = [], 0
        elif not is_open:
            break
    if parts:
        raise _unended(b"".join(parts))


def _check_header(record: str) -> None:
    if record == cells_line(COLUMNS):
        raise CutError("got events without their proof: a listing")
    if record != _HEADER:
        raise MalformedError(f"csv: got the first row {excerpt(record)}, wanted the names of the columns")


def _cells(record: str) -> list[str]:
    found, at = [], 0
    while at < len(record):
        match = _CELL.match(record, at)
        if match is None:
            raise MalformedError(f"csv: got {excerpt(record[at:])}, wanted cells in double quotes")
        found.append(match[1].replace('""', '"'))
        at = match.end()
    if len(found) != len(EVIDENCE_COLUMNS):
        raise MalformedError(f"csv: got a row of {len(found)} cells, wanted {len(EVIDENCE_COLUMNS)}")
    return found


def _document(record: str) -> str:
    """The line of jsonl in a row that is no event."""
    if not record.startswith(_NO_EVENT):
        raise MalformedError(f"csv: got {excerpt(record)} after the events, wanted a document")
    document = restored(_cells(record)[-1])
    if document_line(document) != record:
        raise MalformedError(f"csv: got {excerpt(record)}, wanted a document as it is written")
    return document
