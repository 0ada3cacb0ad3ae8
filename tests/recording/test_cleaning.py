"""No value can break the caller's transaction: repaired, cut or refused, before any SQL (S1)."""

from __future__ import annotations

import enum
import json
import math
import tracemalloc
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils.translation import gettext_lazy

from auditkit_django import auditlog
from auditkit_django.exceptions import MalformedError
from auditkit_django.models import Event
from auditkit_django.testing import append_now
from tests.host.models import Invoice, Organization
from tests.recording import recorded

pytestmark = pytest.mark.django_db


def _deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


def _deep_list(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels):
        value = [value]
    return value


def _itself() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def _laughs() -> list[Any]:
    """256 to the power of 15 items by way of shared lists."""
    value: list[Any] = [0] * 256
    for _ in range(14):
        value = [value] * 256
    return value


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("a\0b", "a\ufffdb", id="NUL"),
        pytest.param("a\ud800b", "a\ufffdb", id="lone high surrogate"),
        pytest.param("\udfff", "\ufffd", id="lone low surrogate"),
        pytest.param("\U0001f600", "\U0001f600", id="emoji"),
        pytest.param("\u202eevil\u2066\u200b", "\u202eevil\u2066\u200b", id="bidi and zero width"),
        pytest.param("e\u0301", "e\u0301", id="not normalised"),
        pytest.param(math.nan, "nan", id="NaN"),
        pytest.param(math.inf, "inf", id="infinity"),
        pytest.param(-math.inf, "-inf", id="minus infinity"),
        pytest.param(1.5, 1.5, id="float"),
        pytest.param(2**53 - 1, 2**53 - 1, id="largest exact integer"),
        pytest.param(2**53, str(2**53), id="integer beyond 2 to the 53"),
        pytest.param(-(2**53), str(-(2**53)), id="negative integer beyond"),
        pytest.param(True, True, id="boolean"),
        pytest.param(None, None, id="none"),
        pytest.param(Decimal("10.50"), "10.50", id="decimal"),
        pytest.param(Decimal("NaN"), "NaN", id="decimal NaN"),
        pytest.param(UUID(int=7), str(UUID(int=7)), id="UUID"),
        pytest.param(datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00", id="datetime"),
        pytest.param(date(2026, 1, 2), "2026-01-02", id="date"),
        pytest.param(timedelta(minutes=1), "60.0s", id="timedelta"),
        pytest.param(Colour.RED, "red", id="enum"),
        pytest.param(gettext_lazy("lazy"), "lazy", id="lazy text"),
        pytest.param((1, 2), [1, 2], id="tuple"),
        pytest.param({3, 1}, [1, 3], id="set"),
    ],
)
def test_a_value_is_recorded_as_json(given: object, kept: object) -> None:
    assert recorded(metadata={"value": given}).metadata["value"] == kept


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(_deep(10_000), id="10,000 levels of dicts"),
        pytest.param({"a": _deep_list(10_000)}, id="10,000 levels of lists"),
        pytest.param(_itself(), id="holds itself"),
        pytest.param({"a": _laughs()}, id="256 to the 15 items"),
        pytest.param({"a": 10**5000 - 1}, id="an integer of 5,000 digits"),
        pytest.param({10**5000: 1}, id="a key of 5,000 digits"),
        pytest.param({"a": "x" * 10_000_000}, id="10 MB of text"),
        pytest.param({"x" * 10_000_000: 1}, id="10 MB of key"),
        pytest.param({str(number): number for number in range(10_000)}, id="10,000 keys"),
        pytest.param({"a": list(range(10_000))}, id="10,000 items"),
        pytest.param({str(number): "é" * 8000 for number in range(200)}, id="200 long texts"),
    ],
)
@pytest.mark.parametrize("policy", ["truncate", "reject"])
def test_what_is_too_large_is_cut_with_a_mark_or_refused_before_any_sql(
    settings: Any, policy: str, value: dict[Any, Any]
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "OVERSIZE": policy}
    if policy == "truncate":
        event = recorded(metadata=value)
        assert event.metadata["_auditkit"]["truncated"]
        assert len(json.dumps(event.metadata, ensure_ascii=False).encode()) < 17 * 1024
        return
    with CaptureQueriesContext(connection) as queries, pytest.raises(MalformedError, match=r"got .* wanted"):
        auditlog.event("data.record.updated", tenant="system", metadata=value)
    assert len(queries) == 0


