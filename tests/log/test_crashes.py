"""Whoever is killed, and wherever: what was acknowledged is in the log once, and the log is whole."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditkit_django.log import append
from tests.log.scene import Scene

if TYPE_CHECKING:
    import subprocess

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

#: Every place where an appender can be made to die, in the order of the pass.
CRASH_POINTS = re.findall(r'crash_point\("([a-z.]+)"\)', Path(append.__file__).read_text())


def _writers(scene: Scene) -> list[subprocess.Popen[bytes]]:
    """
    Sixteen writers that write until they are stopped, and have begun.

    Four on SQLite: sixteen that wait for one lock leave a worker standing, which says nothing about crashes.
    """
    writers = [scene.start("write", "0") for _ in range(4 if scene.server is not None else 1)]
    scene.wait_for(lambda: all(scene.printed(writer) for writer in writers), "the writers do not write")
    return writers


def _finish(scene: Scene, writers: list[subprocess.Popen[bytes]]) -> None:
    assert [scene.stop(writer) for writer in writers] == [0] * len(writers)
    scene.run("work", "--once")


def test_every_step_of_a_pass_has_a_crash_point() -> None:
    assert [f"append.{step}" for step in ("locked", "taken", "inserted", "updated", "committed")] == CRASH_POINTS


def test_a_worker_killed_at_each_step_while_sixteen_write_loses_and_doubles_nothing(scene: Scene) -> None:
    writers = _writers(scene)
    before = 0
    for point in CRASH_POINTS:
        worker = scene.start("work", AUDITKIT_CRASH_AT=point)
        assert worker.wait(60) == -signal.SIGKILL, point
        # There is more to append for the next one.
        scene.wait_for(lambda before=before: len(scene.acknowledged()) > before + 5, "the writers stand still")  # type: ignore[misc]
        before = len(scene.acknowledged())
    _finish(scene, writers)
    assert scene.check()["entries"]


def test_two_workers_of_which_one_is_killed_again_and_again(scene: Scene, is_postgresql: bool) -> None:
    if not is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    survivor = scene.start("work")
    writers = _writers(scene)
    for point in ("append.inserted", "append.updated"):
        assert scene.start("work", AUDITKIT_CRASH_AT=point).wait(60) == -signal.SIGKILL
    assert survivor.poll() is None
    _finish(scene, writers)
    assert scene.stop(survivor) == 0
    scene.check()


def test_a_writer_killed_before_its_commit_leaves_neither_event_nor_change(scene: Scene) -> None:
    scene.start("write", "2").wait(60)
    scene.run("die", "30")
    scene.run("work", "--once")
    found = scene.check()
    assert len(found["acts"]) == 8


def test_writers_killed_in_the_middle_leave_whole_transactions(scene: Scene) -> None:
    for _ in range(2):
        for writer in _writers(scene):
            writer.send_signal(signal.SIGKILL)
            assert writer.wait(60) == -signal.SIGKILL
    scene.run("work", "--once")
    assert scene.check()["acts"]


def test_worker_and_writers_go_on_by_themselves_after_the_server_was_killed(scene: Scene) -> None:
    if scene.server is None:
        pytest.skip("SQLite has no server")
    worker = scene.start("work")
    writers = _writers(scene)
    for _ in range(2):
        scene.server.kill()
        time.sleep(0.2)
        scene.server.restart()
        before = len(scene.acknowledged())
        scene.wait_for(lambda before=before: len(scene.acknowledged()) > before + 20, "the writers did not come back")  # type: ignore[misc]
    assert [scene.stop(writer) for writer in writers] == [0] * len(writers)
    scene.wait_for(lambda: scene.run("pending").strip() == "0", "the worker did not come back")
    assert worker.poll() is None
    assert scene.stop(worker) == 0
    scene.check()


def test_a_copy_of_the_files_in_the_middle_of_writing_is_a_whole_database(scene: Scene, tmp_path: Path) -> None:
    """What a power cut leaves on the disk, if the disk keeps the order of writes: everybody stops, the files are copied."""
    if scene.server is not None:
        pytest.skip("PostgreSQL has a log of its own, and its own tests")
    writers = [*_writers(scene), scene.start("work")]
    for number in range(3):
        time.sleep(0.1)
        for writer in writers:
            writer.send_signal(signal.SIGSTOP)
            assert os.WIFSTOPPED(os.waitpid(writer.pid, os.WUNTRACED)[1])
        copied = tmp_path / f"copy-{number}"
        copied.mkdir()
        for path in Path(scene.name).parent.glob("db.sqlite3*"):
            shutil.copy(path, copied / path.name)
        acknowledged = set(scene.acknowledged())
        for writer in writers:
            writer.send_signal(signal.SIGCONT)
        with sqlite3.connect(copied / "db.sqlite3") as database:
            assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.close()
        copy = Scene(name=str(copied / "db.sqlite3"), server=None, folder=copied)
        copy.run("work", "--once")
        assert acknowledged <= set(copy.check()["acts"])
    _finish(scene, writers)
    with sqlite3.connect(scene.name) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    database.close()
    scene.check()
