"""The appender thread: woken by commits, tries again, ends with what it has taken on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction

from auditkit_django import auditlog
from auditkit_django.log import thread as threads
from auditkit_django.log import waking
from auditkit_django.log.append import PassResult
from auditkit_django.models import Entry, Pending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django.fixtures import SettingsWrapper


@pytest.fixture
def sweeps(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[PassResult | Exception]]:
    """What the next sweeps do, last first; an empty one at the end. No thread is left behind."""
    results: list[PassResult | Exception] = []

    def sweep(*, using: str) -> PassResult:
        result = results.pop() if results else PassResult()
        if isinstance(result, Exception):
            raise result
        return result

    monkeypatch.setattr(threads, "append_sweep", sweep)
    monkeypatch.setattr(threads, "CONTENDED_SECONDS", 0.001)
    yield results
    threads.stop_all()


def test_the_mode_is_thread_on_postgresql_and_inline_on_sqlite(
    monkeypatch: pytest.MonkeyPatch, is_postgresql: bool
) -> None:
    assert waking.append_mode(connection) == "inline"
    monkeypatch.setattr(waking, "is_test_run", lambda: False)
    assert waking.append_mode(connection) == ("thread" if is_postgresql else "inline")


@pytest.mark.parametrize("mode", ["inline", "worker"])
def test_a_mode_that_is_set_is_taken(mode: str, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": mode}
    assert waking.append_mode(connection) == mode


def test_no_thread_starts_in_a_test_run(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": "thread"}
    assert waking.append_mode(connection) == "inline"


def test_a_wake_starts_one_daemon_thread_and_a_stop_ends_it(sweeps: list[PassResult | Exception]) -> None:
    threads.wake("default")
    threads.wake("default")
    ours = [thread for thread in threading.enumerate() if thread.name == "auditkit-append-default"]
    assert len(ours) == 1
    assert ours[0].daemon
    threads.stop_all()
    assert not ours[0].is_alive()


def test_a_thread_that_ended_is_started_anew(sweeps: list[PassResult | Exception]) -> None:
    threads.wake("default")
    first = threads._appenders["default"]
    first.stop()
    threads.wake("default")
    assert threads._appenders["default"] is not first
    assert threads._appenders["default"].is_alive()


def test_what_another_process_holds_is_looked_at_again(sweeps: list[PassResult | Exception]) -> None:
    sweeps += [PassResult(appended={"acme": 1}, has_left=True), PassResult(has_left=True), PassResult(has_left=True)]
    threads.Appender("default")._drain()
    assert sweeps == []


def test_an_error_is_logged_and_the_thread_goes_on(
    sweeps: list[PassResult | Exception], caplog: pytest.LogCaptureFixture
) -> None:
    has_recovered = threading.Event()

    class Recovered(PassResult):
        @property
        def has_left(self) -> bool:  # type: ignore[override]
            has_recovered.set()
            return False

    sweeps += [object.__new__(Recovered), RuntimeError("down")]
    threads.wake("default")
    assert has_recovered.wait(30)
    assert "appending failed; the events stay pending" in caplog.text


def test_stopping_appends_what_is_pending_first(sweeps: list[PassResult | Exception]) -> None:
    threads.wake("default")
    sweeps += [PassResult(appended={"acme": 1})]
    threads.stop_all()
    assert sweeps == []


def test_a_transaction_wakes_the_appender_once_however_much_it_records(
    settings: SettingsWrapper, django_capture_on_commit_callbacks: object, db: None
) -> None:
    with django_capture_on_commit_callbacks() as callbacks:  # type: ignore[operator]
        for _ in range(5):
            auditlog.event("member.invited", tenant="acme")
    assert len(callbacks) == 1


@pytest.mark.django_db(transaction=True)
def test_a_commit_is_appended_by_the_thread(monkeypatch: pytest.MonkeyPatch, is_postgresql: bool) -> None:
    if not is_postgresql:
        pytest.skip("a thread does not share the in-memory database")
    monkeypatch.setattr(waking, "is_test_run", lambda: False)
    try:
        with transaction.atomic():
            for _ in range(3):
                auditlog.event("member.invited", tenant="acme")
    finally:
        threads.stop_all()
    assert Entry.objects.filter(tenant="acme").count() == 4
    assert not Pending.objects.exists()
