"""Erasure and pruning of a long log in a real database: what went is nowhere in it, and a kill leaves all or nothing."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg.sql import SQL, Identifier

from auditkit_django.log.keys import create_key_file
from tests.log.scene import Scene

if TYPE_CHECKING:
    pass

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

EVENTS = 100_000
ERASE = (
    *("command", "auditkit_erase", "--tenant", "acme", "--subject", "user:17", "--mention", "p17@example.com"),
    *("--reason", "request", "--yes"),
)
PRUNE = ("command", "auditkit_prune", "--tenant", "acme", "--yes", "--unpublished")
VERIFY = ("command", "auditkit_verify", "--tenant", "acme", "--json")


@pytest.fixture
def kept(scene: Scene, tmp_path: Path) -> Scene:
    """A scene with a key, and a policy: reads go after 150 days, everything after 350."""
    create_key_file(tmp_path / "audit.key")
    policy = {"*": 350, "data.record.viewed": 150}
    settings = {"KEY_FILE": str(tmp_path / "audit.key"), "RETENTION": policy}
    scene.environment |= {"CROWD_AUDITKIT": json.dumps(settings), "CROWD_APPEND_BATCH": "1000"}
    return scene


def raw(scene: Scene) -> bytes:
    """All bytes of the database's file, after VACUUM; of PostgreSQL what a dump has, and where it is missing all rows."""
    if scene.server is None:
        with sqlite3.connect(scene.name) as database:
            database.execute("VACUUM")
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()
        files = [path for path in Path(scene.name).parent.glob("db.sqlite3*") if path.exists()]
        return b"".join(path.read_bytes() for path in files)
    dump = scene.server.bin_dir / "pg_dump"
    if dump.exists():
        command = [str(dump), "--data-only", "--dbname", scene.server.dsn(scene.name)]
        return subprocess.run(command, check=True, capture_output=True).stdout
    found = b""
    with psycopg.connect(scene.server.dsn(scene.name)) as session:
        for (table,) in session.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall():
            with session.cursor().copy(SQL("COPY {} TO STDOUT").format(Identifier(table))) as copy:
                found += b"".join(map(bytes, copy))
    return found


def verdict(scene: Scene) -> dict[str, object]:
    report = json.loads(scene.run(*VERIFY, code=1))[0]
    assert isinstance(report, dict)
    return report


def test_a_hundred_thousand_events_are_erased_from_and_pruned(kept: Scene) -> None:
    kept.run("fill", "acme", str(EVENTS))
    assert b"p17@example.com" in raw(kept)
    assert b"Person 17" in raw(kept)
    printed = kept.run(*ERASE)
    assert "acme: values of 4000 events were erased" in printed
    data = raw(kept)
    assert b"p17@example.com" not in data
    assert b"Person 17" not in data
    assert b"p18@example.com" in data
    report = verdict(kept)
    assert (report["verdict"], report["checked"]) == ("VALID_WITH_GAPS", EVENTS + 3)
    assert [gap["code"] for gap in report["gaps"]] == ["check.erased"]  # type: ignore[attr-defined, index]
    printed = kept.run(*PRUNE)
    assert "acme: 24832 events with their entries before seq 24832 gone (350 days)" in printed
    data = raw(kept)
    assert b'"record:100"' not in data
    report = verdict(kept)
    assert (report["verdict"], report["first_seq"]) == ("VALID_WITH_GAPS", 24832)
    assert [gap["code"] for gap in report["gaps"]] == ["check.erased", "check.pruned", "check.pruned", "check.pruned"]  # type: ignore[attr-defined, index]


@pytest.mark.parametrize("point", ["erase.written", "erase.recorded", "erase.committed"])
def test_an_erasure_that_is_killed_is_done_by_the_same_command(kept: Scene, point: str) -> None:
    kept.run("fill", "acme", "1000")
    assert kept.start(*ERASE, AUDITKIT_CRASH_AT=point).wait(60) == -signal.SIGKILL
    is_done = point == "erase.committed"
    assert (b"p17@example.com" in raw(kept)) is not is_done
    kept.run(*VERIFY, code=1 if is_done else 0)
    printed = kept.run(*ERASE)
    assert f"values of {0 if is_done else 40} events were erased" in printed
    assert b"p17@example.com" not in raw(kept)
    assert verdict(kept)["verdict"] == "VALID_WITH_GAPS"


@pytest.mark.parametrize("point", ["prune.licensed", "prune.deleted", "prune.chunk", "prune.purged"])
def test_a_pruning_that_is_killed_is_done_by_the_same_command(kept: Scene, point: str) -> None:
    kept.run("fill", "acme", "3000")
    assert kept.start(*PRUNE, AUDITKIT_CRASH_AT=point).wait(60) == -signal.SIGKILL
    assert verdict(kept)["verdict"] == "VALID_WITH_GAPS"
    kept.run(*PRUNE)
    report = verdict(kept)
    assert (report["verdict"], report["first_seq"]) == ("VALID_WITH_GAPS", 512)
    found = json.loads(kept.run("report"))
    assert len(found["entries"]) == 3000 + 1 - 512 + 3
    # Each purge was recorded once.
    assert sum(1 for entry in found["entries"] if entry[1] >= 3001) == 3
