"""The worker's loop, driven without a process of its own."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import pytest
from django.db import OperationalError

from auditkit_django import auditlog
from auditkit_django.log import worker as working
from auditkit_django.log.append import PassResult
from auditkit_django.log.worker import Worker
from auditkit_django.models import Pending
from tests.log.attacker import delete

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _only_the_worker_appends(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": "worker", "WORKER_POLL_SECONDS": 0.01, "APPEND_BATCH": 2}


class _Stopping(Worker):
    """Stops itself once nothing was left to do."""

    def _sweep(self) -> bool:
        is_busy = super()._sweep()
        if not is_busy:
            self.stop()
        return is_busy


def test_a_worker_appends_until_nothing_is_pending_and_stops_when_told() -> None:
    for _ in range(5):
        auditlog.event("member.invited", tenant="acme")
    worker = _Stopping()
    worker.run()
    assert worker.appended == 5
    assert worker.last_pass_at is not None
    assert not Pending.objects.exists()


def test_once_reconciles_appends_everything_and_tells_how_many() -> None:
    for _ in range(5):
        auditlog.event("member.invited", tenant="acme")
    Worker().run_once()
    auditlog.event("member.invited", tenant="acme")
    delete(Pending, {"tenant": "acme"})
    assert Worker().run_once() == 1
    assert auditlog.verify("acme").verdict == "VALID"


def test_a_worker_told_to_stop_before_it_starts_does_nothing() -> None:
    auditlog.event("member.invited", tenant="acme")
    worker = Worker()
    worker.stop()
    worker.run()
    assert worker.appended == 0


def test_a_failing_pass_is_logged_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    auditlog.event("member.invited", tenant="acme")
    sweep, failures = working.append_sweep, [OperationalError("gone"), OperationalError("still gone")]

    def fail_twice(*, using: str) -> PassResult:
        if failures:
            raise failures.pop()
        return sweep(using=using)

    waits: list[float] = []
    worker = _Stopping()
    monkeypatch.setattr(working, "append_sweep", fail_twice)
    wait = worker._stopping.wait
    monkeypatch.setattr(worker._stopping, "wait", lambda seconds: waits.append(seconds) or wait(0))
    worker.run()
    assert worker.appended == 1
    assert caplog.text.count("a pass failed and was rolled back") == 2
    assert waits[:2] == [1.0, 2.0]


def test_a_worker_reports_its_health(caplog: pytest.LogCaptureFixture) -> None:
    auditlog.event("member.invited", tenant="acme")
    with caplog.at_level(logging.INFO, logger="auditkit_django.worker"):
        _Stopping().run()
    assert "events/s, 0 pending" in caplog.text
    state = Worker().health(12.5)
    assert (state.events_per_second, state.last_pass_at) == (12.5, None)
