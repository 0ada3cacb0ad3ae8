"""What waits, and since when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.core.checks import run_checks
from django.db import connection
from django.test.utils import CaptureQueriesContext

from auditkit_django import auditlog
from auditkit_django.log import health as health_module
from auditkit_django.log.health import health
from auditkit_django.models import Event, Pending
from auditkit_django.testing import append_now
from tests.log.attacker import insert

pytestmark = pytest.mark.django_db


def test_nothing_waits_in_an_empty_queue() -> None:
    state = health()
    assert (state.pending, state.oldest_pending_at, state.oldest_pending_age_seconds) == (0, None, 0.0)


def test_the_oldest_pending_event_is_named_with_its_age() -> None:
    oldest = auditlog.event("member.invited", tenant="acme")
    auditlog.event("member.invited", tenant="globex")
    recorded_at = Event.objects.get(id=oldest).recorded_at
    state = health(now=recorded_at + timedelta(seconds=90))
    assert (state.pending, state.oldest_pending_at, state.oldest_pending_age_seconds) == (2, recorded_at, 90.0)
    append_now()
    assert health().pending == 0


def test_a_clock_that_went_back_gives_no_negative_age() -> None:
    auditlog.event("member.invited", tenant="acme")
    assert health(now=datetime(2001, 1, 1, tzinfo=UTC)).oldest_pending_age_seconds == 0.0


def test_a_pointer_without_event_has_no_age() -> None:
    insert(Pending, tenant="acme", event_id="7d444840-9dc0-11d1-b245-5ffdce74fad2")
    assert health().oldest_pending_at is None


def test_counting_ends_at_the_cap_and_takes_three_statements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "COUNT_CAP", 3)
    for _ in range(5):
        auditlog.event("member.invited", tenant="acme")
    with CaptureQueriesContext(connection) as queries:
        assert health().pending == 3
    assert len(queries) == 3


def test_a_backlog_is_a_warning_of_the_system_check(settings: object) -> None:
    auditlog.event("member.invited", tenant="acme")

    def ids() -> list[str | None]:
        return [message.id for message in run_checks(databases=["default"]) if message.id == "auditkit.W010"]

    assert ids() == []
    settings.AUDITKIT = {**settings.AUDITKIT, "PENDING_MAX_AGE_SECONDS": -1}  # type: ignore[attr-defined]
    assert ids() == ["auditkit.W010"]
