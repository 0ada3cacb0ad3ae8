"""Reading: one tenant, filters, and pages that visit every event exactly once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import UUID, uuid4

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test.utils import CaptureQueriesContext

from auditkit_django import auditlog
from auditkit_django.exceptions import AppendOnlyError, MalformedError
from auditkit_django.models import Entry, Event
from auditkit_django.query.filters import EventFilter
from auditkit_django.query.pages import each_event, event_of
from auditkit_django.query.state import log_state
from auditkit_django.testing import append_now, guards_lifted
from tests.host.models import Organization

pytestmark = pytest.mark.django_db

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
Order = Literal["asc", "desc"]


def _fill(tenant: object, count: int, *, at: Callable[[int], datetime]) -> set[UUID]:
    with auditlog.batch() as batch:
        return {
            batch.event("data.record.updated", tenant=tenant, occurred_at=at(number), metadata={"number": number})
            for number in range(count)
        }


def _same(number: int) -> datetime:
    return _NOON


def _minutes(number: int) -> datetime:
    return _NOON + timedelta(minutes=number)


def _pairs(number: int) -> datetime:
    return _NOON + timedelta(microseconds=number // 2)


def _visit(tenant: object, order: Order, *, limit: int, between: Callable[[], None] = lambda: None) -> list[UUID]:
    cursor, visited = None, []
    while True:
        page = auditlog.list(tenant, limit=limit, order=order, cursor=cursor)
        assert len(page) <= limit
        visited += [event.id for event in page]
        if page.next_cursor is None:
            return visited
        cursor = page.next_cursor
        between()


@pytest.mark.parametrize("order", ["asc", "desc"])
@pytest.mark.parametrize("at", [_same, _minutes, _pairs])
@pytest.mark.parametrize("limit", [1, 3, 7, 23, 24, 1000])
def test_paging_visits_every_event_once_in_order(acme: Organization, at: Any, order: Order, limit: int) -> None:
    wanted = _fill(acme, 23, at=at)
    visited = _visit(acme, order, limit=limit)
    assert len(visited) == 23
    assert set(visited) == wanted
    times = [event_of(str(acme.pk), event_id).occurred_at for event_id in visited]  # type: ignore[union-attr]
    assert times == sorted(times, reverse=order == "desc")


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_paging_is_not_disturbed_by_events_that_arrive_in_between(acme: Organization, order: Order) -> None:
    wanted = _fill(acme, 20, at=_pairs)

    def arrive() -> None:
        # Before, among and after those that are being paged.
        for moment in (_NOON - timedelta(days=1), _NOON, _NOON + timedelta(days=1)):
            auditlog.event("member.invited", tenant=acme, occurred_at=moment)

    visited = iter(_visit_limited(acme, order, arrive))
    found = list(visited)
    assert len(found) == len(set(found))
    assert wanted <= set(found)


def _visit_limited(tenant: object, order: Order, between: Callable[[], None]) -> list[UUID]:
    """Pages until ten pages are seen to their end: what arrives must not keep the reader for ever."""
    calls = 0

    def a_few_times() -> None:
        nonlocal calls
        calls += 1
        if calls <= 5:
            between()

    return _visit(tenant, order, limit=4, between=a_few_times)


def _events(acme: Organization) -> dict[str, UUID | None]:
    def event(action: str, day: int, **fields: Any) -> UUID | None:
        return auditlog.event(action, tenant=acme, occurred_at=_NOON + timedelta(days=day), **fields)

    return {
        "invited": event("member.invited", 0, actor="user:1", resource="invitation:7"),
        "role": event("member.role.changed", 1, actor="user:2", resource="user:7"),
        "login": event("auth.login.failed", 2, actor="anonymous"),
        "denied": event("access.denied", 3, actor="service:1", outcome="denied", severity="critical"),
    }


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ({}, "invited role login denied"),
        ({"action": "member.invited"}, "invited"),
        ({"action": "member.*"}, "invited role"),
        ({"action": "member.role_changed"}, "role"),
        ({"action": "mem.*"}, ""),
        ({"action": "member.role.*"}, "role"),
        ({"actor": "user:1"}, "invited"),
        ({"actor": "1"}, "invited denied"),
        ({"actor": "service:1"}, "denied"),
        ({"target": "user:7"}, "role"),
        ({"target": "7"}, "invited role"),
        ({"outcome": "denied"}, "denied"),
        ({"outcome": "failure"}, "login"),
        ({"severity": "critical"}, "denied"),
        ({"category": "member"}, "invited role"),
        ({"start": _NOON + timedelta(days=1)}, "role login denied"),
        ({"end": _NOON + timedelta(days=1)}, "invited"),
        ({"start": _NOON + timedelta(days=1), "end": _NOON + timedelta(days=3)}, "role login"),
        ({"actor": "1", "outcome": "denied"}, "denied"),
    ],
    ids=str,
)
def test_filters(acme: Organization, globex: Organization, chosen: dict[str, Any], names: str) -> None:
    ids = _events(acme)
    _events(globex)
    by_id = {event_id: name for name, event_id in ids.items()}
    found = auditlog.list(acme, order="asc", **chosen)
    assert [by_id[event.id] for event in found] == names.split()


@pytest.mark.parametrize(
    "chosen",
    [
        {"outcome": "maybe"},
        {"severity": "fatal"},
        {"start": datetime(2026, 1, 1)},
        {"end": datetime(2026, 1, 1)},
        {"action": "mem*"},
        {"action": "*"},
        {"limit": 0},
        {"limit": 1001},
        {"limit": True},
        {"limit": "10"},
        {"order": "random"},
        {"cursor": ""},
        {"cursor": "junk"},
        {"cursor": "x" * 5000},
    ],
    ids=lambda chosen: str(chosen)[:40],
)
def test_what_cannot_be_asked_is_refused(acme: Organization, chosen: dict[str, Any]) -> None:
    with pytest.raises(MalformedError, match=r"got .* wanted"):
        auditlog.list(acme, **chosen)


@pytest.mark.parametrize("text", ["%", "_", "member.%", "a' OR 1=1 --", "\\", "user:%"])
def test_a_filters_text_is_only_text(acme: Organization, text: str) -> None:
    _events(acme)
    for name in ("action", "actor", "target", "category"):
        assert len(auditlog.list(acme, **{name: text})) == 0  # type: ignore[arg-type]


def test_a_cursor_belongs_to_its_tenant_filter_and_order(acme: Organization, globex: Organization) -> None:
    for tenant in (acme, globex):
        _fill(tenant, 5, at=_minutes)
    cursor = auditlog.list(acme, limit=2).next_cursor
    assert cursor is not None
    assert len(auditlog.list(acme, limit=3, cursor=cursor)) == 3
    for tenant, fields in (
        (globex, {}),
        (acme, {"order": "asc"}),
        (acme, {"action": "data.*"}),
        (acme, {"actor": "x"}),
    ):
        with pytest.raises(MalformedError, match="cursor"):
            auditlog.list(tenant, limit=2, cursor=cursor, **fields)  # type: ignore[arg-type]


def test_a_tampered_cursor_is_refused(acme: Organization) -> None:
    _fill(acme, 5, at=_minutes)
    cursor = auditlog.list(acme, limit=2).next_cursor or ""
    for index in range(len(cursor)):
        changed = cursor[:index] + ("A" if cursor[index] != "A" else "B") + cursor[index + 1 :]
        # The last sign of base64 holds spare bits: another spelling of the same signature is no other cursor.
        if index == len(cursor) - 1:
            continue
        with pytest.raises(MalformedError, match="cursor"):
            auditlog.list(acme, cursor=changed)


@pytest.mark.parametrize("count", [1, 50, 400])
def test_a_page_costs_two_queries_however_many_events_there_are(acme: Organization, count: int) -> None:
    _fill(acme, count, at=_minutes)
    append_now()
    with CaptureQueriesContext(connection) as queries:
        page = auditlog.list(acme, limit=1000)
    assert len(page) == count + 1
    assert len(queries) == 2
    sql = " ".join(query["sql"].upper() for query in queries)
    assert "COUNT(" not in sql
    assert "OFFSET" not in sql


def test_an_event_is_pending_until_its_entry_exists(acme: Organization) -> None:
    auditlog.event("member.invited", tenant=acme)
    [event] = auditlog.list(acme)
    assert (event.is_pending, event.seq, event.entry, event.leaf_hash) == (True, None, None, None)
    append_now()
    event = auditlog.list(acme, action="member.invited")[0]
    entry = Entry.objects.get(event_id=event.id)
    assert (event.is_pending, event.seq) == (False, 1)
    assert (event.entry, event.leaf_hash) == (bytes(entry.body), bytes(entry.leaf_hash))


def test_each_event_streams_all_of_them_oldest_first(acme: Organization, globex: Organization) -> None:
    wanted = _fill(acme, 1203, at=_pairs)
    _fill(globex, 3, at=_pairs)
    found = [event.id for event in each_event(str(acme.pk), EventFilter())]
    assert len(found) == 1203
    assert set(found) == wanted


def test_another_tenants_event_does_not_exist(acme: Organization, globex: Organization) -> None:
    event_id = auditlog.event("member.invited", tenant=acme)
    assert event_id is not None
    assert event_of(str(acme.pk), event_id) is not None
    assert event_of(str(globex.pk), event_id) is None
    assert event_of(str(acme.pk), uuid4()) is None


def test_for_tenant_is_the_way_in(acme: Organization, globex: Organization) -> None:
    auditlog.event("member.invited", tenant=acme)
    manager: Any = Event.objects
    assert manager.for_tenant(acme).count() == manager.for_tenant(str(acme.pk)).count() == 1
    assert manager.for_tenant(globex).count() == 0
    with pytest.raises(MalformedError):
        manager.for_tenant(None)


def test_an_event_whose_content_was_changed_by_hand_is_still_listed(acme: Organization) -> None:
    auditlog.event("member.invited", tenant=acme)
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_event SET disclosures = 'junk'")
    [event] = auditlog.list(acme)
    assert (event.action, event.actor, event.metadata) == ("member.invited", None, {})


def test_the_state_of_a_log(acme: Organization) -> None:
    key = str(acme.pk)
    assert log_state(key) is None
    auditlog.event("member.invited", tenant=acme)
    state = log_state(key)
    assert state is not None
    assert (state.size, state.pending, state.oldest_pending_at) == (0, 1, auditlog.list(acme)[0].recorded_at)
    append_now()
    state = log_state(key)
    assert state is not None
    assert (state.size, state.pending, state.verdict) == (2, 0, "")
    assert state.origin.startswith("audit.example.org/t/")


@pytest.mark.parametrize("model", [Event, Entry])
@pytest.mark.parametrize(
    "attempt",
    [
        pytest.param(lambda rows: rows.update(tenant="x"), id="update"),
        pytest.param(lambda rows: rows.delete(), id="delete"),
        pytest.param(lambda rows: rows.bulk_update(list(rows), ["tenant"]), id="bulk_update"),
        pytest.param(lambda rows: rows.first().save(), id="save"),
        pytest.param(lambda rows: rows.first().delete(), id="delete of one"),
        pytest.param(lambda rows: rows._raw_delete("default"), id="raw delete"),
        pytest.param(lambda rows: async_to_sync(rows.aupdate)(tenant="x"), id="aupdate"),
        pytest.param(lambda rows: async_to_sync(rows.adelete)(), id="adelete"),
        pytest.param(lambda rows: async_to_sync(rows.abulk_update)([], ["tenant"]), id="abulk_update"),
        pytest.param(
            lambda rows: rows.update_or_create(tenant="acme", defaults={"tenant": "x"}), id="update_or_create"
        ),
    ],
)
def test_the_orm_refuses_to_change_what_is_recorded(model: Any, attempt: Callable[[Any], None]) -> None:
    auditlog.event("member.invited", tenant="acme")
    append_now()
    rows = model.objects.filter(tenant="acme", **({"action": "member.invited"} if model is Event else {"seq": 1}))
    before = list(rows.values())
    with pytest.raises(AppendOnlyError, match="append-only") as caught:
        attempt(rows)
    assert caught.value.code == "append_only"
    assert list(rows.values()) == before
