"""POST events: one, many, again, and what is refused. Nothing is lost and nothing doubled."""

from __future__ import annotations

import gzip
import json
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.db import DatabaseError

from auditkit_django import auditlog
from auditkit_django.api.views import events as views
from auditkit_django.exceptions import MalformedError
from auditkit_django.models import Event
from auditkit_django.recording import ingesting
from auditkit_django.testing import append_now
from tests.api.conftest import Api

if TYPE_CHECKING:
    from pytest_django.fixtures import DjangoAssertNumQueries, SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db

INVITED = {"action": "member.invited"}


def stored(response: Any) -> dict[str, Any]:
    """The event that an answer names, opened."""
    event = Event.objects.get(id=response.json()["id"])
    return {"action": event.action, "outcome": event.outcome, "severity": event.severity, **event.disclosed()}


def count() -> int:
    return Event.objects.filter(action="member.invited").count()


def test_one_event_is_recorded_with_everything_that_was_said(api: Api) -> None:
    response = api.post(
        "events",
        {
            "action": "member.role.changed",
            "actor": {"type": "user", "id": 42, "name": "Ada", "email": "ada@example.org"},
            "on_behalf_of": "user:7",
            "target": {"type": "user", "id": "9", "name": "Grace"},
            "targets": ["team:3"],
            "outcome": "denied",
            "severity": "high",
            "occurred_at": "2026-01-31T13:00:00.5+01:00",
            "metadata": {"role": "admin", "depth": {"n": [1, None, True]}},
            "changes": [{"field": "role", "old": "member", "new": "admin"}],
            "context": {"ip": "2001:DB8::7", "user_agent": "curl/8", "request_id": "abc"},
        },
    )
    assert response.status_code == 201
    assert response.json()["status"] == "recorded"
    event = stored(response)
    assert (event["outcome"], event["severity"]) == ("denied", "high")
    assert event["actor"] == {"type": "user", "id": "42", "name": "Ada", "email": "ada@example.org"}
    assert event["on_behalf_of"] == {"type": "user", "id": "7"}
    assert event["targets"] == [{"type": "user", "id": "9", "name": "Grace"}, {"type": "team", "id": "3"}]
    assert event["changes"] == [{"field": "role", "old": "member", "new": "admin"}]
    assert event["metadata"] == {"role": "admin", "depth": {"n": [1, None, True]}}
    assert event["context"].items() >= {"ip": "2001:db8::7", "user_agent": "curl/8", "source": "api"}.items()
    row = Event.objects.get(id=response.json()["id"])
    assert row.occurred_at.isoformat() == "2026-01-31T12:00:00.500000+00:00"


def test_without_an_actor_the_key_acts_and_our_own_request_is_no_fact(api: Api) -> None:
    event = stored(api.post("events", INVITED))
    assert event["actor"]["type"] == "api_key"
    assert event["context"] == {"source": "api", "ingested_by": event["actor"]["id"]}


def test_what_a_list_says_comes_out_in_its_order(api: Api) -> None:
    items = [{**INVITED, "target": f"invitation:{number}"} for number in range(1000)]
    response = api.post("events", items)
    assert response.status_code == 201
    body = response.json()
    assert (body["recorded"], body["repeated"], body["refused"]) == (1000, 0, 0)
    assert [one["index"] for one in body["results"]] == list(range(1000))
    by_id = {str(event.id): event.target_id for event in Event.objects.filter(action="member.invited")}
    assert [by_id[one["id"]] for one in body["results"]] == [str(number) for number in range(1000)]
    append_now()
    rows = api.get("events?action=member.invited&order=asc&limit=200").json()["events"]
    assert [row["seq"] for row in rows] == sorted(row["seq"] for row in rows)


@pytest.mark.parametrize("items", [[], [INVITED] * 1001])
def test_a_list_has_1_to_1000_events(api: Api, items: list[Any]) -> None:
    response = api.post("events", items)
    assert (response.status_code, response.json()["code"]) == (400, "malformed")
    assert count() == 0


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_bad_event_undoes_all_where_it_is_all_or_nothing(api: Api, at: int) -> None:
    items: list[Any] = [INVITED] * 3
    items[at] = {"action": "member.invitd"}
    response = api.post("events", items)
    assert response.status_code == 422
    assert response["Content-Type"] == "application/problem+json"
    assert [(error["index"], error["code"]) for error in response.json()["errors"]] == [(at, "action_unknown")]
    assert "member.invited" in response.json()["errors"][0]["detail"]
    assert count() == 0


def test_one_bad_event_stays_alone_where_each_stands_for_itself(api: Api) -> None:
    items = [INVITED, {"action": "member.invitd"}, 7, {**INVITED, "metadata": []}, INVITED]
    response = api.post("events?mode=best_effort", items)
    assert response.status_code == 207
    assert [one["status"] for one in response.json()["results"]] == [
        "recorded", "refused", "refused", "refused", "recorded",
    ]  # fmt: skip
    assert count() == 2
    assert api.post("events?mode=best_effort", [7]).status_code == 422


