"""The same key twice is one event, or an error; also from two connections at once."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from uuid import UUID

import pytest
from django.db import connection, transaction

from auditkit_django import auditlog
from auditkit_django.exceptions import IdempotencyConflictError, MalformedError
from auditkit_django.models import Event, Pending
from auditkit_django.testing import append_now
from tests.host.models import Organization


def _record(tenant: object = "system", key: str = "import-1", **fields: object) -> UUID | None:
    fields = {"actor": "service:importer", "metadata": {"row": 1, "at": 1.5}, "changes": {"a": (1, None)}, **fields}
    return auditlog.event("data.imported", tenant=tenant, idempotency_key=key, **fields)  # type: ignore[arg-type]


@pytest.mark.django_db
def test_the_same_payload_again_is_the_same_event() -> None:
    first = _record()
    with auditlog.context(request_id="another request"):
        assert _record() == first
    assert Event.objects.count() == Pending.objects.count() == 1


@pytest.mark.django_db
@pytest.mark.parametrize(
    "fields",
    [
        {"metadata": {"row": 2}},
        {"metadata": None},
        {"changes": {"a": (1, 2)}},
        {"actor": "service:other"},
        {"resource": "file:1"},
        {"outcome": "failure"},
        {"severity": "high"},
        {"on_behalf_of": "user:1"},
    ],
    ids=str,
)
def test_another_payload_is_a_conflict_and_writes_nothing(fields: dict[str, object]) -> None:
    _record()
    with transaction.atomic(), pytest.raises(IdempotencyConflictError, match="same payload") as caught:
        _record(**fields)
    assert caught.value.code == "idempotency_conflict"
    assert Event.objects.count() == 1


@pytest.mark.django_db
def test_a_key_belongs_to_one_tenant(acme: Organization, globex: Organization) -> None:
    assert _record(acme) != _record(globex, metadata={"row": 2})
    assert Event.objects.count() == 2


@pytest.mark.django_db
def test_an_event_that_is_in_the_log_already_is_found_too() -> None:
    first = _record()
    append_now()
    assert _record() == first
    assert not Pending.objects.exists()


@pytest.mark.django_db
def test_a_key_whose_event_was_rolled_back_is_free() -> None:
    with transaction.atomic():
        _record()
        transaction.set_rollback(True)
    _record(metadata={"row": 2})
    assert Event.objects.count() == 1


@pytest.mark.django_db
def test_a_batch_refuses_keys() -> None:
    with auditlog.batch() as batch, pytest.raises(MalformedError, match="idempotency_key"):
        batch.event("member.invited", tenant="system", idempotency_key="x")


@pytest.mark.django_db(transaction=True)
def test_two_connections_at_once_write_one_event(is_postgresql: bool, tmp_path: Path) -> None:
    if not is_postgresql:
        _race_in_another_process(tmp_path)
        return
    ids = race()
    assert len(set(ids)) == 1
    assert Event.objects.filter(action="data.imported").count() == 1


def race() -> list[UUID | None]:
    """Eight threads, each with its own connection, record with one key at the same time."""
    barrier, ids = threading.Barrier(8), []

    def write() -> None:
        try:
            barrier.wait()
            with transaction.atomic():
                ids.append(_record())
        finally:
            connection.close()

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8, "a thread failed: its error is above"
    return ids


def _race_in_another_process(folder: Path) -> None:
    # The suite's SQLite is in memory, where connections cannot wait for each other: a file of its own.
    program = (
        "import django; django.setup()\n"
        "from django.core.management import call_command\n"
        "call_command('migrate', verbosity=0)\n"
        "from auditkit_django.models import Event\n"
        "from tests.recording.test_idempotency import race\n"
        "print(len(set(race())), Event.objects.filter(action='data.imported').count())\n"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "AUDITKIT_TEST_SQLITE": str(folder / "race.sqlite3"),
    }
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.split(), done.returncode) == (["1", "1"], 0), done.stderr
