"""One event into the caller's transaction: one statement, with the change or not at all."""

from __future__ import annotations

import logging
import socket
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from auditkit_django import actions, auditlog
from auditkit_django.conf import settings as auditkit_settings
from auditkit_django.drafts import EventDraft
from auditkit_django.exceptions import MalformedError, RecordingError, UnknownActionError
from auditkit_django.log import append
from auditkit_django.models import Entry, Event, Pending
from auditkit_django.recording.record import _words_of
from auditkit_django.signals import event_recorded
from tests.host.models import Invoice, Organization
from tests.recording import actions_of, recorded

pytestmark = pytest.mark.django_db

_RICH: dict[str, Any] = {
    "actor": auditlog.Actor("user", "1", "Ada"),
    "resource": "invoice:1",
    "targets": ["invoice:2", "invoice:3"],
    "metadata": {"note": "x" * 5000, "password": "p"},
    "changes": {f"field{number}": (number, number + 1) for number in range(50)},
    "on_behalf_of": "user:2",
    "outcome": "denied",
    "severity": "critical",
}


@pytest.mark.parametrize("fields", [{}, _RICH], ids=["little", "much"])
@pytest.mark.parametrize("ordinal", ["first", "second"])
def test_recording_is_one_statement_on_postgresql_and_two_on_sqlite(
    is_postgresql: bool, acme: Organization, fields: dict[str, Any], ordinal: str
) -> None:
    if ordinal == "second":
        auditlog.event("member.invited", tenant=acme)
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        auditlog.event("data.record.updated", tenant=acme, **fields)
    statements = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == (1 if is_postgresql else 2)
    assert is_postgresql == ("auditkit_django_record(" in statements[0])