REFUSED = [
    ({}, "action: got none"),
    ([], None),
    ("x", "event: got text"),
    (b"null", "event: got null"),
    ({"action": 7}, "action: got a number"),
    ({"action": "member.invited", "actr": "user:1"}, "Did you mean actor?"),
    ({"action": "not an action"}, "action: got 'not an action'"),
    ({"action": "audit.log.opened"}, "which the log's own host records"),
    ({"action": "audit.chain.broken"}, "which the log's own host records"),
    (b'{"action": "member.invited", "idempotency_key": "cut \\ud83d"}', "half of a character"),
    ({"action": "member.invited", "actor": {"id": "1"}}, "actor: got no type"),
    ({"action": "member.invited", "actor": {"type": "user", "pk": "1"}}, "actor: got the member 'pk'"),
    ({"action": "member.invited", "actor": {"type": "user", "id": True}}, "actor.id: got a boolean"),
    ({"action": "member.invited", "actor": {"type": "user", "id": "x" * 129}}, "actor id"),
    ({"action": "member.invited", "actor": 5}, "actor: got a number"),
    ({"action": "member.invited", "target": {"type": "x\ny"}}, "resource type"),
    ({"action": "member.invited", "targets": "x:1"}, "targets: got text"),
    ({"action": "member.invited", "targets": ["x:1"] * 21}, "targets: got 21"),
    ({"action": "member.invited", "occurred_at": "yesterday"}, "occurred_at: got 'yesterday'"),
    ({"action": "member.invited", "occurred_at": "2026-01-01T00:00:00"}, "wanted an aware datetime"),
    ({"action": "member.invited", "occurred_at": "9999-01-01T00:00:00Z"}, "after now"),
    ({"action": "member.invited", "occurred_at": 1700000000}, "occurred_at"),
    ({"action": "member.invited", "outcome": "maybe"}, "outcome: got 'maybe'"),
    ({"action": "member.invited", "severity": "huge"}, "severity: got 'huge'"),
    ({"action": "member.invited", "metadata": "x"}, "metadata: got text"),
    ({"action": "member.invited", "changes": "x"}, "changes: got text"),
    ({"action": "member.invited", "changes": {"role": "admin"}}, "a pair"),
    ({"action": "member.invited", "changes": [{"old": 1}]}, "changes.field: got null"),
    ({"action": "member.invited", "context": {"ip": "localhost"}}, "context.ip: got 'localhost'"),
    ({"action": "member.invited", "context": {"source": "web"}}, "which the API states itself"),
    ({"action": "member.invited", "context": {str(n): 1 for n in range(21)}}, "context: got 21"),
    ({"action": "member.invited", "idempotency_key": "x" * 129}, "idempotency_key"),
    ({"action": "member.invited", "idempotency_key": ""}, "idempotency_key"),
    ({"action": "member.invited", "tenant": "globex"}, "tenant: got 'globex'"),
]


@pytest.mark.parametrize(("item", "message"), REFUSED)
def test_a_bad_event_is_told_what_was_got_and_wanted(api: Api, item: Any, message: str | None) -> None:
    response = api.post("events", item)
    assert response.status_code == (400 if item == [] else 422), response.json()
    assert message is None or message in response.json()["detail"]
    assert count() == 0


# Again


def test_the_same_event_again_is_recorded_once(api: Api) -> None:
    item = {**INVITED, "idempotency_key": "k-1", "metadata": {"role": "admin"}}
    first, second = api.post("events", item), api.post("events", item)
    assert (first.status_code, second.status_code) == (201, 201)
    assert [one.json()["status"] for one in (first, second)] == ["recorded", "repeated"]
    assert first.json()["id"] == second.json()["id"]
    assert count() == 1


def test_another_event_with_the_same_key_is_refused(api: Api) -> None:
    api.post("events", {**INVITED, "idempotency_key": "k-1"})
    other = {**INVITED, "idempotency_key": "k-1", "metadata": {"role": "owner"}}
    response = api.post("events", other)
    assert (response.status_code, response.json()["code"]) == (422, "idempotency_conflict")
    assert "metadata" in response.json()["detail"]
    items = [INVITED, other]
    assert api.post("events", items).status_code == 422
    assert count() == 1, "all or nothing"
    results = api.post("events?mode=best_effort", items).json()["results"]
    assert [one["status"] for one in results] == ["recorded", "refused"]
    assert count() == 2


