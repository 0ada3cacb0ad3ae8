"""An auditor's Python has neither ``cryptography`` nor Django: every published vector gets its verdict there too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.ledger.vectors import ABSENT, FOLDER, load

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def said() -> Any:
    """What a process says in which ``cryptography`` is blocked."""
    if not FOLDER.is_dir():
        pytest.skip(ABSENT)
    command = [sys.executable, str(Path(__file__).with_name("without_cryptography.py")), str(FOLDER)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=False, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout)


def test_nothing_that_is_blocked_was_imported(said: Any) -> None:
    assert said["imported"] == []


def test_the_block_holds() -> None:
    script = (
        "import runpy, sys; sys.meta_path.insert(0, runpy.run_path(sys.argv[1])['_Blocked']()); import cryptography"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).with_name("without_cryptography.py"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "ModuleNotFoundError: cryptography is blocked" in done.stderr


def test_every_wycheproof_case_gives_the_published_verdict(said: Any) -> None:
    groups = load("ed25519/wycheproof-ed25519_test.json")["testGroups"]
    published = [case["result"] == "valid" for group in groups for case in group["tests"]]
    assert len(published) == 151
    assert said["wycheproof"] == published


def test_every_known_answer_holds(said: Any) -> None:
    assert said["kat"] == [True] * len(load("ed25519/ed25519-sign-kat.json"))
    assert len(said["kat"]) == 64


def test_every_published_note_gives_the_published_verdict(said: Any) -> None:
    assert said["notes"] == [vector["valid"] for vector in load("notes/signed-notes.json")]
    assert {True, False} == set(said["notes"])


def test_the_published_checkpoints_are_read(said: Any) -> None:
    assert said["checkpoints"] == [20852163, 20852163]
