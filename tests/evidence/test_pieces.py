"""A large jsonl in pieces: the same is found as by one process, whatever was changed where pieces meet."""

from __future__ import annotations

import io
import random
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from auditkit_django.ledger.evidence import pieces
from auditkit_django.ledger.evidence.check import verify_evidence
from auditkit_django.ledger.evidence.report import EvidenceReport
from auditkit_django.query.filters import EventFilter
from tests.evidence.making import evidence, grow, key

pytestmark = [pytest.mark.django_db, pytest.mark.processes]


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pieces, "MIN_PIECE", 20_000)


def found(path: Path, jobs: int) -> EvidenceReport:
    with path.open("rb") as file:
        return verify_evidence(file, [key()], jobs=jobs)


def cuts(path: Path) -> list[int]:
    """Where the pieces begin."""
    start = path.read_bytes().index(b'{"seq":')
    with path.open("rb") as file:
        return [one.start for one in pieces.cut(file, start, 3)]


@pytest.mark.parametrize("chosen", [EventFilter(), EventFilter(actor="user:3"), EventFilter(outcome="denied")])
def test_what_is_found_is_the_same(chosen: EventFilter, tmp_path: Path) -> None:
    grow(300)
    path = tmp_path / "events.jsonl"
    path.write_bytes(evidence("jsonl", chosen=chosen))
    if chosen == EventFilter():
        assert len(cuts(path)) == 3
    assert found(path, 3) == found(path, 1)
    assert found(path, 3).findings == ()


def test_a_change_is_found_in_every_piece_and_where_they_meet(tmp_path: Path) -> None:
    grow(120)
    path, changed = tmp_path / "events.jsonl", tmp_path / "changed.jsonl"
    data = evidence("jsonl")
    path.write_bytes(data)
    chosen = random.Random(3)
    places = [at + by for at in cuts(path) for by in (-30, 8, 900)] + [chosen.randrange(len(data)) for _ in range(4)]
    for at in places:
        changed.write_bytes(data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :])
        together, alone = found(changed, 3), found(changed, 1)
        assert (together.verdict, alone.verdict) in (("INVALID", "INVALID"), ("INCOMPLETE", "INCOMPLETE")), at


def test_events_that_are_dropped_or_moved_where_pieces_meet_are_found(tmp_path: Path) -> None:
    grow(120)
    path, changed = tmp_path / "events.jsonl", tmp_path / "changed.jsonl"
    data = evidence("jsonl")
    path.write_bytes(data)
    lines, place = data.splitlines(keepends=True), cuts(path)[1]
    at = next(number for number in range(len(lines)) if len(b"".join(lines[:number])) == place)
    for broken in (
        lines[:at] + lines[at + 1 :],
        lines[: at - 1] + lines[at:],
        [*lines[: at - 1], lines[at], lines[at - 1], *lines[at + 1 :]],
        [*lines[:at], lines[at], *lines[at:]],
    ):
        changed.write_bytes(b"".join(broken))
        together, alone = found(changed, 3), found(changed, 1)
        assert (together.verdict, alone.verdict) == ("INVALID", "INVALID")
        assert {one.code for one in together.findings} & {"entry.seq", "range.root"}


@pytest.mark.parametrize(
    "error", [OSError("no semaphores"), ImportError("no _multiprocessing"), BrokenProcessPool("killed")]
)
def test_a_machine_without_further_processes_verifies_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    grow(120)
    path = tmp_path / "events.jsonl"
    path.write_bytes(evidence("jsonl"))
    alone = found(path, 1)

    def refused(**_given: object) -> None:
        raise error

    monkeypatch.setattr(pieces, "ProcessPoolExecutor", refused)
    assert found(path, 3) == alone
    assert alone.verdict == "VALID"


def test_a_file_that_cannot_be_read_is_not_called_wrong(tmp_path: Path) -> None:
    grow(5)
    path = tmp_path / "events.jsonl"
    path.write_bytes(evidence("jsonl"))

    class Failing(io.FileIO):
        def readline(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 3000:
                raise OSError(5, "Input/output error")
            return super().readline(size)

    with Failing(path) as file:
        assert verify_evidence(file, [key()]).verdict == "INCOMPLETE"  # type: ignore[arg-type]


def test_a_file_that_is_no_file_or_small_is_walked_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pieces.cut(io.BytesIO(b"x\n" * 100_000), 0, 3) == []
    monkeypatch.setattr(pieces, "MIN_PIECE", 1 << 24)
    path = tmp_path / "small"
    path.write_bytes(b"x\n" * 100_000)
    with path.open("rb") as file:
        assert pieces.cut(file, 0, 3) == []