def test_the_header_is_the_key_of_one_event_and_of_each_of_a_list(api: Api) -> None:
    for header in ("k-1", '"k-1"'):
        assert api.post("events", INVITED, Idempotency_Key=header).status_code == 201
    assert count() == 1
    items = [INVITED, {**INVITED, "idempotency_key": "own"}, INVITED]
    assert api.post("events", items, Idempotency_Key="list").json()["recorded"] == 3
    again = api.post("events", items, Idempotency_Key="list").json()
    assert (again["recorded"], again["repeated"]) == (0, 3)
    assert count() == 4


@pytest.mark.parametrize("header", ["", "x" * 101, "schlüssel"])
def test_a_header_that_is_no_key_is_refused(api: Api, header: str) -> None:
    response = api.post("events", INVITED, Idempotency_Key=header)
    assert (response.status_code, response.json()["code"]) == (400, "malformed")


def test_a_key_twice_in_one_list(api: Api) -> None:
    one, other = {**INVITED, "idempotency_key": "k"}, {**INVITED, "idempotency_key": "k", "outcome": "failure"}
    results = api.post("events?mode=best_effort", [one, one, other]).json()["results"]
    assert [result["status"] for result in results] == ["recorded", "repeated", "refused"]
    assert results[0]["id"] == results[1]["id"]
    assert count() == 1


def test_the_keys_of_two_tenants_are_two_keys(api: Api, foreign: Api) -> None:
    item = {**INVITED, "idempotency_key": "k"}
    assert [one.post("events", item).json()["status"] for one in (api, foreign)] == ["recorded", "recorded"]


def test_a_retry_from_another_address_is_the_same_event(api: Api) -> None:
    item = {**INVITED, "idempotency_key": "k"}
    api.post("events", {**item, "context": {"ip": "203.0.113.1"}})
    assert api.post("events", {**item, "context": {"ip": "203.0.113.2"}}).json()["status"] == "repeated"


def test_failures_that_were_undone_are_not_recorded_after_all(api: Api) -> None:
    api.post("events", {**INVITED, "idempotency_key": "k"})
    failed = {"action": "auth.login.failed"}
    assert api.post("events", [failed, {**INVITED, "idempotency_key": "k", "outcome": "failure"}]).status_code == 422
    assert not Event.objects.filter(action="auth.login.failed").exists()
    assert api.post("events", failed).status_code == 201


