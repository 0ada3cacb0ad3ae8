"""The scripts in docs/api.md, as they are printed, against a server."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.api.server import Gunicorn

if TYPE_CHECKING:
    from tests.log.scene import Scene

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

PAGE = Path(__file__).parents[2] / "docs" / "api.md"


def script(heading: str, language: str) -> str:
    """The code under a heading."""
    section = PAGE.read_text().partition(f"## {heading}\n")[2].partition("\n## ")[0]
    match = re.search(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert match is not None
    return match[1]


def run(scene: Scene, command: list[str], text: str) -> str:
    key = scene.run("key", module="tests.api.serving").strip()
    server = Gunicorn(scene)
    server.start()
    environment = {**os.environ, "AUDITKIT_BASE_URL": server.url, "AUDITKIT_API_KEY": key}
    done = subprocess.run(
        command, input=text, env=environment, cwd=scene.folder, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert key not in done.stdout + done.stderr
    return done.stdout


def test_the_script_in_curl(scene: Scene) -> None:
    if shutil.which("curl") is None:
        assert not os.environ.get("AUDITKIT_REQUIRE_NODE"), "curl is not installed"
        pytest.skip("curl is not installed")
    out = run(scene, ["bash"], script("With curl", "sh"))
    assert '"status":"recorded"' in out
    assert '{"recorded":1,"repeated":1,"refused":0,' in out
    # Two pages of one event each, newest first.
    assert re.findall(r'"action":"(member\.\w+)"', out) == ["member.joined", "member.invited"]
    assert '"verdict":"' in out
    exported = (scene.folder / "audit-log.jsonl").read_text()
    assert "grace@example.org" in exported


def test_the_script_in_node(scene: Scene) -> None:
    if shutil.which("node") is None:
        assert not os.environ.get("AUDITKIT_REQUIRE_NODE"), "Node.js is not installed"
        pytest.skip("Node.js is not installed")
    out = run(scene, ["node", "--input-type=module", "-"], script("With fetch", "js"))
    assert out.startswith("2 recorded, 0 repeated: ")
    assert out.count("user 42 ") == 2
    assert "422 action_unknown: action: got 'member.invitd'" in out
