"""Pending events get their place: gapless, in order, once, whatever transactions and clocks do."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from auditkit_django import auditlog
from auditkit_django.exceptions import AppendError
from auditkit_django.log import append as appending
from auditkit_django.log.append import append_all, append_pass, append_sweep
from auditkit_django.log.cursors import fetch_all
from auditkit_django.models import Entry, Event, Log, Pending
from auditkit_django.signals import events_appended
from auditkit_django.testing import append_now, guards_lifted
from tests.log import naive
from tests.log.attacker import delete, insert

if TYPE_CHECKING:
    from uuid import UUID

    from pytest_django.fixtures import SettingsWrapper

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def by_hand(settings: SettingsWrapper) -> None:
    """Nothing is appended until the test says so."""
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": "worker"}


def record(tenant: str = "acme", *, number: int = 0) -> UUID | None:
    return auditlog.event("member.invited", tenant=tenant, metadata={"number": number})


def logged(tenant: str = "acme") -> list[UUID]:
    """Ids in order of seq, without the opening."""
    return list(Entry.objects.filter(tenant=tenant, seq__gt=0).order_by("seq").values_list("event_id", flat=True))


def times(tenant: str = "acme") -> list[str]:
    entries = Entry.objects.filter(tenant=tenant).order_by("seq")
    return [json.loads(bytes(entry.body))["time"] for entry in entries]


@pytest.mark.django_db
def test_events_get_every_seq_from_one_in_the_order_of_recording() -> None:
    ids = [record(number=number) for number in range(20)]
    assert append_now() == 20
    assert list(Entry.objects.filter(tenant="acme").order_by("seq").values_list("seq", flat=True)) == list(range(21))
    assert logged() == ids
    assert not Pending.objects.exists()
    assert auditlog.verify("acme").verdict == "VALID"
    assert not list(naive.faults(*naive.stored_rows("acme")))


@pytest.mark.django_db
def test_appending_again_changes_nothing() -> None:
    record()
    append_now()
    head = Log.objects.values().get(tenant="acme")
    assert append_now() == 0
    assert Log.objects.values().get(tenant="acme") == head


@pytest.mark.django_db
def test_the_heads_of_other_tenants_stay_where_they_are() -> None:
    record("acme")
    record("globex")
    append_now()
    head = Log.objects.values().get(tenant="globex")
    record("acme")
    assert append_pass(may_nest=True).appended == {"acme": 1}
    assert Log.objects.values().get(tenant="globex") == head


@pytest.mark.django_db
def test_time_never_falls_when_the_clock_goes_back() -> None:
    for hours in (0, -1, -24, 87_600, -5):
        record()
        append_pass(clock=lambda hours=hours: NOON + timedelta(hours=hours), may_nest=True)  # type: ignore[misc]
    said = times()
    assert said == sorted(said)
    assert said[1] == said[3] == "2030-01-01T12:00:00.000000Z"
    assert said[4] == said[5] > said[3]
    assert auditlog.verify("acme").verdict == "VALID"


@pytest.mark.django_db
def test_a_pass_takes_at_most_a_batch_of_each_log(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND_BATCH": 3}
    ids = [record(number=number) for number in range(7)]
    first = append_pass(may_nest=True)
    assert (first.appended, first.has_left) == ({"acme": 3}, True)
    assert logged() == ids[:3]
    assert append_now() == 4
    assert logged() == ids
    assert not append_pass(may_nest=True).has_left


@pytest.mark.django_db
def test_more_logs_than_one_pass_holds_are_swept_in_several() -> None:
    tenants = sorted(f"tenant-{number:02}" for number in range(70))
    for tenant in reversed(tenants):
        record(tenant)
    first = append_pass(may_nest=True)
    assert list(first.appended) == tenants[:64]
    assert first.next_tenant == tenants[63]
    assert append_sweep(may_nest=True).appended == dict.fromkeys(tenants[64:], 1)
    assert Log.objects.count() == 70


@pytest.mark.django_db
def test_a_pass_costs_the_same_number_of_statements_however_much_it_takes() -> None:
    def statements(count: int) -> int:
        for number in range(count):
            record(number=number)
        with CaptureQueriesContext(connection) as queries:
            append_pass(may_nest=True)
        return len(queries)

    statements(1)
    assert statements(1) == statements(40)


@pytest.mark.django_db
def test_a_pass_on_postgresql_is_seven_statements(is_postgresql: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting tenants, then in one transaction: lock, take, copy, update. Django adds the savepoint of this test."""
    if not is_postgresql:
        pytest.skip("SQLite goes through the ORM")
    from auditkit_django.log import postgresql

    record()
    append_now()
    record()
    reads: list[str] = []

    def counted(*args: object) -> object:
        reads.append(str(args[1]).split(maxsplit=1)[0])
        return fetch_all(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(postgresql, "fetch_all", counted)
    with CaptureQueriesContext(connection) as queries:
        append_pass(may_nest=True)
    ours = [query["sql"] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert len(reads) == 3
    assert len(ours) <= 2, ours


@pytest.mark.django_db
def test_a_pointer_to_no_event_is_dropped_and_said(caplog: pytest.LogCaptureFixture) -> None:
    gone, stays = record(), record()
    with guards_lifted():
        delete(Event, {"id": gone})
    assert append_now() == 1
    assert logged() == [stays]
    assert "has no event" in caplog.text
    assert auditlog.verify("acme").verdict == "VALID"


@pytest.mark.django_db
def test_two_pointers_to_one_event_make_one_entry(caplog: pytest.LogCaptureFixture) -> None:
    first, second = record(), record()
    record("globex")
    insert(Pending, tenant="acme", event_id=first)
    assert append_now() == 3
    assert logged() == [first, second]
    assert not Pending.objects.exists()
    assert "were dropped" in caplog.text


@pytest.mark.django_db
def test_a_pointer_to_an_event_in_the_log_does_not_stop_the_log() -> None:
    first = record()
    append_now()
    insert(Pending, tenant="acme", event_id=first)
    second = record()
    append_now()
    assert logged() == [first, second]
    assert auditlog.verify("acme").verdict == "VALID"


@pytest.mark.django_db
def test_a_pass_inside_an_open_transaction_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "is_test_run", lambda: False)
    record()
    with pytest.raises(AppendError, match="open transaction"):
        append_pass()
    assert Pending.objects.count() == 1


@pytest.mark.django_db
def test_a_head_that_another_writer_moved_rolls_the_pass_back(monkeypatch: pytest.MonkeyPatch) -> None:
    record()
    append_now()
    event = record()
    store = appending.store_of(connection)
    monkeypatch.setattr(store, "update_heads", lambda *_args: 0)
    with pytest.raises(AppendError, match="0 of 1"):
        append_pass(may_nest=True)
    monkeypatch.undo()
    assert event not in logged()
    assert append_now() == 1
    assert auditlog.verify("acme").verdict == "VALID"


@pytest.mark.django_db
def test_a_closed_log_takes_nothing() -> None:
    record()
    append_now()
    Log.objects.filter(tenant="acme").update(state=Log.State.CLOSED)
    record()
    record("globex")
    result = append_pass(may_nest=True)
    assert (result.appended, result.has_left) == ({"globex": 1}, False)


@pytest.mark.django_db
def test_who_listens_hears_how_many_entries_each_log_got() -> None:
    heard: list[object] = []

    def hear(sender: object, tenants: object, **_kwargs: object) -> None:
        heard.append(tenants)
        raise RuntimeError("a receiver that fails loses nothing")

    events_appended.connect(hear)
    try:
        record("acme")
        record("acme")
        record("globex")
        append_now()
    finally:
        events_appended.disconnect(hear)
    assert heard == [{"acme": 2, "globex": 1}]
    assert not Pending.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_commit_appends_at_once_where_appending_is_inline() -> None:
    with transaction.atomic():
        event = record()
        assert logged() == []
    assert logged() == [event]


@pytest.mark.django_db(transaction=True)
def test_rolled_back_events_leave_no_trace_and_no_gap() -> None:
    kept: list[UUID | None] = []
    with transaction.atomic():
        kept.append(record(number=1))
        with suppress(RuntimeError), transaction.atomic():
            record(number=2)
            raise RuntimeError
        with transaction.atomic():
            kept.append(record(number=3))
            with suppress(RuntimeError), transaction.atomic():
                with transaction.atomic():
                    record(number=4)
                raise RuntimeError
        kept.append(record(number=5))
    with suppress(RuntimeError), transaction.atomic():
        record(number=6)
        raise RuntimeError
    kept.append(record(number=7))
    assert logged() == kept
    assert set(Event.objects.filter(action="member.invited").values_list("id", flat=True)) == set(kept)
    assert auditlog.verify("acme").verdict == "VALID"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("by_hand")
def test_a_late_commit_is_appended_late_and_not_skipped(is_postgresql: bool) -> None:
    """The open transaction has the lowest pointer; those that commit meanwhile do not wait for it."""
    if not is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    has_recorded, may_commit = threading.Event(), threading.Event()

    def late() -> UUID | None:
        try:
            with transaction.atomic():
                event = record()
                has_recorded.set()
                assert may_commit.wait(30)
            return event
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(late)
        assert has_recorded.wait(30)
        others = [record(number=number) for number in range(10)]
        assert append_all() == 10
        assert logged() == others
        may_commit.set()
        assert (event := waiting.result(30)) is not None
    assert append_all() == 1
    assert logged() == [*others, event]
    assert auditlog.verify("acme").verdict == "VALID"


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("by_hand")
def test_a_log_held_by_another_appender_is_skipped_and_said_to_be_left(is_postgresql: bool) -> None:
    if not is_postgresql:
        pytest.skip("SQLite has one writer at a time")
    record()
    append_all()
    record("acme")
    record("globex")
    is_held, may_go = threading.Event(), threading.Event()

    def hold() -> None:
        try:
            with transaction.atomic():
                Log.objects.select_for_update().get(tenant="acme")
                is_held.set()
                assert may_go.wait(30)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        holding = pool.submit(hold)
        assert is_held.wait(30)
        result = append_pass()
        may_go.set()
        holding.result(30)
    assert (result.appended, result.has_left) == ({"globex": 1}, True)
    assert append_all() == 1
