"""Whoever is killed while a key is rotated or revoked, and wherever: the same command completes it."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from auditkit_django.log import rotate, seal

if TYPE_CHECKING:
    from tests.log.scene import Scene

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

TENANT = "tenant-0"


def points_of(module: object) -> list[str]:
    """The places in a module where its command can be made to die, in order."""
    source = Path(module.__file__).read_text()  # type: ignore[attr-defined]
    return re.findall(r'crash_point\((?:"[a-z.]+" if is_revocation else )?"([a-z.]+)"\)', source)


#: In the order in which they are come by: within the transaction, after it, while sealing, at the end.
ROTATING = ["rotate.written", "rotate.appended", *points_of(seal), "rotate.sealed"]
REVOKING = [point.replace("rotate", "revoke") for point in ROTATING]


@pytest.fixture
def sealed_scene(scene: Scene, tmp_path: Path) -> Scene:
    """A scene with a key and one log, which is sealed."""
    scene.environment["CROWD_KEY"] = str(tmp_path / "key")
    scene.run("command", "auditkit_keys", "init", str(tmp_path / "key"))
    scene.start("write", "2").wait(60)
    scene.run("work", "--once")
    scene.run("command", "auditkit_seal", "--all")
    return scene


def test_every_step_of_a_rotation_has_a_crash_point() -> None:
    assert points_of(seal) == ["seal.signed", "seal.tiles", "seal.written"]
    assert set(points_of(rotate)) == {
        "rotate.written",
        "rotate.appended",
        "rotate.sealed",
        "revoke.appended",
        "revoke.sealed",
    }


def test_a_rotation_killed_at_each_step_is_completed_by_the_same_command(sealed_scene: Scene) -> None:
    for number, point in enumerate(ROTATING, 1):
        command = ("command", "auditkit_keys", "rotate", "--tenant", TENANT, "--to", str(number))
        assert sealed_scene.start(*command, AUDITKIT_CRASH_AT=point).wait(60) == -signal.SIGKILL, point
        assert sealed_scene.run(*command).strip() == f"{TENANT}: generation {number} signs", point
        _is_valid(sealed_scene, point)
    shown = sealed_scene.run("command", "auditkit_keys", "show", "--tenant", TENANT)
    assert len([line for line in shown.splitlines() if not line.startswith("#")]) == 1 + len(ROTATING)
    path = json.loads(sealed_scene.run("command", "auditkit_keys", "path", "--tenant", TENANT))
    assert [len(steps) for steps in path.values()] == [len(ROTATING)]
    sealed_scene.check()


def test_a_revocation_killed_at_each_step_is_completed_by_the_same_command(sealed_scene: Scene) -> None:
    for point in REVOKING:
        command = ("command", "auditkit_keys", "revoke", "--tenant", TENANT, "--reason", "stolen")
        assert sealed_scene.start(*command, AUDITKIT_CRASH_AT=point).wait(60) == -signal.SIGKILL, point
        sealed_scene.run(*command)
        _is_valid(sealed_scene, point)
    sealed_scene.check()


def _is_valid(scene: Scene, point: str) -> None:
    assert ": VALID," in scene.run("command", "auditkit_verify", "--tenant", TENANT), point