@pytest.mark.parametrize(
    "value",
    [
        pytest.param({"a": "x" * 10_000_000}, id="one text"),
        pytest.param({"a": "\ud800" * 10_000_000}, id="nothing but surrogates"),
        pytest.param({str(number): "x" * 40_000 for number in range(250)}, id="250 texts"),
        pytest.param({"a": [[0] * 256] * 256}, id="lists of lists"),
        pytest.param({"a": ["x" * 40_000 for _ in range(250)]}, id="a list of texts"),
    ],
)
def test_ten_megabytes_cost_little_memory(value: dict[str, Any]) -> None:
    recorded(metadata={"first": "use, so that nothing but the value is measured"})
    tracemalloc.start()
    try:
        recorded(metadata=value)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 30 * 1024 * 1024


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda: {"metadata": {"a": object()}}, id="a value of an unknown type"),
        pytest.param(lambda: {"metadata": {"a": b"bytes"}}, id="bytes"),
        pytest.param(lambda: {"metadata": {("a", 1): 1}}, id="a tuple as key"),
        pytest.param(lambda: {"metadata": {None: 1}}, id="None as key"),
        pytest.param(lambda: {"metadata": {True: 1}}, id="a boolean as key"),
        pytest.param(lambda: {"metadata": [1]}, id="a list for metadata"),
        pytest.param(lambda: {"metadata": "text"}, id="text for metadata"),
        pytest.param(lambda: {"changes": {"a": 1}}, id="a change that is no pair"),
        pytest.param(lambda: {"changes": {"a": (1, 2, 3)}}, id="a change of three"),
        pytest.param(lambda: {"changes": [1]}, id="changes that are none"),
        pytest.param(lambda: {"changes": {str(number): (1, 2) for number in range(101)}}, id="101 changes"),
        pytest.param(lambda: {"targets": ["a:1"] * 21}, id="21 targets"),
        pytest.param(lambda: {"outcome": "maybe"}, id="an unknown outcome"),
        pytest.param(lambda: {"severity": "fatal"}, id="an unknown severity"),
        pytest.param(lambda: {"actor": object()}, id="an actor of an unknown type"),
        pytest.param(lambda: {"actor": "a\0b"}, id="NUL in an actor id"),
        pytest.param(lambda: {"actor": "x" * 129}, id="a long actor id"),
        pytest.param(lambda: {"actor": "\ud800:1"}, id="a surrogate in an actor type"),
        pytest.param(lambda: {"actor": Invoice(title="new")}, id="an unsaved actor"),
        pytest.param(lambda: {"resource": Invoice(title="new")}, id="an unsaved target"),
        pytest.param(lambda: {"resource": 17}, id="a number as target"),
        pytest.param(lambda: {"resource": "invoice:\ud800"}, id="a surrogate in a target id"),
        pytest.param(lambda: {"tenant": "a\0b"}, id="NUL in a tenant"),
        pytest.param(lambda: {"tenant": " a"}, id="a tenant that begins with a space"),
        pytest.param(lambda: {"tenant": ""}, id="an empty tenant"),
        pytest.param(lambda: {"tenant": "x" * 129}, id="a long tenant"),
        pytest.param(lambda: {"tenant": 1.5}, id="a float as tenant"),
        pytest.param(lambda: {"tenant": True}, id="a boolean as tenant"),
        pytest.param(lambda: {"tenant": Organization(slug="new")}, id="an unsaved tenant"),
        pytest.param(lambda: {"tenant": None}, id="no tenant"),
        pytest.param(lambda: {"idempotency_key": ""}, id="an empty idempotency key"),
        pytest.param(lambda: {"idempotency_key": "x" * 129}, id="a long idempotency key"),
        pytest.param(lambda: {"occurred_at": datetime(2026, 1, 1)}, id="a naive time"),
        pytest.param(lambda: {"occurred_at": "2026-01-01"}, id="text for a time"),
        pytest.param(lambda: {"occurred_at": datetime(9999, 1, 1, tzinfo=UTC)}, id="a time far ahead"),
        pytest.param(lambda: {"action": "nothing.known"}, id="an unknown action"),
        pytest.param(lambda: {"action": "Not An Action"}, id="a malformed action"),
        pytest.param(lambda: {"action": ["member.invited"]}, id="a list for an action"),
        pytest.param(lambda: {"action": None}, id="None for an action"),
    ],
)
def test_bad_input_is_refused_before_any_sql_and_the_transaction_goes_on(
    acme: Organization, make: Callable[[], dict[str, Any]]
) -> None:
    fields = {"action": "data.record.updated", "tenant": "system", **make()}
    with transaction.atomic():
        with CaptureQueriesContext(connection) as queries, pytest.raises(MalformedError, match=r"got .* wanted"):
            auditlog.event(**fields)
        assert len(queries) == 0
        Invoice.objects.create(organization=acme, title="goes on")
    assert Invoice.objects.count() == 1
    assert not Event.objects.exists()


def test_too_large_fields_beside_the_metadata_are_cut_too() -> None:
    event = recorded(
        changes={f"field {number}": ("é" * 1000, "é" * 1000) for number in range(100)},
        metadata={str(number): "é" * 500 for number in range(20)},
        targets=[auditlog.Target("invoice", str(number), "é" * 200) for number in range(20)],
    )
    assert len(Event.objects.get(id=event.id).disclosures or "") < 33 * 1024
    assert event.metadata["_auditkit"]["truncated"]
    assert {"field": "field 0", "truncated": True} in event.changes


def test_long_names_are_cut_and_ids_are_kept() -> None:
    event = recorded(
        actor=auditlog.Actor("user", "7", "n" * 300, "e" * 300), resource=auditlog.Target("a", "1", "t" * 300)
    )
    assert event.actor == {"type": "user", "id": "7", "name": "n" * 200, "email": "e" * 200}
    assert event.targets == [{"type": "a", "id": "1", "name": "t" * 200}]


def test_a_repair_is_noted_with_its_path() -> None:
    event = recorded(metadata={"a": {"b": "x\0"}}, resource=auditlog.Target("a", "1", "n\0"))
    assert event.metadata["_auditkit"]["repaired"] == ["metadata.a.b", "targets.name"]


def test_whatever_was_cleaned_can_be_appended() -> None:
    for value in (_deep(100), {"a": "\ud800\0" * 10_000}, {"a": math.nan}, {"\ud800": 1}, {"a": "\u202e"}):
        recorded(metadata=value)
    append_now()
    assert auditlog.verify("system").verdict == "VALID"


def test_limits_are_settable_downward(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "MAX_METADATA_BYTES": 1024}
    event = recorded(metadata={"short": 1, "long": "x" * 2000})
    assert event.metadata == {"short": 1, "long": "[truncated]", "_auditkit": {"truncated": ["metadata.long"]}}
