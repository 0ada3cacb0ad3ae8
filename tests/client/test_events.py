"""What a caller may give, as the JSON that is sent."""

from __future__ import annotations

import enum
import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from auditkit_django.client import InvalidEventError
from auditkit_django.client.events import encode_event

ID = UUID("12345678-1234-5678-1234-567812345678")


class Color(enum.Enum):
    RED = "red"


def encoded(action: str = "a.b", *, default_tenant: str | None = None, **fields: Any) -> dict[str, Any]:
    event = encode_event(action, fields, tenant=default_tenant)  # type: ignore[arg-type]
    assert b"\n" not in event.data
    value: dict[str, Any] = json.loads(event.data.decode("ascii"))
    assert value["idempotency_key"] == event.key
    return value


def test_an_event_has_its_time_and_a_fresh_key() -> None:
    before = datetime.now(UTC)
    first, second = encoded(), encoded()
    assert first["idempotency_key"] != second["idempotency_key"]
    assert before <= datetime.fromisoformat(first["occurred_at"]) <= datetime.now(UTC)
    assert first.keys() == {"action", "occurred_at", "idempotency_key"}


def test_everything_that_was_given_is_sent() -> None:
    moment = datetime(2026, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2)))
    assert encoded(
        "member.role_changed",
        actor={"type": "user", "id": 17, "name": "Ada", "email": None},
        on_behalf_of="user:3",
        resource="membership:4",
        targets=[{"type": "org", "id": ID}],
        tenant=42,
        outcome="denied",
        severity="high",
        occurred_at=moment,
        metadata={"b": 1},
        changes={"role": ("member", "admin")},
        context={"ip": "203.0.113.7"},
        idempotency_key="k",
    ) == {
        "action": "member.role_changed",
        "actor": {"type": "user", "id": "17", "name": "Ada"},
        "on_behalf_of": "user:3",
        "targets": ["membership:4", {"type": "org", "id": str(ID)}],
        "tenant": "42",
        "outcome": "denied",
        "severity": "high",
        "occurred_at": "2026-01-02T03:04:00.000000+02:00",
        "metadata": {"b": 1},
        "changes": [{"field": "role", "old": "member", "new": "admin"}],
        "context": {"ip": "203.0.113.7"},
        "idempotency_key": "k",
    }


def test_the_tenant_of_the_client_is_a_default() -> None:
    assert encoded(default_tenant="acme")["tenant"] == "acme"
    assert encoded(default_tenant="acme", tenant="globex")["tenant"] == "globex"
    assert encoded(default_tenant="acme", tenant=None)["tenant"] == "acme"


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00.000000+00:00"),
        (date(2026, 1, 2), "2026-01-02"),
        (timedelta(seconds=90), "90.0s"),
        (ID, str(ID)),
        (Decimal("1.10"), "1.10"),
        (Color.RED, "red"),
        (PurePosixPath("/srv"), "/srv"),
        ({3, 1}, [1, 3]),
        ((1, 2), [1, 2]),
        (MappingProxyType({"a": ID}), {"a": str(ID)}),
        ({1: "x"}, {"1": "x"}),
        ("\ud800 \u2028 \x00", "\ud800 \u2028 \x00"),
        (2**70, 2**70),
        (None, None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_have_a_json_form(value: object, wanted: object) -> None:
    assert encoded(metadata={"x": value})["metadata"] == {"x": wanted}


def circle() -> list[Any]:
    found: list[Any] = []
    found.append(found)
    return found


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"metadata": {"a": [1, {"b": object()}]}}, r"^metadata\.a\[1\]\.b: got object, wanted text, a number"),
        ({"metadata": {"a": b"x"}}, r"^metadata\.a: got bytes, wanted"),
        (
            {"metadata": {"a": datetime(2026, 1, 2)}},
            r"^metadata\.a: datetime: got datetime.datetime.*wanted an aware datetime",
        ),
        ({"metadata": {"a": float("nan")}}, r"^metadata\.a: got nan, wanted a value with a JSON form"),
        ({"metadata": {"a": {ID: 1}}}, r"^metadata\.a: got a key UUID.*wanted text"),
        ({"metadata": {"a": 10**5000}}, r"^metadata\.a: got <int>, wanted a value with a JSON form"),
        ({"metadata": {"a": circle()}}, r"more than 64 levels or a circle"),
        ({"metadata": [1]}, r"^metadata: got \[1\], wanted a dict"),
        ({"metadata": {"a": "x" * 2**20}}, r"got \d+ bytes, wanted at most 1048576"),
        ({"occurred_at": datetime(2026, 1, 2)}, r"^occurred_at: got .*, wanted an aware datetime"),
        ({"occurred_at": "2026-01-02"}, r"^occurred_at: got '2026-01-02', wanted an aware datetime"),
        ({"actor": 17}, r'^actor: got 17, wanted "type:id"'),
        ({"actor": {"id": 17}}, r"^actor: got the members \['id'\], wanted type and of email, id, name, type"),
        ({"resource": {"type": "x", "email": "y"}}, r"^resource: got the members"),
        ({"targets": "invoice:1"}, r"^targets: got 'invoice:1', wanted a list of targets"),
        ({"targets": ["x:1"] * 21}, r"^targets: got 21, wanted at most 20"),
        ({"outcome": "maybe"}, r"^outcome: got 'maybe', wanted one of success, failure, denied"),
        ({"severity": "loud"}, r"^severity: got 'loud', wanted one of info"),
        ({"outcome": ["x"]}, r"^outcome: got \['x'\], wanted one of"),
        ({"changes": {"role": "admin"}}, r"^changes\['role'\]: got 'admin', wanted a pair"),
        ({"changes": [{"name": "x"}]}, r"^changes: got .* wanted field, old and new"),
        ({"changes": {str(n): (1, 2) for n in range(101)}}, r"^changes: got 101, wanted at most 100"),
        ({"context": dict.fromkeys(map(str, range(21)))}, r"^context: got 21 facts, wanted at most 20"),
        ({"tenant": object()}, r"^tenant: got .* wanted the key of a tenant"),
        ({"tenant": True}, r"^tenant: got True"),
        ({"idempotency_key": ""}, r"^idempotency_key: got '', wanted text of 1 to 128"),
        ({"idempotency_key": "x" * 129}, r"^idempotency_key: "),
    ],
    ids=lambda value: "",
)
def test_what_cannot_be_sent_is_refused_in_the_caller(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEventError, match=message) as caught:
        encoded(**fields)
    assert isinstance(caught.value, ValueError)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("action", ["", None, 17, "x" * 201])
def test_an_action_is_text(action: Any) -> None:
    with pytest.raises(InvalidEventError, match="^action: got"):
        encoded(action)


def test_an_argument_that_there_is_not_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="event\\(\\) got ressource, wanted one of actor, resource"):
        encoded(ressource="x:1")


def test_what_is_changed_after_the_call_is_not_sent() -> None:
    metadata = {"a": 1}
    event = encode_event("a.b", {"metadata": metadata})
    metadata["a"] = 2
    assert json.loads(event.data)["metadata"] == {"a": 1}
