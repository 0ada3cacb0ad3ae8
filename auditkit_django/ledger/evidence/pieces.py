"""
A large jsonl in pieces, each walked by a process of its own.

The first event of every piece is read here: from its entry the process that walks the rest knows the place, the link and the time
that come before. Then the pieces are joined in their order, and those first events are what links them: nothing is believed of
a piece that the walk through all of them would not have found.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import IO, Final

from auditkit_django.ledger.entry import leaf_hash, parse
from auditkit_django.ledger.errors import MalformedError
from auditkit_django.ledger.evidence.form import MAX_LINE, decoded
from auditkit_django.ledger.evidence.rows import Row, split_json_line
from auditkit_django.ledger.evidence.walk import Walk
from auditkit_django.ledger.ranges import CompactRange

#: Bytes below which a process of its own costs more than it saves.
MIN_PIECE: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """The lines of events from the byte ``start`` on and before ``stop``, of the file at ``path``."""

    path: Path
    start: int
    stop: int


def cut(file: IO[bytes], start: int, count: int) -> list[Piece]:
    """
    ``file`` from the byte ``start`` on and before its last line, in at most ``count`` pieces of whole lines; none where it is no
    file of its own, or too small to be worth it.
    """
    name = getattr(file, "name", None)
    path = Path(name) if isinstance(name, str | Path) else None
    if path is None or not path.is_file():
        return []
    here = file.tell()
    stop = _last_line(file)
    count = min(count, (stop - start) // MIN_PIECE)
    starts = [start]
    for number in range(1, count):
        file.seek(start + (stop - start) * number // count)
        file.readline(MAX_LINE)
        starts.append(file.tell())
    file.seek(here)
    places = list(zip(starts, [*starts[1:], stop], strict=True))
    if count < 2 or any(one >= end for one, end in places):
        return []
    return [Piece(path=path, start=one, stop=end) for one, end in places]


def _last_line(file: IO[bytes]) -> int:
    """Where the last line of ``file`` begins."""
    size = file.seek(0, 2)
    start = max(0, size - MAX_LINE - 1)
    file.seek(start)
    return start + file.read()[:-1].rfind(b"\n") + 1


def take_pieces(walk: Walk, pieces: Sequence[Piece]) -> bool:
    """
    Walk over all ``pieces``, which follow on each other; False, and nothing done, where one does not begin with an event, or no
    further processes can be had.

    Raises:
        MalformedError: Another line is none.
    """
    try:
        firsts = [_first(piece) for piece in pieces]
        afters = [_after(walk, row) for row, _start in firsts]
    except MalformedError:
        return False
    try:
        with ProcessPoolExecutor(max_workers=len(pieces), mp_context=get_context("spawn")) as pool:
            rests = pool.map(
                _walked,
                afters,
                [replace(piece, start=start) for piece, (_row, start) in zip(pieces, firsts, strict=True)],
            )
            ended = list(rests)
    except (BrokenExecutor, ImportError, NotImplementedError, OSError):
        # A machine that lets no further process run (no semaphores, no memory) says nothing about the file.
        return False
    for (row, _start), rest in zip(firsts, ended, strict=True):
        walk.take(row)
        walk.absorb(rest)
    return True


def _first(piece: Piece) -> tuple[Row, int]:
    """The first event of a piece, and where the second one begins."""
    with piece.path.open("rb") as file:
        file.seek(piece.start)
        return split_json_line(decoded(file.readline(MAX_LINE)[:-1])), file.tell()


def _after(walk: Walk, row: Row) -> Walk:
    """A new walk that begins after the event ``row``."""
    data = row.entry.encode()
    entry = parse(data)
    return Walk(
        manifest=walk.manifest,
        licences=walk.licences,
        format=walk.format,
        controls=walk.controls,
        tree=CompactRange(start=entry.seq + 1),
        at=entry.seq + 1,
        prev=leaf_hash(data),
        time=entry.time,
    )


def _walked(walk: Walk, piece: Piece) -> Walk:
    """``walk`` after the events of the piece; in another process."""
    at = piece.start
    with piece.path.open("rb") as file:
        file.seek(at)
        while at < piece.stop:
            data = file.readline(min(MAX_LINE + 1, piece.stop - at))
            if data[-1:] != b"\n":
                raise MalformedError(f"got a line of more than {MAX_LINE} bytes, or without its end")
            at += len(data)
            walk.take(split_json_line(decoded(data[:-1])))
    return walk
