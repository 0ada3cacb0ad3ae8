"""Many events in one statement: all or none, the same rows as one by one."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from auditkit_django import auditlog
from auditkit_django.exceptions import MalformedError, RecordingError
from auditkit_django.log.writing import COPY_FROM
from auditkit_django.models import Event, Pending
from auditkit_django.testing import append_now
from tests.host.models import Organization
from tests.recording import actions_of

pytestmark = pytest.mark.django_db


def _fields(number: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "actor": auditlog.Actor("user", str(number), "Ada \u202e\"'\t,{}\\"),
        "metadata": {"number": number, "text": "é\U0001f600\0\\N\n\t\r"},
        "changes": {"a": (None, number)},
    }
    return {**fields, "resource": f"invoice:{number}"} if number % 2 else fields


def _content(tenant: str) -> list[tuple[Any, ...]]:
    rows = Event.objects.filter(tenant=tenant).exclude(action="audit.log.opened")
    found = [
        (
            *(row.action, row.category, row.severity, row.outcome, row.occurred_at == row.recorded_at),
            *(row.actor_type, row.actor_id, row.target_type, row.target_id, str(row.disclosed())),
        )
        for row in rows
    ]
    return sorted(found, key=str)


def test_a_block_writes_at_its_end_in_one_go(acme: Organization) -> None:
    with auditlog.batch() as batch:
        ids = [batch.event("member.invited", tenant=acme, metadata={"number": number}) for number in range(5)]
        assert len(batch) == 5
        assert not Event.objects.exists()
    assert {event.id for event in auditlog.list(acme)} == set(ids)
    assert list(Pending.objects.order_by("id").values_list("event_id", flat=True)) == ids


def test_a_commit_gives_the_ids_and_empties_the_batch(acme: Organization) -> None:
    batch = auditlog.batch()
    first = batch.event("member.invited", tenant=acme)
    assert batch.commit() == [first]
    assert batch.commit() == []
    second = batch.event("member.removed", tenant=acme)
    assert batch.commit() == [second]
    assert actions_of(acme) == ["member.invited", "member.removed"]


def test_the_context_counts_when_the_event_is_added(acme: Organization, globex: Organization) -> None:
    batch = auditlog.batch()
    with auditlog.context(actor="user:1", tenant=acme):
        batch.event("member.invited")
    with auditlog.context(actor="user:2", tenant=globex):
        batch.commit()
    assert auditlog.list(acme)[0].actor == {"type": "user", "id": "1"}


def test_an_exception_inside_writes_only_failures_and_denials(acme: Organization) -> None:
    batch = auditlog.batch()
    for outcome in ("success", "failure", "denied", "success"):
        batch.event("data.imported", tenant=acme, outcome=outcome)
    with pytest.raises(ZeroDivisionError), batch:
        raise ZeroDivisionError
    assert sorted(event.outcome for event in auditlog.list(acme)) == ["denied", "failure"]


@pytest.mark.parametrize("is_broken", [False, True], ids=["sound", "broken by a failed statement"])
@pytest.mark.parametrize("levels", [1, 2])
def test_failures_of_a_batch_survive_the_rollback_around_it(acme: Organization, levels: int, is_broken: bool) -> None:
    def fill() -> None:
        with transaction.atomic(), auditlog.batch() as batch:
            batch.event("data.imported", tenant=acme)
            batch.event("data.imported", tenant=acme, outcome="failure")
            if is_broken:
                Organization.objects.bulk_create([Organization(slug="acme", name="again")])
            raise ZeroDivisionError

    with ExitStack() as contexts:
        for _ in range(levels):
            contexts.enter_context(auditlog.context())
        with pytest.raises((ZeroDivisionError, IntegrityError)):
            fill()
    assert [event.outcome for event in auditlog.list(acme)] == ["failure"]


@pytest.mark.parametrize("count", [COPY_FROM - 1, COPY_FROM, 1000])
def test_a_batch_writes_what_single_events_write(count: int) -> None:
    for number in range(count):
        auditlog.event("data.imported", tenant="single", **_fields(number))
    with auditlog.batch() as batch:
        for number in range(count):
            batch.event("data.imported", tenant="batch", **_fields(number))
    assert len(_content("single")) == count
    assert _content("single") == _content("batch")
    append_now()
    assert auditlog.verify("batch").verdict == auditlog.verify("single").verdict == "VALID"


def test_a_thousand_events_are_a_handful_of_statements(is_postgresql: bool) -> None:
    with CaptureQueriesContext(connection) as queries, auditlog.batch() as batch:
        for number in range(1000):
            batch.event("data.imported", tenant="system", metadata={"number": number})
    assert len(queries) <= (2 if is_postgresql else 4)
    assert Event.objects.count() == Pending.objects.count() == 1000


def test_a_bad_event_fails_alone(acme: Organization) -> None:
    with auditlog.batch() as batch:
        batch.event("member.invited", tenant=acme)
        with pytest.raises(MalformedError):
            batch.event("member.invited", tenant=acme, metadata={"a": object()})
        batch.event("member.removed", tenant=acme)
    assert actions_of(acme) == ["member.invited", "member.removed"]


def test_a_refusal_writes_nothing_and_keeps_the_batch(acme: Organization) -> None:
    def refuse(execute: Any, sql: str, *rest: Any) -> Any:
        raise OperationalError("disk full")

    batch = auditlog.batch()
    for _ in range(3):
        batch.event("member.invited", tenant=acme)
    with transaction.atomic():
        with connection.execute_wrapper(refuse), pytest.raises(RecordingError, match=r"batch of 3.*disk full"):
            batch.commit()
        transaction.set_rollback(True)
    assert (len(batch), Event.objects.count()) == (3, 0)
    batch.commit()
    assert (len(batch), Event.objects.count()) == (0, 3)


def test_a_rollback_takes_the_batch_along(acme: Organization) -> None:
    with transaction.atomic():
        with auditlog.batch() as batch:
            batch.event("member.invited", tenant=acme)
        transaction.set_rollback(True)
    assert not Event.objects.exists()


def test_events_of_several_tenants_go_in_one_batch(acme: Organization, globex: Organization) -> None:
    with auditlog.batch() as batch:
        for tenant in (acme, globex, acme):
            batch.event("member.invited", tenant=tenant)
    assert (len(auditlog.list(acme)), len(auditlog.list(globex))) == (2, 1)
