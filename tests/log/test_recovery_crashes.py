"""Whoever is killed while a log is recovered from a restored backup, and wherever: the same command completes it."""

from __future__ import annotations

import json
import shutil
import signal
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from auditkit_django.log import recover, seal
from tests.log.test_key_crashes import TENANT, points_of, sealed_scene

if TYPE_CHECKING:
    from pathlib import Path

    from tests.log.scene import Scene

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

__all__ = ["sealed_scene"]

BEFORE = ["recover.remembered", "recover.opened"]
AFTER = ["recover.committed", *points_of(seal), "recover.sealed"]


def test_every_step_of_a_recovery_has_a_crash_point() -> None:
    assert set(points_of(recover)) == {*BEFORE, "recover.committed", "recover.sealed"}


def test_a_recovery_killed_at_each_step_is_completed_by_the_same_command(sealed_scene: Scene, tmp_path: Path) -> None:
    command = ("command", "auditkit_recover", "--tenant", TENANT, "--yes")
    for number, point in enumerate((*BEFORE, *AFTER), 1):
        backup = _backup(sealed_scene, tmp_path, number)
        _grow(sealed_scene, "auditkit_seal")
        _restore(sealed_scene, backup)
        # Recorded after the restore, and kept waiting.
        found = _grow(sealed_scene)
        assert (found["pending"], found["states"][-1]) == (2, "halted"), point
        assert sealed_scene.start(*command, AUDITKIT_CRASH_AT=point).wait(60) == -signal.SIGKILL, point
        sealed_scene.run(*command)
        assert _grow(sealed_scene, "auditkit_seal") == {"pending": 0, "states": ["closed"] * number + ["open"]}, point
    whole = json.loads(sealed_scene.run("report"))
    assert set(whole["acts"]) <= {event for _tenant, _seq, event in whole["entries"]}
    assert whole["verdicts"][TENANT] == "VALID_WITH_GAPS"


def _grow(scene: Scene, *commands: str) -> dict[str, Any]:
    return json.loads(scene.run("grow", TENANT, *commands))  # type: ignore[no-any-return]


def _backup(scene: Scene, folder: Path, number: int) -> str:
    if scene.server is None:
        return str(shutil.copy(scene.name, folder / f"backup-{number}.sqlite3"))
    name = f"{scene.name}_{number}"
    with psycopg.connect(scene.server.dsn("postgres"), autocommit=True) as session:
        session.execute(f"CREATE DATABASE {name} TEMPLATE {scene.name}")
    return name


def _restore(scene: Scene, backup: str) -> None:
    if scene.server is None:
        shutil.copy(backup, scene.name)
        return
    with psycopg.connect(scene.server.dsn("postgres"), autocommit=True) as session:
        session.execute(f"DROP DATABASE {scene.name}")
        session.execute(f"CREATE DATABASE {scene.name} TEMPLATE {backup}")
