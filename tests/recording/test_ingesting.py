"""Many events at once, with idempotency keys: what becomes of each, and of the database's statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError, connection, transaction

from auditkit_django import auditlog
from auditkit_django.exceptions import IdempotencyConflictError, RecordingError
from auditkit_django.log import writing
from auditkit_django.models import Event, Pending
from auditkit_django.recording.encoding import encode_row
from auditkit_django.recording.ingesting import Written, write_all
from auditkit_django.recording.record import build_draft
from auditkit_django.signals import event_recorded
from auditkit_django.testing import append_now

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _nobody_appends(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": "worker"}


def write(*keys: str | None, is_atomic: bool = False, **fields: Any) -> list[Written]:
    fields = {"action": "member.invited", "tenant": "acme", "actor": "system", **fields}
    drafts = [build_draft(idempotency_key=key, **fields) for key in keys]
    return write_all([(draft, encode_row(draft)) for draft in drafts], is_atomic=is_atomic)


def count() -> tuple[int, int]:
    return Event.objects.filter(action="member.invited").count(), Pending.objects.count()


@pytest.mark.parametrize("number", [1, 199, 200, 1000])
def test_what_is_new_is_recorded_and_what_stands_is_not(number: int) -> None:
    keys = [str(n) for n in range(number)]
    assert write(*keys) == [True] * number
    assert write(*keys) == [False] * number
    assert write(*keys, "new", None) == [False] * number + [True, True]
    assert count() == (number + 2, number + 2)


def test_events_keep_their_order() -> None:
    keys = [str(n) for n in range(300)]
    for key in keys:
        write(key, resource=f"invitation:{key}") if int(key) % 50 == 0 else None
    drafts = [
        build_draft(
            action="member.invited", tenant="acme", actor="system", idempotency_key=key, resource=f"invitation:{key}"
        )
        for key in keys
    ]
    write_all([(draft, encode_row(draft)) for draft in drafts])
    append_now()
    events = auditlog.list("acme", action="member.invited", limit=1000)
    targets = [event.targets[0]["id"] for event in sorted(events, key=lambda event: event.seq or 0)]
    assert [key for key in targets if int(key) % 50] == [key for key in keys if int(key) % 50]


@pytest.mark.parametrize("number", [3, 300])
def test_within_a_transaction_that_goes_on(number: int) -> None:
    keys = [str(n) for n in range(number)]
    write(*keys[::2])
    assert write(*keys) == [n % 2 == 1 for n in range(number)]
    assert count() == (number, number)
    with transaction.atomic():
        assert write(*keys, "one more") == [False] * number + [True]
        assert count() == (number + 1, number + 1)


def test_one_conflict_undoes_all_where_it_is_asked_for_and_an_outer_transaction_goes_on() -> None:
    write("a")
    with transaction.atomic():
        auditlog.event("member.joined", tenant="acme")
        outcomes = write("b", "a", is_atomic=True, outcome="failure")
        assert isinstance(outcomes[1], IdempotencyConflictError)
        auditlog.event("member.removed", tenant="acme")
    assert count() == (1, 3)
    assert Event.objects.filter(action__in=["member.joined", "member.removed"]).count() == 2
    assert [type(one) for one in write("b", "a", outcome="failure")] == [bool, IdempotencyConflictError]


def test_an_event_that_was_pruned_is_not_recorded_again() -> None:
    from auditkit_django.testing import guards_lifted

    write("old")
    append_now()
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("DELETE FROM auditkit_django_event WHERE action = 'member.invited'")
    assert write("old") == [False]
    assert write("old", *map(str, range(250)))[0] is False
    assert not Event.objects.filter(action="member.invited", id=write_id("old")).exists()


def write_id(key: str) -> object:
    return build_draft(action="member.invited", tenant="acme", actor="system", idempotency_key=key).id


def test_a_receiver_is_told_of_each_event_that_is_new() -> None:
    told: list[Any] = []

    def receive(**kwargs: Any) -> None:
        told.append(kwargs["id"])

    event_recorded.connect(receive)
    try:
        write("a", "b", "a")
        write("a", "c")
    finally:
        event_recorded.disconnect(receive)
    assert told == [write_id(key) for key in ("a", "b", "c")]


def test_failures_of_a_transaction_that_is_rolled_back_are_recorded_all_the_same() -> None:
    with pytest.raises(ZeroDivisionError), auditlog.context(tenant="acme"), transaction.atomic():
        write("a", "b", outcome="failure")
        raise ZeroDivisionError
    assert Event.objects.filter(action="member.invited", outcome="failure").count() == 2


def test_a_database_that_refuses_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise DatabaseError("the disk is full")

    monkeypatch.setattr(writing, "wake_on_commit", refuse)
    with pytest.raises(RecordingError, match="disk is full"):
        write("a", "b")
    assert count() == (0, 0)
