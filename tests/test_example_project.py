"""The example project: its own tests, Django's TestCase as a host writes it, pass under its own settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parent.parent


def _manage(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "example_project.settings", "NORTHWIND_DATABASE": ":memory:"}
    command = [sys.executable, "-W", "error", "manage.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_the_tests_of_the_example_project_pass_and_are_some() -> None:
    run = _manage("test", "example_project")
    assert run.returncode == 0, run.stderr
    count = re.search(r"Ran (\d+) tests", run.stderr)
    assert count is not None, run.stderr
    assert int(count[1]) >= 30, run.stderr


def test_the_example_project_has_no_open_check() -> None:
    run = _manage("check", "--fail-level", "WARNING")
    assert run.returncode == 0, run.stderr


def test_the_example_project_has_all_its_migrations() -> None:
    run = _manage("makemigrations", "--check", "--dry-run", "northwind")
    assert run.returncode == 0, run.stdout


def test_every_route_of_the_example_project_that_changes_something_is_audited() -> None:
    run = _manage("auditkit_coverage", "--only-missing", "--fail-under", "100")
    assert run.returncode == 0, run.stdout
