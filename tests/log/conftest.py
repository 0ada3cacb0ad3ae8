"""A log worth attacking, scratch databases for whole crowds of processes, and hypothesis without deadlines."""

from __future__ import annotations

import os
import shutil
import uuid
from typing import TYPE_CHECKING

import psycopg
import pytest
from hypothesis import settings

from auditkit_django import auditlog
from auditkit_django.testing import append_now
from tests.log.scene import Scene
from tests.support.postgres import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from django.contrib.auth.models import User

    from tests.host.models import Organization
    from tests.support.postgres import Server

settings.register_profile("log", deadline=None)
settings.load_profile("log")

#: Events in the log of :func:`rich_log` besides its opening: they are at seq 1 to 12.
EVENTS = 12


@pytest.fixture
def rich_log(acme: Organization, ada: User) -> str:
    """The tenant of a log of 12 events in which every column and every disclosure has content."""
    for number in range(EVENTS):
        with auditlog.context(ip="192.0.2.7", request_id=f"req-{number}"):
            auditlog.event(
                "member.invited",
                actor=ada,
                resource=auditlog.Target("invitation", str(number), "Grâce"),
                targets=[auditlog.Target("role", "admin")],
                tenant=acme,
                on_behalf_of=auditlog.Actor("user", "77", "Support"),
                changes={"role": ("member", "admin")},
                metadata={"number": number, "note": "naïve “quotes” \\ and / slashes"},
            )
    append_now()
    return str(acme.pk)


@pytest.fixture(scope="session")
def crowd_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server | None]:
    """A PostgreSQL that may be killed: commits are on disk before they are acknowledged. None on SQLite."""
    if os.environ.get("AUDITKIT_TEST_DB") != "postgresql":
        yield None
        return
    with running(settings={"synchronous_commit": "on"}) as server:
        yield server


@pytest.fixture(scope="session")
def migrated(crowd_server: Server | None, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """A database with tables and without rows, to be copied."""
    folder = tmp_path_factory.mktemp("migrated")
    name = "auditkit" if crowd_server is not None else str(folder / "db.sqlite3")
    scene = Scene(name=name, server=crowd_server, folder=folder)
    scene.run("migrate")
    return scene


@pytest.fixture
def scene(migrated: Scene, tmp_path: Path) -> Iterator[Scene]:
    """A scratch database of this test alone, and the processes that work on it; none of them outlives the test."""
    if migrated.server is None:
        name = str(shutil.copy(migrated.name, tmp_path / "db.sqlite3"))
    else:
        name = f"scene_{uuid.uuid4().hex}"
        with psycopg.connect(migrated.server.dsn("postgres"), autocommit=True) as session:
            session.execute(f"CREATE DATABASE {name} TEMPLATE {migrated.name}")
    scene = Scene(name=name, server=migrated.server, folder=tmp_path)
    yield scene
    scene.end()
