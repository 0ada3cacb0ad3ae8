"""``capture_events`` and ``make_event``."""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import SynchronousOnlyOperation
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from auditkit_django import auditlog
from auditkit_django.exceptions import UnknownActionError
from auditkit_django.testing import append_now, capture_events, event, make_event

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db


def test_what_a_request_records_is_captured_whole(client: Client, ada: User, acme: Organization) -> None:
    client.force_login(ada)
    with capture_events() as events:
        client.post(reverse("act", kwargs={"org": "acme"}))
    [event] = events
    assert (event.action, event.outcome, event.tenant) == ("member.invited", "success", str(acme.pk))
    assert event.actor is not None
    assert event.actor["id"] == str(ada.pk)
    assert event.context["path"] == "/o/acme/act/"
    assert event.is_pending


def test_changes_targets_metadata_and_impersonation_are_captured() -> None:
    with capture_events() as events:
        auditlog.event(
            "member.role.changed",
            tenant="acme",
            resource="user:7",
            changes={"role": ("member", "admin")},
            metadata={"role": "admin"},
            on_behalf_of="user:8",
        )
    assert events[0].changes == [{"field": "role", "old": "member", "new": "admin"}]
    assert events[0].targets == [{"type": "user", "id": "7"}]
    assert events[0].metadata == {"role": "admin"}
    assert events[0].on_behalf_of == {"type": "user", "id": "8"}


def test_only_what_is_recorded_inside_is_captured_of_all_tenants_and_in_order() -> None:
    auditlog.event("org.updated", tenant="acme")
    with capture_events() as events:
        auditlog.event("member.invited", tenant="globex")
        auditlog.event("member.joined", tenant="acme")
        with auditlog.batch() as batch:
            batch.event("member.removed", tenant="globex")
    auditlog.event("org.updated", tenant="acme")
    assert events.actions == ["member.invited", "member.joined", "member.removed"]
    assert [one.tenant for one in events[:2]] == ["globex", "acme"]


def test_what_was_rolled_back_is_not_captured_and_a_denial_is() -> None:
    with capture_events() as events, auditlog.context():
        try:
            with transaction.atomic():
                auditlog.event("member.invited", tenant="acme")
                auditlog.event("access.denied", tenant="acme")
                raise ZeroDivisionError
        except ZeroDivisionError:
            pass
        assert events.actions == []
        auditlog.event("org.updated", tenant="acme")
    assert events.actions == ["access.denied", "org.updated"]


def test_looking_inside_the_block_shows_what_is_there_so_far() -> None:
    with capture_events() as events:
        assert len(events) == 0
        auditlog.event("member.invited", tenant="acme")
        assert events.actions == ["member.invited"]
        events.clear()
        auditlog.event("member.joined", tenant="acme")
    assert events.actions == ["member.joined"]


def test_captures_may_be_nested() -> None:
    with capture_events() as outer:
        auditlog.event("member.invited", tenant="acme")
        with capture_events() as inner:
            auditlog.event("member.joined", tenant="acme")
    assert (outer.actions, inner.actions) == (["member.invited", "member.joined"], ["member.joined"])


def test_a_capture_ends_with_its_block_also_where_that_raises() -> None:
    with pytest.raises(ZeroDivisionError), capture_events() as events:
        raise ZeroDivisionError
    auditlog.event("member.invited", tenant="acme")
    assert list(events) == []


def test_a_capture_costs_no_query_until_it_is_looked_at() -> None:
    with CaptureQueriesContext(connection) as alone:
        auditlog.event("member.invited", tenant="acme")
    with CaptureQueriesContext(connection) as watched, capture_events() as events:
        auditlog.event("member.invited", tenant="acme")
    assert len(watched) == len(alone) > 0
    with CaptureQueriesContext(connection) as looks:
        assert events.actions == ["member.invited"]
        assert len(events) == 1
    assert len(looks) == 2


def test_events_are_found_by_action_and_by_prefix() -> None:
    with capture_events() as events:
        for action in ("member.invited", "member.joined", "org.updated"):
            auditlog.event(action, tenant="acme")
    assert [one.action for one in events.of("member.*")] == ["member.invited", "member.joined"]
    assert [one.action for one in events.of("org.updated")] == ["org.updated"]
    assert events.of("member") == []


@pytest.mark.django_db(transaction=True)
def test_what_another_thread_commits_is_captured() -> None:
    def work() -> None:
        auditlog.event("member.invited", tenant="acme")
        connection.close()

    with capture_events() as events:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert events.actions == ["member.invited"]
    assert not events[0].is_pending


def test_a_coroutine_captures_with_async_with() -> None:
    async def work() -> list[str]:
        async with capture_events() as events:
            await auditlog.aevent("member.invited", tenant="acme")
        return events.actions

    assert async_to_sync(work)() == ["member.invited"]


def test_a_coroutine_that_forgets_async_is_told_by_django() -> None:
    async def work() -> list[str]:
        with capture_events() as events:
            await auditlog.aevent("member.invited", tenant="acme")
        return events.actions

    with pytest.raises(SynchronousOnlyOperation):
        async_to_sync(work)()


def test_a_capture_is_shown_by_its_actions() -> None:
    with capture_events() as events:
        auditlog.event("member.invited", tenant="acme")
    assert repr(events) == "<Capture: 1 recorded>"
    assert len(events) == 1
    assert repr(events) == "<Capture: member.invited>"


def test_an_event_is_made_without_saying_anything() -> None:
    first, second = make_event(), make_event()
    assert (first.action, first.tenant, first.outcome) == ("data.record.updated", "system", "success")
    assert first.actor == {"type": "user", "id": "1"}
    assert first.targets != second.targets
    assert first.is_pending
    assert append_now() == 2


def test_an_event_is_made_as_said(ada: User, acme: Organization) -> None:
    made = make_event(
        "member.invited",
        tenant=acme,
        actor=ada,
        resource=acme,
        targets=["invitation:3"],
        outcome="failure",
        severity="high",
        metadata={"role": "admin"},
        changes={"role": (None, "admin")},
        on_behalf_of="user:9",
        occurred_at=datetime(2026, 1, 2, tzinfo=UTC),
    )
    assert made == event(
        "member.invited",
        tenant=acme,
        actor=ada,
        targets=[acme, "invitation:3"],
        outcome="failure",
        severity="high",
        metadata={"role": "admin"},
        changes={"role": (None, "admin")},
        on_behalf_of="user:9",
    )
    assert made.occurred_at == datetime(2026, 1, 2, tzinfo=UTC)
    assert auditlog.list(acme)[0] == made


def test_an_event_is_made_in_the_context() -> None:
    with auditlog.context(tenant="acme", actor="service:importer"):
        made = make_event()
    assert (made.tenant, made.actor) == ("acme", {"type": "service", "id": "importer"})


def test_only_events_with_a_registered_action_are_made() -> None:
    with pytest.raises(UnknownActionError):
        make_event("member.invted")
