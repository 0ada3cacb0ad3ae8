"""``manage.py demo --no-serve``: months of history through the real views, and harmless when run again."""

from __future__ import annotations

import os
import re
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parent.parent


def _demo(database: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    settings = {"DJANGO_SETTINGS_MODULE": "example_project.settings", "NORTHWIND_DATABASE": str(database)}
    command = [sys.executable, "manage.py", "demo", "--no-serve", *arguments]
    env = {**os.environ, **settings, "COLUMNS": "120", "NO_COLOR": "1", **environment}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False)


def _count(database: Path, query: str, *values: str) -> int:
    with closing(sqlite3.connect(database)) as connection:
        (count,) = connection.execute(query, values).fetchone()
        return int(count)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A database after the first run, and what that printed."""
    database = tmp_path_factory.mktemp("demo") / "northwind.sqlite3"
    run = _demo(database)
    assert run.returncode == 0, run.stderr
    return database, run.stdout


def test_both_logs_are_there_and_valid(told: tuple[Path, str]) -> None:
    _database, output = told
    for path in ("/o/acme-robotics/audit/", "/o/blue-harbor-health/audit/"):
        line = next(line for line in output.splitlines() if path in line)
        assert line.split()[-1] == "VALID", output


def test_the_output_says_how_to_sign_in(told: tuple[Path, str]) -> None:
    _database, output = told
    for wanted in (
        "http://127.0.0.1:8000/",
        "quiet-harbor-42",
        "mara@acme-robotics.example",
        "daniel@blueharbor.example",
    ):
        assert wanted in output


@pytest.mark.parametrize("slug", ["acme-robotics", "blue-harbor-health"])
def test_each_organization_has_months_of_varied_history(told: tuple[Path, str], slug: str) -> None:
    database, _output = told
    tenant = "(SELECT CAST(id AS TEXT) FROM northwind_organization WHERE slug = ?)"
    events = f"auditkit_django_event WHERE tenant = {tenant}"
    assert 200 <= _count(database, f"SELECT COUNT(*) FROM {events}", slug) <= 600
    assert _count(database, f"SELECT COUNT(DISTINCT action) FROM {events}", slug) >= 20
    assert _count(database, f"SELECT COUNT(DISTINCT outcome) FROM {events}", slug) == 3
    assert (
        _count(database, f"SELECT julianday(MAX(occurred_at)) - julianday(MIN(occurred_at)) FROM {events}", slug) > 100
    )


@pytest.mark.parametrize(
    "action",
    [
        "user.created",
        "auth.login.failed",
        "auth.password.changed",
        "auth.password.reset_requested",
        "auth.password.reset",
        "mfa.factor.enrolled",
        "mfa.challenge.failed",
        "session.impersonation.started",
        "session.impersonation.ended",
        "project.created",
        "project.updated",
    ],
)
@pytest.mark.parametrize("slug", ["acme-robotics", "blue-harbor-health"])
def test_what_nobody_records_by_hand_is_there_too(told: tuple[Path, str], slug: str, action: str) -> None:
    database, _output = told
    tenant = "(SELECT CAST(id AS TEXT) FROM northwind_organization WHERE slug = ?)"
    query = f"SELECT COUNT(*) FROM auditkit_django_event WHERE tenant = {tenant} AND action = ?"
    assert _count(database, query, slug, action) > 0


def test_the_output_has_the_secrets_of_those_who_need_a_code(told: tuple[Path, str]) -> None:
    _database, output = told
    for email in ("tomas@acme-robotics.example", "hannah@blueharbor.example"):
        assert re.search(rf"{email}\s+(?:[A-Z2-7]{{4}} ?){{8}}", output), output


def test_nothing_is_left_pending_or_lies_in_the_future(told: tuple[Path, str]) -> None:
    database, _output = told
    assert _count(database, "SELECT COUNT(*) FROM auditkit_django_pending") == 0
    # To the second: staff is created as the last thing, and the test may ask within the same one.
    soon = "datetime('now', '+1 second')"
    assert _count(database, f"SELECT COUNT(*) FROM auditkit_django_event WHERE occurred_at > {soon}") == 0


def test_running_it_again_is_harmless(told: tuple[Path, str]) -> None:
    database, output = told
    before = _count(database, "SELECT COUNT(*) FROM auditkit_django_event")
    again = _demo(database)
    assert again.returncode == 0, again.stderr
    assert again.stdout.strip() == output.strip()
    assert _count(database, "SELECT COUNT(*) FROM auditkit_django_event") == before


def test_a_half_told_story_is_refused_with_the_remedy(told: tuple[Path, str], tmp_path: Path) -> None:
    database, _output = told
    half = tmp_path / "half.sqlite3"
    with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(half)) as copy:
        source.backup(copy)
        copy.execute("DELETE FROM auth_user WHERE username = 'staff@northwind.example'")
        copy.commit()
    run = _demo(half)
    assert run.returncode != 0
    assert "demo --reset" in run.stderr


def test_a_missing_time_machine_is_refused_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['time_machine'] = None\n")
    run = _demo(tmp_path / "northwind.sqlite3", PYTHONPATH=str(tmp_path))
    assert run.returncode != 0
    assert 'pip install "auditkit-django[demo]"' in run.stderr
