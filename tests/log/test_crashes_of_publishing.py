"""Whoever publishes is killed: the same command run again completes, and every checkpoint is there once."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path

import pytest

from auditkit_django.publishing import run
from tests.log.scene import Scene

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

CRASH_POINTS = re.findall(r'crash_point\("([a-z.]+)"\)', Path(run.__file__).read_text())


def test_every_step_of_a_delivery_has_a_crash_point() -> None:
    assert CRASH_POINTS == ["publish.delivered", "publish.written"]


def test_killed_between_delivery_and_row_the_same_command_completes(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "outside"
    folder.mkdir()
    for point in CRASH_POINTS:
        scene.start("write", "2").wait(60)
        scene.run("work", "--once")
        killed = scene.start("publish", str(folder), AUDITKIT_CRASH_AT=point)
        assert killed.wait(60) == -signal.SIGKILL, point
        assert scene.start("publish", str(folder)).wait(60) == 0, point
    _check(scene, folder)


def test_four_who_publish_at_once_deliver_everything_once(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "outside"
    folder.mkdir()
    scene.run("publish", str(folder))
    scene.start("write", "5").wait(60)
    scene.run("work", "--once")
    together = [scene.start("publish", str(folder)) for _ in range(4)]
    assert [one.wait(60) for one in together] == [0] * 4
    _check(scene, folder)


def test_a_publisher_that_never_answers_holds_up_neither_the_worker_nor_the_others(
    scene: Scene, tmp_path: Path
) -> None:
    folder = tmp_path / "outside"
    folder.mkdir()
    worker = scene.start("publishing", str(folder))
    for round_ in range(2):
        scene.start("write", "2").wait(60)
        before = 5 * round_
        scene.wait_for(
            lambda before=before: all(
                len({path.parent for path in (folder / name).rglob("*.note")}) >= 6
                and len(list((folder / name).rglob("*.note"))) > before + 5
                for name in ("one", "two")
            ),
            "the checkpoints do not arrive",
        )
        scene.wait_for(lambda: scene.run("pending").strip() == "0", "the worker does not append")
    assert worker.poll() is None
    assert scene.stop(worker) == 0
    found = json.loads(scene.run("published"))
    assert {publisher for _place, publisher, _receipt in found["published"]} == {"one", "two"}


def _check(scene: Scene, folder: Path) -> None:
    found = json.loads(scene.run("published"))
    assert len(found["sealed"]) >= 5
    assert sorted((place, publisher) for place, publisher, _ in found["published"]) == sorted(
        (place, publisher) for place in found["sealed"] for publisher in ("one", "two")
    )
    for place, publisher, receipt in found["published"]:
        assert (folder / publisher / receipt).read_text() == found["sealed"][place]
    assert len(list(folder.rglob("*.note"))) == 2 * len(found["sealed"])
