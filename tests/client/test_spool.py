"""Events on disk: nothing is lost with a process, and the directory is empty when everything was sent."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from auditkit_django.client import QueueFullError, SettingsError, outbox
from auditkit_django.client.queue import MemoryQueue, Store
from auditkit_django.client.segment import Segment
from auditkit_django.client.spool import Spool
from tests.client.conftest import Make, wait_until
from tests.client.servers import AuditServer, Said, says

LOCK = threading.RLock()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def line(number: int, size: int = 0) -> bytes:
    return json.dumps({"action": "a.b", "idempotency_key": f"k{number}", "metadata": {"x": "x" * size}}).encode()


@pytest.fixture
def spools(tmp_path: Path) -> Iterator[Callable[..., Spool]]:
    """Make spools in the same directory, as processes do."""
    made: list[Spool] = []

    def make(max_bytes: int = 10**9) -> Spool:
        made.append(Spool(tmp_path, max_bytes=max_bytes, fsync=False))
        return made[-1]

    yield make
    for one in made:
        one.close()


def emptied(store: Store, *, max_events: int = 3, max_bytes: int = 10**6) -> list[bytes]:
    found: list[bytes] = []
    while lines := store.peek(max_events=max_events, max_bytes=max_bytes):
        found += [one.data for one in lines]
        store.settle(lines)
    return found


@pytest.mark.parametrize("kind", ["memory", "spool"])
def test_a_store_gives_back_what_it_took_in_order(spools: Callable[..., Spool], kind: str) -> None:
    store: Store = spools() if kind == "spool" else MemoryQueue(max_events=100, max_bytes=10**6)
    given = [line(number, number) for number in range(20)]
    assert store.put(given[:5])
    assert store.put(given[5:])
    assert len(store) == 20
    assert [one.data for one in store.peek(max_events=2, max_bytes=1)] == given[:1]
    assert [one.data for one in store.peek(max_events=2, max_bytes=10**6)] == given[:2]
    assert emptied(store) == given
    assert (len(store), store.waiting_bytes) == (0, 0)
    store.close()


def test_a_client_with_a_spool_leaves_nothing_behind(server: AuditServer, make: Make, tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "spool"
    client = make(spool=folder, fsync=True)
    keys = [client.event("a.b", metadata={"number": number}) for number in range(30)]
    assert client.flush(10)
    assert names(folder) == []
    keys.append(client.event("a.c"))
    assert client.close(10)
    assert list(server.log) == keys
    assert names(folder) == []
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_event_is_on_disk_before_the_call_returns(server: AuditServer, make: Make, tmp_path: Path) -> None:
    server.plays.extend([says(Said(500, hang=True))] * 3)
    client = make(spool=tmp_path, linger_seconds=60)
    key = client.event("a.b", metadata={"name": "Ada"})
    [path] = tmp_path.glob("*.spool")
    assert json.loads(path.read_bytes())["idempotency_key"] == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_memory_holds_no_more_than_a_batch_and_the_disk_is_bounded(
    server: AuditServer, make: Make, tmp_path: Path
) -> None:
    server.plays.append(says(Said(500, hang=True)))
    client = make(spool=tmp_path, max_events=2, max_bytes=10, max_spool_bytes=20_000, timeout_seconds=0.5)
    keys = []
    with pytest.raises(QueueFullError, match=r"\d+ bytes are on disk, wanted at most 20000 with it"):
        while True:
            keys.append(client.event("a.b", metadata={"text": "x" * 200}))
    assert len(keys) > 40
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 20_000
    assert client.flush(20)
    assert list(server.log) == keys
    client.event("a.c")
    assert client.close(10)
    assert names(tmp_path) == []


def test_what_was_sent_is_noted_and_not_sent_again(spools: Callable[..., Spool], tmp_path: Path) -> None:
    first = spools()
    first.put([line(number) for number in range(10)])
    first.settle(first.peek(max_events=4, max_bytes=10**6))
    first.close()
    assert [name.rpartition(".")[2] for name in names(tmp_path)] == ["done", "spool"]
    second = spools()
    assert second.adopt(LOCK)
    assert len(second) == 6
    assert emptied(second) == [line(number) for number in range(4, 10)]
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    "note", [b"", b"x", b"99999999999999999999\n", b"-1"], ids=["empty", "text", "beyond", "negative"]
)
def test_a_note_that_cannot_be_read_loses_nothing(spools: Callable[..., Spool], tmp_path: Path, note: bytes) -> None:
    first = spools()
    first.put([line(1), line(2)])
    first.close()
    [path] = tmp_path.glob("*.spool")
    path.with_suffix(".done").write_bytes(note)
    second = spools()
    second.adopt(LOCK)
    assert emptied(second) == [line(1), line(2)]


def test_a_file_whose_process_lives_is_left_alone(spools: Callable[..., Spool]) -> None:
    living, other = spools(), spools()
    living.put([line(1)])
    assert other.adopt(LOCK) == 0
    assert len(other) == 0
    living.close()
    assert other.adopt(LOCK) == len(line(1)) + 1
    third = spools()
    assert third.adopt(LOCK) == 0


def test_an_event_taken_after_an_adoption_is_behind_it(spools: Callable[..., Spool]) -> None:
    dead, living = spools(), spools()
    dead.put([line(2)])
    dead.close()
    living.put([line(1)])
    living.adopt(LOCK)
    living.put([line(3)])
    assert emptied(living) == [line(1), line(2), line(3)]


def test_files_are_cut_so_that_the_disk_is_given_back(spools: Callable[..., Spool], tmp_path: Path) -> None:
    spool = spools(max_bytes=40_000)
    for number in range(12):
        assert spool.put([line(number, 2900)])
    assert len(list(tmp_path.glob("*.spool"))) == 3
    assert spool.put([line(99, 9000)]) == 0
    spool.settle(spool.peek(max_events=4, max_bytes=10**6))
    assert len(list(tmp_path.glob("*.spool"))) == 2
    assert spool.put([line(99, 9000)])
    assert emptied(spool)[-1] == line(99, 9000)


@pytest.mark.parametrize(
    ("tail", "kept"),
    [
        (b'{"action":"a.b","idempot', []),
        (b'{"action":"a.b","idempotency_key":"whole"}', ["whole"]),
        (b"\0" * 5000, []),
        (b"[1]\n" + b'{"action":"a.b","idempotency_key":"after"}\n', ["after"]),
        (b"\xff\xfe\n", []),
        (b"x" * (3 * 2**20) + b"\n" + b'{"action":"a.b","idempotency_key":"after"}\n', ["after"]),
    ],
    ids=["torn", "without its end", "zeros", "no event", "no text", "endless"],
)
def test_what_a_crash_left_half_written_is_kept_for_people_and_the_rest_sent(
    server: AuditServer, make: Make, tmp_path: Path, tail: bytes, kept: list[str]
) -> None:
    (tmp_path / "1-2-x.spool").write_bytes(line(1) + b"\n" + line(2) + b"\n" + tail)
    client = make(spool=tmp_path)
    assert client.flush(10)
    assert list(server.log) == ["k1", "k2", *kept]
    is_whole = tail.endswith(b"}") and len(tail) < 100
    assert names(tmp_path) == ([] if is_whole else ["refused.jsonl"])
    if not is_whole:
        errors = [json.loads(text)["error"]["code"] for text in (tmp_path / "refused.jsonl").read_text().splitlines()]
        assert set(errors) == {"unreadable"}
    assert client.stats.queued == 0


def test_refused_events_are_kept_in_the_spool(server: AuditServer, make: Make, tmp_path: Path) -> None:
    server.refuse = lambda event: ("action_unknown", "got x") if event["action"] == "x" else None
    client = make(spool=tmp_path)
    client.event("a")
    key = client.event("x", metadata={"name": "Ada"})
    assert client.flush(10)
    assert names(tmp_path) == ["refused.jsonl"]
    path = tmp_path / "refused.jsonl"
    [kept] = map(json.loads, path.read_text().splitlines())
    assert kept["event"]["idempotency_key"] == key
    assert kept["error"] == {"code": "action_unknown", "detail": "got x"}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_somebody_cut_ends_in_a_refusal_and_not_in_a_circle(
    server: AuditServer, make: Make, tmp_path: Path
) -> None:
    gate = threading.Event()
    server.plays.append(lambda server, asked: gate.wait(20) and None)
    client = make(spool=tmp_path, batch_events=1)
    client.event("a.b")
    client.event("a.c")
    [path] = tmp_path.glob("*.spool")
    os.truncate(path, len(path.read_bytes().splitlines(keepends=True)[0]))
    gate.set()
    assert client.flush(10)
    assert client.stats.refused == 1
    assert client.stats.queued == 0


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """While it has a member, half of what is written is, and then the disk is full."""
    found: list[bool] = []
    write = os.write

    def limited(descriptor: int, data: Any) -> int:
        if not found or len(data) < 40:
            return write(descriptor, data)
        if found.pop():
            found.append(False)
            return write(descriptor, data[:20])
        found.append(True)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", limited)
    return found


def test_a_full_disk_is_a_full_spool_and_tears_nothing(
    spools: Callable[..., Spool], full_disk: list[bool], tmp_path: Path
) -> None:
    spool = spools()
    assert spool.put([line(1)])
    full_disk.append(True)
    for _ in range(3):
        assert spool.put([line(2)]) == 0
    assert "No space left on device" in spool.why_full()
    full_disk.clear()
    assert spool.put([line(3)])
    assert len(list(tmp_path.glob("*.spool"))) == 1
    assert emptied(spool) == [line(1), line(3)]


def test_nothing_follows_half_a_line_that_cannot_be_taken_back(
    spools: Callable[..., Spool], full_disk: list[bool], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*args: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    spool = spools()
    assert spool.put([line(1)])
    full_disk.append(True)
    with monkeypatch.context() as patch:
        patch.setattr(os, "ftruncate", broken)
        assert spool.put([line(2)]) == 0
    full_disk.clear()
    assert spool.put([line(3)])
    assert emptied(spool) == [line(1), line(3)]
    assert names(tmp_path) == []


def test_a_file_that_another_process_took_before_it_was_locked_is_not_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock, stolen = fcntl.flock, list[Path]()

    def late(descriptor: int, how: int) -> None:
        # What another process does that finds the new file, empty and not locked yet.
        if not stolen:
            stolen.extend(tmp_path.glob("*.spool"))
            stolen[0].unlink()
        flock(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    segment = Segment.create(tmp_path)
    assert segment.path.exists()
    assert segment.path not in stolen
    segment.close()


def test_a_process_that_runs_takes_over_from_one_that_dies_meanwhile(
    server: AuditServer, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spools: Callable[..., Spool]
) -> None:
    monkeypatch.setattr(outbox, "LOOK_SECONDS", 0.02)
    client = make(spool=tmp_path)
    client.event("a.b")
    assert client.flush(10)
    other = spools()
    other.put([line(1)])
    assert client.flush(10)
    assert len(server.log) == 1
    other.close()
    wait_until(lambda: len(server.log) == 2)


def test_a_directory_that_is_none_is_refused(tmp_path: Path, make: Make) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="wanted a directory that can be made"):
        make(spool=tmp_path / "file")


def test_notes_without_their_file_are_cleared(spools: Callable[..., Spool], tmp_path: Path) -> None:
    (tmp_path / "1-2-x.done").write_text("7\n")
    spools().adopt(LOCK)
    assert names(tmp_path) == []
