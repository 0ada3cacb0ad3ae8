"""Heartbeats: silence that is said, once, of logs that are sealed."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from auditkit_django import auditlog
from auditkit_django.exceptions import AppendError
from auditkit_django.log import heartbeat
from auditkit_django.log.checkpoints import newest
from auditkit_django.log.heartbeat import beat_due
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.seal import seal, seal_due
from auditkit_django.log.signing import SealGuard
from auditkit_django.log.worker import Worker
from auditkit_django.models import Entry, Event, Log
from auditkit_django.testing import append_now, guards_lifted

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def guard(tmp_path: Path, settings: SettingsWrapper) -> SealGuard:
    """A signer, and what it remembers."""
    folder = tmp_path / "signed"
    signer = SecretSigner(bytes(range(32)))
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": signer, "SEAL_GUARD_DIR": str(folder)}
    return SealGuard(folder=folder)


def grow(tenant: str = "acme", *, is_sealed: bool = True) -> Log:
    """A log with one more event."""
    auditlog.event("org.updated", tenant=tenant)
    append_now()
    if is_sealed:
        seal(tenant)
    return Log.objects.get(tenant=tenant)


def after(days: float) -> Callable[[], datetime]:
    return lambda: datetime.now(UTC) + days * DAY


def beats(tenant: str = "acme") -> int:
    return Event.objects.filter(tenant=tenant, action="audit.log.heartbeat").count()


def test_a_sealed_log_that_was_idle_for_a_day_gets_one_and_is_sealed() -> None:
    log = grow()
    assert beat_due() == 0
    assert beat_due(clock=after(0.9)) == 0
    assert beat_due(clock=after(1.1)) == 1
    assert beat_due(clock=after(2)) == 0
    assert beat_due(clock=after(2.2)) == 1
    assert seal_due(clock=after(2.3)) == 1
    row = newest(log)
    assert row is not None
    assert row.size == 4
    first = Event.objects.filter(action="audit.log.heartbeat").order_by("recorded_at")[0]
    idle_since = datetime.fromisoformat(first.disclosed()["metadata"]["idle_since"])
    assert idle_since == log.head_time
    assert Entry.objects.get(event_id=first.id).seq == 2
    assert auditlog.verify("acme").verdict == "VALID"


def test_logs_that_nothing_would_vouch_for_get_none(settings: SettingsWrapper) -> None:
    grow(is_sealed=False)
    assert beat_due(clock=after(3)) == 0
    seal("acme")
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": None}
    assert beat_due(clock=after(3)) == 0


@pytest.mark.parametrize("interval", [0, None])
def test_it_is_switched_off(settings: SettingsWrapper, interval: float | None) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HEARTBEAT_INTERVAL": interval}
    grow()
    assert beat_due(clock=after(3)) == 0


def test_a_host_s_tests_get_none_and_a_worker_does(settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HEARTBEAT_INTERVAL": 1e-6}
    grow()
    Worker().run_once()
    assert beats() == 0
    monkeypatch.setattr(heartbeat, "is_test_run", lambda: False)
    Worker().run_once()
    assert beats() == 1


def test_one_that_somebody_else_gave_meanwhile_is_not_given_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    grow()
    locked = heartbeat.locked_log

    def meanwhile(tenant: str, **options: Any) -> Log:
        monkeypatch.setattr(heartbeat, "locked_log", locked)
        assert beat_due(clock=after(1.5)) == 1
        return locked(tenant, **options)

    monkeypatch.setattr(heartbeat, "locked_log", meanwhile)
    assert beat_due(clock=after(1.5)) == 0
    assert beats() == 1


def test_a_log_that_was_cut_off_gets_none_and_is_halted(guard: SealGuard) -> None:
    from tests.log.test_seal import _cut_tail

    for _ in range(9):
        grow()
    _cut_tail(Log.objects.get())
    assert beat_due(clock=after(3)) == 0
    assert Log.objects.get().state == "halted"


def test_one_that_cannot_get_its_own_keeps_no_other_from_it(caplog: pytest.LogCaptureFixture) -> None:
    for tenant in ("acme", "zeta"):
        grow(tenant)
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_log SET size = 1 WHERE tenant = 'acme'")
    # The guard knows better; here it is not asked, so that the entry's place is taken.
    with pytest.MonkeyPatch.context() as patch, caplog.at_level(logging.ERROR):
        patch.setattr(heartbeat, "halt_first_seen", lambda *args, **options: None)
        assert beat_due(clock=after(3)) == 1
    assert "acme got no heartbeat" in caplog.text
    assert (beats("acme"), beats("zeta")) == (0, 1)


def test_it_is_refused_in_a_transaction_that_may_be_rolled_back(monkeypatch: pytest.MonkeyPatch) -> None:
    grow()
    monkeypatch.setattr("auditkit_django.log.control.is_test_run", lambda: False)
    with pytest.raises(AppendError, match="heartbeat: got an open transaction"):
        beat_due(clock=after(3))
