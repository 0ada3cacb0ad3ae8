"""Many writers and many workers at once: every event gets one seq, in every log, and nobody steps on anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.log.scene import Scene

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

PROCESSES = 4  # Of four writers each.


@pytest.mark.parametrize("workers", [2, 8])
def test_workers_racing_over_sixteen_writers_append_each_event_once(
    workers: int, scene: Scene, is_postgresql: bool
) -> None:
    if workers > 2 and not is_postgresql:
        pytest.skip("SQLite has one writer at a time: two workers say as much as eight")
    each = 25 if is_postgresql else 6
    racing = [scene.start("work") for _ in range(workers)]
    writers = [scene.start("write", str(each)) for _ in range(PROCESSES)]
    assert [writer.wait(60) for writer in writers] == [0] * PROCESSES
    scene.wait_for(lambda: scene.run("pending").strip() == "0", "the workers did not append everything")
    assert [scene.stop(worker) for worker in racing] == [0] * workers
    found = scene.check()
    assert len(found["acts"]) == PROCESSES * 4 * each == len(scene.acknowledged())
    assert len(found["verdicts"]) == 5
    told = [int(scene.printed(worker).split("stopped, ")[1].split()[0]) for worker in racing]
    assert sum(told) == len(found["acts"])


def test_writers_that_append_by_themselves_append_each_event_once(scene: Scene, is_postgresql: bool) -> None:
    """Inline on SQLite, by the thread of each process on PostgreSQL: no worker is running."""
    each = 20 if is_postgresql else 6
    mode = "thread" if is_postgresql else "inline"
    writers = [scene.start("write", str(each), CROWD_APPEND=mode) for _ in range(PROCESSES)]
    assert [writer.wait(60) for writer in writers] == [0] * PROCESSES
    found = scene.check()
    assert len(found["acts"]) == PROCESSES * 4 * each


def test_sigterm_ends_a_worker_after_its_pass_with_exit_code_0(scene: Scene) -> None:
    scene.start("write", "3").wait(60)
    worker = scene.start("work")
    scene.wait_for(lambda: scene.run("pending").strip() == "0", "the worker did not append")
    assert scene.stop(worker) == 0
    assert scene.printed(worker).splitlines() == ["auditkit worker: ready", "auditkit worker: stopped, 12 appended"]
    scene.check()