def test_a_database_that_does_not_answer_is_a_503_and_nothing_is_recorded(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("relation secret_table does not exist")

    monkeypatch.setattr(ingesting, "write_events", refuse)
    response = api.post("events", [INVITED])
    assert (response.status_code, response.json()["code"]) == (503, "unavailable")
    assert int(response["Retry-After"]) > 0
    assert b"secret_table" not in response.content
    assert count() == 0


def test_an_error_of_ours_tells_nothing_of_what_is_inside(
    api: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("/srv/secret/path")

    monkeypatch.setattr(views, "write_all", fail)
    api.client.raise_request_exception = False
    response = api.post("events", INVITED)
    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert b"secret" not in response.content
    assert "/srv/secret/path" in caplog.text
    assert response.json()["request_id"]


# The installation's key


def test_a_key_of_the_installation_names_the_tenant_of_each_event(
    make_api: Callable[..., Api], acme: Organization, globex: Organization
) -> None:
    api = make_api(None)
    items = [{**INVITED, "tenant": str(tenant.pk), "idempotency_key": "k"} for tenant in (acme, globex)]
    assert api.post("events", items).json()["recorded"] == 2
    assert [Event.objects.filter(tenant=str(one.pk), action="member.invited").count() for one in (acme, globex)] == [
        1,
        1,
    ]
    again = api.post("events", items).json()
    assert again["repeated"] == 2
    response = api.post("events", INVITED)
    assert (response.status_code, response.json()["code"]) == (422, "tenant_missing")


def test_the_query_names_the_tenant_of_events_that_do_not(
    make_api: Callable[..., Api], acme: Organization, globex: Organization
) -> None:
    api = make_api(None)
    items = [INVITED, {**INVITED, "tenant": str(globex.pk)}]
    assert api.post(f"events?tenant={acme.pk}", items).json()["recorded"] == 2
    assert api.post(f"events?tenant={acme.pk}", INVITED).status_code == 201
    counts = [Event.objects.filter(tenant=str(one.pk), action="member.invited").count() for one in (acme, globex)]
    assert counts == [2, 1]


def test_half_a_character_stops_no_other_event(api: Api) -> None:
    items = (
        b'[{"action":"member.invited"},{"action":"member.invited","idempotency_key":"cut \\ud83d"},'
        b'{"action":"member.invited","context":{"\\ud83d":"x"},"metadata":{"\\ud83d":"\\ud83d"}}]'
    )
    results = api.post("events?mode=best_effort", items).json()["results"]
    assert [one["status"] for one in results] == ["recorded", "refused", "recorded"]
    assert count() == 2


def test_nobody_writes_into_the_log_of_checkpoints(make_api: Callable[..., Api]) -> None:
    api = make_api(None)
    for item, query in (({**INVITED, "tenant": "system:checkpoints"}, ""), (INVITED, "?tenant=system:checkpoints")):
        response = api.post(f"events{query}", item)
        assert response.status_code == 422
        assert "log is that of checkpoints" in response.json()["detail"]
    with pytest.raises(MalformedError, match="checkpoints"):
        auditlog.event("audit.log.viewed", tenant="system:checkpoints", idempotency_key="x")


def test_a_name_of_eight_megabytes_is_refused_and_not_compared(api: Api) -> None:
    response = api.post("events", {"x" * 1_000_000: 1, "action": "member.invited"})
    assert response.status_code == 422
    assert len(response.content) < 2000


def test_a_tenants_key_may_name_its_own(api: Api, acme: Organization) -> None:
    assert api.post("events", {**INVITED, "tenant": str(acme.pk)}).status_code == 201


# Bodies


def test_gzip_is_taken(api: Api) -> None:
    packed = gzip.compress(json.dumps([INVITED] * 10).encode())
    assert api.post("events", packed, Content_Encoding="gzip").json()["recorded"] == 10


BODIES: list[tuple[str, bytes, dict[str, str], int, str]] = [
    ("50 MB", b"[" + b'{"action": "member.invited"},' * 1_800_000 + b"{}]", {}, 413, "body_too_large"),
    ("gzip bomb", gzip.compress(b" " * 200_000_000, 1), {"Content_Encoding": "gzip"}, 413, "body_too_large"),
    ("no gzip", b"{}", {"Content_Encoding": "gzip"}, 400, "malformed"),
    ("cut gzip", gzip.compress(b'{"action": "member.invited"}')[:-9], {"Content_Encoding": "gzip"}, 400, "malformed"),
    ("another encoding", b"{}", {"Content_Encoding": "br"}, 415, "media_type"),
    ("10,000 levels", b"[" * 10_000 + b"]" * 10_000, {}, 400, "malformed"),
    ("10,000 objects", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, {}, 400, "malformed"),
    ("a member twice", b'{"action": "member.invited", "action": "member.removed"}', {}, 400, "malformed"),
    ("NaN", b'{"action": "member.invited", "metadata": {"n": NaN}}', {}, 400, "malformed"),
    ("infinity", b'{"action": "member.invited", "metadata": {"n": 1e999}}', {}, 400, "malformed"),
    ("no UTF-8", b'{"action": "\xff"}', {}, 400, "malformed"),
    ("cut", b'{"action": "member.inv', {}, 400, "malformed"),
    ("nothing", b"", {}, 400, "malformed"),
    ("two", b"{}{}", {}, 400, "malformed"),
    ("a long number", b'{"action": "member.invited", "metadata": {"n": ' + b"9" * 5000 + b"}}", {}, 400, "malformed"),
]


@pytest.mark.parametrize(
    ("data", "headers", "status", "code"), [row[1:] for row in BODIES], ids=[row[0] for row in BODIES]
)
def test_a_body_that_makes_no_sense_is_refused(
    api: Api, data: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    response = api.post("events", data, **headers)
    assert (response.status_code, response.json().get("code")) == (status, code), response.content[:300]
    assert len(response.content) < 2000
    assert count() == 0


def test_another_media_type_is_refused(api: Api) -> None:
    response = api.client.post("/api/v1/events", {"action": "x"}, headers={"Authorization": f"Bearer {api.text}"})
    assert (response.status_code, response.json()["code"]) == (415, "media_type")


def test_text_that_a_database_refuses_is_repaired_and_noted(api: Api) -> None:
    response = api.post("events", b'{"action": "member.invited", "metadata": {"a": "x\\u0000y", "b": "\\ud800"}}')
    assert response.status_code == 201
    assert stored(response)["metadata"]["a"] == "x�y"


def test_secrets_are_redacted_as_everywhere(api: Api) -> None:
    event = stored(api.post("events", {**INVITED, "metadata": {"password": "hunter2"}}))
    assert "hunter2" not in json.dumps(event)


@pytest.mark.parametrize("size", [1, 10, 300])
@pytest.mark.parametrize("has_keys", [False, True])
def test_the_number_of_queries_does_not_grow_with_the_list(
    api: Api,
    size: int,
    has_keys: bool,
    django_assert_max_num_queries: DjangoAssertNumQueries,
    settings: SettingsWrapper,
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": "worker"}
    api.post("events", INVITED)
    items = [{**INVITED, **({"idempotency_key": uuid.uuid4().hex} if has_keys else {})} for _ in range(size)]
    with django_assert_max_num_queries(8):
        api.post("events", items)
    with django_assert_max_num_queries(8):
        api.post("events", items)
