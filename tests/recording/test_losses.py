"""What happens when the database refuses: raise, or (a written choice) count, signal and report (S36)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from auditkit_django import auditlog
from auditkit_django.exceptions import MissingTenantError, RecordingError
from auditkit_django.models import Event
from auditkit_django.recording.losses import LOSSES
from auditkit_django.signals import event_lost
from tests.host.models import Invoice, Organization
from tests.recording import actions_of

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_losses_before() -> None:
    assert LOSSES.count == 0, "a test before this one lost events and never recorded again"


@pytest.fixture
def fail_open(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "ON_ERROR": "log"}


@pytest.fixture
def lost() -> Iterator[list[tuple[str, str]]]:
    heard: list[tuple[str, str]] = []

    def receive(action: str, error: Exception, **_fields: object) -> None:
        heard.append((action, type(error).__name__))

    event_lost.connect(receive)
    yield heard
    event_lost.disconnect(receive)


def _refusing() -> AbstractContextManager[None]:
    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if "auditkit_django_event" in sql or "auditkit_django_record" in sql:
            raise OperationalError("disk full")
        return execute(sql, *rest)

    return connection.execute_wrapper(refuse)


def test_by_default_the_change_fails_with_its_missing_record(acme: Organization, lost: list[Any]) -> None:
    def change() -> None:
        with transaction.atomic():
            Invoice.objects.create(organization=acme, title="unrecorded")
            auditlog.event("data.record.created", tenant=acme)

    with _refusing(), pytest.raises(RecordingError, match="disk full"):
        change()
    assert not Invoice.objects.exists()
    assert lost == []


def test_a_loss_is_counted_signalled_logged_and_recorded_later(
    fail_open: None, acme: Organization, lost: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    with transaction.atomic():
        with _refusing(), caplog.at_level(logging.ERROR):
            assert auditlog.event("data.record.created", tenant=acme) is None
            assert auditlog.event("data.record.created", tenant=acme) is None
            assert auditlog.event("member.invited", tenant=acme) is None
        Invoice.objects.create(organization=acme, title="goes on")
    assert Invoice.objects.count() == 1
    assert LOSSES.count == 3
    assert lost == [("data.record.created", "OperationalError")] * 2 + [("member.invited", "OperationalError")]
    assert "event member.invited was lost (3 since the last report)" in caplog.text
    auditlog.event("member.removed", tenant=acme)
    [report] = auditlog.list("system")
    assert (report.action, report.actor) == ("audit.logging.failed", {"type": "system"})
    assert report.metadata["count"] == 3
    assert report.metadata["actions"] == {"data.record.created": 2, "member.invited": 1}
    assert report.metadata["since"] <= report.metadata["until"]
    assert LOSSES.count == 0
    auditlog.event("member.removed", tenant=acme)
    assert len(auditlog.list("system")) == 1


def test_a_table_that_is_gone_does_not_break_the_callers_transaction(
    fail_open: None, acme: Organization, lost: list[Any]
) -> None:
    with transaction.atomic():
        with transaction.atomic():
            with connection.cursor() as cursor:
                cursor.execute("ALTER TABLE auditkit_django_event RENAME TO elsewhere")
            auditlog.event("data.record.created", tenant=acme)
            Invoice.objects.create(organization=acme, title="goes on")
            assert Invoice.objects.count() == 1
            transaction.set_rollback(True)
        auditlog.event("member.invited", tenant=acme)
    assert len(lost) == 1
    assert actions_of("system") == ["audit.logging.failed"]


def test_a_report_that_fails_is_tried_again(fail_open: None, acme: Organization) -> None:
    with _refusing():
        auditlog.event("data.record.created", tenant=acme)
    seen = 0

    def refuse_the_second(execute: Any, sql: str, *rest: Any) -> Any:
        nonlocal seen
        if "INSERT INTO auditkit_django_event" in sql or "auditkit_django_record" in sql:
            seen += 1
            if seen == 2:
                raise OperationalError("disk full again")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse_the_second):
        auditlog.event("member.invited", tenant=acme)
    assert LOSSES.count == 1
    auditlog.event("member.removed", tenant=acme)
    assert [event.metadata["count"] for event in auditlog.list("system")] == [1]
    assert actions_of(acme) == ["member.invited", "member.removed"]


def test_a_report_survives_a_rollback(fail_open: None, acme: Organization) -> None:
    with _refusing():
        auditlog.event("data.record.created", tenant=acme)
    with auditlog.context(), transaction.atomic():
        auditlog.event("member.invited", tenant=acme)
        transaction.set_rollback(True)
    auditlog.event("member.removed", tenant=acme)
    assert [event.metadata["count"] for event in auditlog.list("system")] == [1]


def test_a_lost_batch_counts_each_of_its_events(fail_open: None, acme: Organization, lost: list[Any]) -> None:
    with _refusing(), transaction.atomic():
        with auditlog.batch() as batch:
            for _ in range(3):
                batch.event("member.invited", tenant=acme)
        Invoice.objects.create(organization=acme, title="goes on")
    assert (LOSSES.count, len(lost), Invoice.objects.count()) == (3, 3, 1)
    auditlog.event("member.removed", tenant=acme)
    assert actions_of("system") == ["audit.logging.failed"]


def test_refused_data_is_a_loss_too(fail_open: None, acme: Organization, lost: list[Any]) -> None:
    assert auditlog.event("member.invited") is None
    assert auditlog.event("nothing.known", tenant=acme) is None
    assert lost == [("member.invited", MissingTenantError.__name__), ("nothing.known", "UnknownActionError")]
    auditlog.event("member.removed", tenant=acme)
    assert auditlog.list("system")[0].metadata["actions"] == {"member.invited": 1, "nothing.known": 1}


def test_a_receiver_that_fails_changes_nothing(fail_open: None, acme: Organization) -> None:
    def fail(**_fields: object) -> None:
        raise ZeroDivisionError

    event_lost.connect(fail)
    try:
        with _refusing():
            assert auditlog.event("member.invited", tenant=acme) is None
    finally:
        event_lost.disconnect(fail)
    auditlog.event("member.removed", tenant=acme)
    assert Event.objects.filter(action="audit.logging.failed").count() == 1
