"""A series makes the very rows that ``auditlog.event`` makes, whatever is in them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit_django import auditlog
from auditkit_django.drafts import Change, EventDraft, Target
from auditkit_django.exceptions import MalformedError, MissingTenantError
from auditkit_django.log.rows import EventRow
from auditkit_django.recording.encoding import encode_row
from auditkit_django.recording.record import build_draft
from auditkit_django.recording.series import Series

ACTION = "data.record.updated"
PAN = "4111 1111 1111 1111"
_TEXTS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        [PAN, "Bearer abcdefghijklmnop0123", "\0", "\ud800", "x" * 2000, "é" * 1500, "AKIA0123456789ABCDEF"]
    ),
)
_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.decimals(), st.dates(), st.uuids(), _TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXTS, inner, max_size=3)),
    max_leaves=5,
)
_NAMES = st.one_of(st.sampled_from(["title", "password", "api_key", "token_id", "x" * 200]), _TEXTS)
_CHANGES = st.lists(st.builds(Change, _NAMES, _VALUES, _VALUES, st.booleans()), max_size=4)
_TARGETS = st.builds(Target, st.just("invoice"), st.integers().map(str), st.one_of(st.none(), _TEXTS))


def _content(row: EventRow) -> tuple[Any, ...]:
    assert row.disclosures is not None
    fields = {name: (disclosed[1], json.dumps(disclosed[2])) for name, disclosed in json.loads(row.disclosures).items()}
    return (*row[1:2], row.occurred_at == row.recorded_at, *row[4:12], list(fields.items()))


def _event(target: Target, changes: list[Change], **shared: Any) -> EventRow:
    return encode_row(build_draft(resource=target, changes=changes, **shared))


@given(
    each=st.lists(st.tuples(_TARGETS, _CHANGES), max_size=4),
    metadata=st.one_of(
        st.none(), st.just({"operation": "QuerySet.update"}), st.dictionaries(_TEXTS, _VALUES, max_size=2)
    ),
    name=st.one_of(st.none(), _TEXTS),
)
def test_rows_are_those_of_single_events(
    each: list[tuple[Target, list[Change]]], metadata: dict[str, Any] | None, name: str | None
) -> None:
    with auditlog.context(actor=auditlog.Actor("user", "17", name), ip="203.0.113.7"):
        series = Series(ACTION, tenant="acme", metadata=metadata)
        for target, changes in each:
            row = series.row(target, changes)
            single = _event(target, changes, action=ACTION, tenant="acme", metadata=metadata)
            assert _content(row) == _content(single)


def test_ids_and_salts_are_fresh() -> None:
    series = Series(ACTION, tenant="acme", metadata={"operation": "QuerySet.update"})
    rows = [series.row(Target("invoice", "1"), [Change("title", "a", "b")]) for _ in range(50)]
    assert len({row.id for row in rows}) == 50
    salts = [salt for row in rows for salt, *_rest in json.loads(row.disclosures or "").values()]
    assert len(set(salts)) == len(salts) == 50 * 4
    assert {len(salt) for salt in salts} == {22}


@pytest.mark.parametrize("limit", [1024, 2048, 32 * 1024])
def test_the_limit_of_an_event_holds(settings: Any, limit: int) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "MAX_EVENT_BYTES": limit}
    series = Series(ACTION, tenant="acme")
    for length in (10, 200, 300, 500, 1000):
        changes = [Change(f"field_{number}", "€" * length, "ß" * length) for number in range(20)]
        row = series.row(Target("invoice", "1"), changes)
        assert _content(row) == _content(_event(Target("invoice", "1"), changes, action=ACTION, tenant="acme"))
        assert sum(
            len(json.dumps(one[2], ensure_ascii=False).encode()) for one in json.loads(row.disclosures or "").values()
        )


def test_processors_see_each_event(settings: Any) -> None:
    seen: list[EventDraft] = []

    def process(draft: EventDraft) -> EventDraft:
        seen.append(draft)
        return replace(draft, metadata={"region": f"eu-{len(seen)}"})

    settings.AUDITKIT = {**settings.AUDITKIT, "PROCESSORS": [process]}
    series = Series(ACTION, tenant="acme")
    rows = [series.row(Target("invoice", str(number)), [Change("title", number, 1)]) for number in range(3)]
    assert [json.loads(row.disclosures or "")["metadata"][2]["region"] for row in rows] == ["eu-1", "eu-2", "eu-3"]
    assert [[target.id for target in draft.targets] for draft in seen] == [["0"], ["1"], ["2"]]


def test_one_refused_row_leaves_the_series_usable(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "OVERSIZE": "reject"}
    series = Series(ACTION, tenant="acme")
    with pytest.raises(MalformedError, match="changes.title.new: got 2000 characters, wanted at most 1024"):
        series.row(Target("invoice", "1"), [Change("title", "", "x" * 2000)])
    with pytest.raises(MalformedError, match="changes.title.new: got object"):
        series.row(Target("invoice", "1"), [Change("title", "", object())])
    changes = [Change("title", "a", "b")]
    row = series.row(Target("invoice", "1"), changes)
    assert _content(row) == _content(_event(Target("invoice", "1"), changes, action=ACTION, tenant="acme"))


def test_what_is_shared_is_checked_at_once() -> None:
    with pytest.raises(MissingTenantError):
        Series(ACTION)
    with pytest.raises(MalformedError, match="action"):
        Series("Not an action", tenant="acme")