def test_recording_makes_no_network_call(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError(f"connects to {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with transaction.atomic():
        assert recorded(**_RICH).outcome == "denied"


def test_an_event_is_visible_at_once_and_pending() -> None:
    event = recorded()
    assert event.is_pending
    assert Pending.objects.filter(event_id=event.id).exists()


def test_what_is_not_given_comes_from_the_registry_and_the_clock() -> None:
    before = timezone.now()
    event = next(iter([recorded()]))
    assert (event.category, event.severity, event.outcome) == ("data", "info", "success")
    assert before <= event.recorded_at <= timezone.now()
    assert event.occurred_at == event.recorded_at
    assert isinstance(event.id, UUID)
    assert event.id.version == 7


def test_what_is_given_is_recorded() -> None:
    event = recorded(**{**_RICH, "metadata": {"note": "n"}})
    assert (event.actor, event.on_behalf_of) == (
        {"type": "user", "id": "1", "name": "Ada"},
        {"type": "user", "id": "2"},
    )
    assert (event.severity, event.outcome, event.metadata) == ("critical", "denied", {"note": "n"})
    assert event.changes[7] == {"field": "field7", "old": 7, "new": 8}
    row = Event.objects.get(id=event.id)
    assert (row.actor_type, row.actor_id, row.target_type, row.target_id) == ("user", "1", "invoice", "1")


def test_an_alias_is_recorded_under_todays_name() -> None:
    auditlog.event("member.role_changed", tenant="system")
    assert actions_of("system") == ["member.role.changed"]


@pytest.mark.parametrize("policy", ["error", "warn", "allow"])
def test_an_unregistered_action(settings: Any, policy: str, caplog: pytest.LogCaptureFixture) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "UNKNOWN_ACTION": policy}
    _words_of.cache_clear()
    if policy == "error":
        with pytest.raises(UnknownActionError, match=r"Did you mean member\.invited"):
            auditlog.event("member.invite", tenant="system")
        assert not Event.objects.exists()
        return
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            auditlog.event("member.invite", tenant="system")
    event = auditlog.list("system")[0]
    assert (event.action, event.category, event.severity, event.outcome) == (
        "member.invite",
        "member",
        "info",
        "success",
    )
    assert len(caplog.records) == (1 if policy == "warn" else 0)


def test_a_registered_action_of_the_host() -> None:
    actions.register("invoice.approved", severity="high", template="{actor} approved {target}")
    auditlog.event(
        "invoice.approved", tenant="system", actor="user:1", resource=auditlog.Target("invoice", "1", "No. 1")
    )
    event = auditlog.list("system")[0]
    assert (event.severity, event.summary) == ("high", "user 1 approved No. 1")


def test_a_rollback_takes_the_event_along_and_a_commit_keeps_it(acme: Organization) -> None:
    with transaction.atomic():
        Invoice.objects.create(organization=acme, title="gone")
        auditlog.event("data.record.created", tenant=acme)
        transaction.set_rollback(True)
    assert (Invoice.objects.count(), Event.objects.count(), Pending.objects.count()) == (0, 0, 0)
    with transaction.atomic():
        Invoice.objects.create(organization=acme, title="kept")
        auditlog.event("data.record.created", tenant=acme)
    assert (Invoice.objects.count(), Event.objects.count(), Pending.objects.count()) == (1, 1, 1)


def test_nested_savepoints_keep_exactly_what_is_kept(acme: Organization) -> None:
    def level(number: int, *, ends: str) -> None:
        with transaction.atomic():
            auditlog.event("data.record.created", tenant=acme, metadata={"level": number})
            if number < 4:
                level(number + 1, ends="rollback" if number == 2 else "commit")
            if ends == "rollback":
                transaction.set_rollback(True)

    level(1, ends="commit")
    assert sorted(event.metadata["level"] for event in auditlog.list(acme)) == [1, 2]


@pytest.mark.django_db(transaction=True)
def test_a_committed_event_is_appended_and_one_that_was_rolled_back_leaves_nothing(acme: Organization) -> None:
    with transaction.atomic():
        auditlog.event("member.invited", tenant=acme)
        assert not Entry.objects.exists()
    with transaction.atomic():
        auditlog.event("member.removed", tenant=acme)
        transaction.set_rollback(True)
    assert [event.seq for event in auditlog.list(acme, order="asc", action="member.*")] == [1]
    assert (Entry.objects.count(), Pending.objects.count()) == (2, 0)
    assert auditlog.verify(acme).verdict == "VALID"


@pytest.mark.django_db(transaction=True)
def test_an_append_that_fails_after_the_commit_never_reaches_the_caller(
    monkeypatch: pytest.MonkeyPatch, acme: Organization, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(**_fields: object) -> None:
        raise OperationalError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(append, "append_all", fail)
        auditlog.event("member.invited", tenant=acme)
    assert "no space left" in caplog.text
    assert Pending.objects.count() == 1
    auditlog.event("member.removed", tenant=acme)
    assert (Entry.objects.count(), Pending.objects.count()) == (3, 0)


def test_async_code_records_too(acme: Organization) -> None:
    async def act() -> UUID | None:
        with auditlog.context(actor="user:7", tenant=acme):
            return await auditlog.aevent("member.invited")

    assert async_to_sync(act)() == auditlog.list(acme, actor="user:7")[0].id


def test_receivers_hear_of_each_event_in_its_transaction() -> None:
    heard: list[tuple[object, bool]] = []

    def receive(id: UUID, action: str, tenant: str, **_fields: object) -> None:
        heard.append(((tenant, action), Event.objects.filter(id=id).exists()))

    event_recorded.connect(receive)
    try:
        auditlog.event("member.invited", tenant="system")
        with auditlog.batch() as batch:
            batch.event("member.removed", tenant="system")
    finally:
        event_recorded.disconnect(receive)
    assert heard == [(("system", "member.invited"), True), (("system", "member.removed"), True)]


def test_an_event_may_have_occurred_before_it_is_recorded() -> None:
    moment = datetime(1999, 12, 31, 23, 59, 59, 1, tzinfo=UTC)
    event = recorded(occurred_at=moment)
    assert event.occurred_at == moment
    assert event.recorded_at > moment


def test_a_caller_whose_clock_is_a_little_ahead_is_believed(settings: Any) -> None:
    ahead = timezone.now() + timedelta(seconds=auditkit_settings.MAX_FUTURE_SECONDS - 60)
    assert recorded(occurred_at=ahead).occurred_at == ahead
    settings.AUDITKIT = {**settings.AUDITKIT, "MAX_FUTURE_SECONDS": 10}
    with pytest.raises(MalformedError, match="after now"):
        recorded(occurred_at=ahead)


def test_a_clock_that_goes_back_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = [timezone.now() + timedelta(seconds=seconds) for seconds in (0, -3600, -7200, 0)]
    ids = []
    for moment in moments:
        monkeypatch.setattr(timezone, "now", lambda moment=moment: moment)
        ids.append(auditlog.event("member.invited", tenant="system"))
    assert len(set(ids)) == 4
    assert list(Event.objects.order_by("recorded_at").values_list("recorded_at", flat=True)) == sorted(moments)


def _redact_names(draft: EventDraft) -> EventDraft:
    import dataclasses

    return dataclasses.replace(draft, metadata={**draft.metadata, "processed": True, "password": "added too late?"})


def test_processors_run_before_redaction(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "PROCESSORS": [f"{__name__}._redact_names"]}
    metadata = recorded(metadata={"a": 1}).metadata
    assert (metadata["a"], metadata["processed"], metadata["password"]) == (1, True, "[redacted]")


def test_a_processor_that_returns_no_draft_is_a_misconfiguration(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "PROCESSORS": [lambda draft: None], "ON_ERROR": "log"}
    with pytest.raises(ImproperlyConfigured, match="wanted EventDraft"):
        recorded()


def test_a_database_that_refuses_raises_a_recording_error_with_its_cause() -> None:
    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        if "auditkit_django" in sql:
            raise OperationalError("disk full")
        return execute(sql, *rest)

    with (
        connection.execute_wrapper(refuse),
        pytest.raises(RecordingError, match="disk full") as caught,
        transaction.atomic(),
    ):
        auditlog.event("member.invited", tenant="system")
    assert isinstance(caught.value.__cause__, OperationalError)
    assert caught.value.code == "recording"
