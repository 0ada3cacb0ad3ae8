"""
Events as a workbook, for who reads and filters. Imported by ``copies`` alone: it needs XlsxWriter.

Every cell is a text, whatever it holds, except for the two times: a date keeps milliseconds at best, so the texts of csv,
which are exact, stand beside them in the last columns. What Excel cannot hold is changed visibly, and counted in About:
texts beyond 32,767 UTF-16 units are cut, and control characters become their pictures.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from xlsxwriter import Workbook
from xlsxwriter.exceptions import XlsxFileError

from auditkit_django.evidence.tables import cells
from auditkit_django.ledger.evidence.rows import COLUMNS
from auditkit_django.query.pages import ListedEvent

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

#: Excel's limits: rows of a sheet, UTF-16 units of a cell; and the part of a title that fits into its 255 of a header.
_MAX_ROWS: Final = 1_048_576
_MAX_UNITS: Final = 32_767
_MAX_TITLE: Final = 60
#: Excel counts a 29 February 1900: what is before is not the same day everywhere.
_FIRST_DATE: Final = datetime(1900, 3, 1, tzinfo=UTC)

_TIMES: Final = ("occurred_at", "recorded_at")
_HEADER: Final = (*(f"{name} (UTC)" if name in _TIMES else name for name in COLUMNS), *_TIMES)
_WIDTHS: Final = {
    "seq": 9, "id": 15, "occurred_at (UTC)": 24, "recorded_at (UTC)": 24, "action": 30, "category": 15, "severity": 11,
    "outcome": 11, "actor_type": 13, "actor_id": 14, "actor_name": 24, "actor_email": 28, "on_behalf_of": 30,
    "target_type": 16, "target_id": 16, "target_name": 26, "targets": 44, "ip": 17, "request_id": 18, "changes": 50,
    "metadata": 44, "context": 44, "leaf_hash": 16, "occurred_at": 30, "recorded_at": 30,
}  # fmt: skip

_ABOUT_WIDTH: Final = 92
#: Of a row, in points.
_MAX_HEIGHT: Final = 409

# Illegal in XML, and the carriage return, which XML reads as a line feed. XlsxWriter would write them as Excel's own escapes,
# which other programs show as they stand.
_ILLEGAL: Final = re.compile("[\0-\x08\x0b-\x1f\ud800-\udfff\ufffe\uffff]")

_OPTIONS: Final = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    # Only where a sheet is beyond 2 GiB, which could not be written otherwise.
    "use_zip64": True,
}


def write(
    events: Iterable[ListedEvent], file: SupportsWrite[bytes], *, title: str, said: Mapping[str, str], warning: str
) -> int:
    """Write the workbook of ``events`` to ``file``; the number of them."""
    with TemporaryDirectory(prefix="auditkit-") as spool:
        book = Workbook(file, {**_OPTIONS, "tmpdir": spool})
        try:
            copy = _Copy(book, title=title, warning=warning)
            for event in events:
                copy.add(event)
            copy.finish(said)
            book.close()
        except XlsxFileError as exc:
            raise OSError(f"xlsx: the workbook was not written: {exc}") from exc
        finally:
            # Those of a workbook that was not closed; after that it is done already.
            for sheet in book.worksheets():
                sheet.row_data_fh.close()
        return copy.events


class _Copy:
    """The sheets of one workbook: Events, About, and further ones of events where a sheet is full."""

    def __init__(self, book: Any, *, title: str, warning: str) -> None:
        self.events = 0
        self._book, self._title, self._warning = book, title, warning
        self._text, self._date, self._header = (
            book.add_format({"align": "left", "indent": 1, "valign": "top"}),
            book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000", "align": "left", "indent": 1, "valign": "top"}),
            book.add_format(
                {"bold": True, "bg_color": "#E8ECF1", "bottom": 1, "align": "left", "indent": 1, "valign": "vcenter"}
            ),
        )
        self._cut = self._replaced = 0
        self._sheets: list[Any] = []
        self._row = 0
        self._add_sheet()
        # The second sheet, whatever follows; what stands in it is known at the end.
        self._about = book.add_worksheet("About")

    def add(self, event: ListedEvent) -> None:
        if self._row + 1 >= _MAX_ROWS:
            self._end_sheet()
            self._add_sheet()
        self._row += 1
        moments = {"occurred_at": event.occurred_at, "recorded_at": event.recorded_at}
        texts = cells(event)
        for column, (name, text) in enumerate(zip(COLUMNS, texts, strict=True)):
            if name in moments and moments[name] >= _FIRST_DATE:
                moment = moments[name].astimezone(UTC).replace(tzinfo=None)
                self._sheets[-1].write_datetime(self._row, column, moment, self._date)
            else:
                self._put(self._sheets[-1], self._row, column, text, self._text)
        for column, name in enumerate(_TIMES, len(COLUMNS)):
            self._put(self._sheets[-1], self._row, column, texts[COLUMNS.index(name)], self._text)
        self.events += 1

    def finish(self, said: Mapping[str, str]) -> None:
        """What is said about the copy, on its own sheet and in the properties of the document."""
        self._end_sheet()
        self._write_about(said)
        lines = [f"{self._warning}.", *(f"{label}: {value}" for label, value in said.items())]
        properties = {
            "title": self._title,
            "subject": self._warning,
            "status": "Not evidence",
            "comments": "\n".join(lines),
        }
        self._book.set_properties({name: _legal(value)[0] for name, value in properties.items()})

    def _add_sheet(self) -> None:
        number = f" {len(self._sheets) + 1}" if self._sheets else ""
        sheet = self._book.add_worksheet(f"Events{number} (not evidence)")
        self._sheets.append(sheet)
        self._row = 0
        # A height for every row: of a text with many lines the first is shown, and the table stays a table.
        sheet.set_default_row(15.75)
        sheet.set_row(0, 21)
        for column, name in enumerate(_HEADER):
            sheet.set_column(column, column, _WIDTHS[name])
            sheet.write_string(0, column, name, self._header)
        sheet.freeze_panes(1, 0)
        sheet.repeat_rows(0)
        sheet.ignore_errors({"number_stored_as_text": "A1:XFD1048576"})
        self._print_setup(sheet)
        sheet.repeat_columns(0)
        sheet.print_across()
        sheet.fit_to_pages(3, 0)

    def _end_sheet(self) -> None:
        self._sheets[-1].autofilter(0, 0, self._row, len(_HEADER) - 1)

    def _counted(self) -> dict[str, str]:
        return {
            "Events": f"{self.events:,}",
            "Sheets of events": f"{len(self._sheets)}",
            "Cells that were cut": f"{self._cut:,} (a cell holds {_MAX_UNITS:,} characters; the mark is at the end of the text)",
            "Cells with control characters": f"{self._replaced:,} (a workbook holds none: ␀ ␍ … stand for them)",
            "Times": "The columns that say (UTC) are dates in UTC, to the millisecond. occurred_at and recorded_at, at the end,"
            " are the exact texts.",
        }

    def _write_about(self, said: Mapping[str, str]) -> None:
        lines = [*said.items(), *self._counted().items()]
        look = self._book.add_format
        warning = look(
            {"bold": True, "font_size": 13, "bg_color": "#FFE9B8", "font_color": "#5C3A00", "valign": "vcenter"}
        )
        label, value = look({"bold": True, "valign": "top"}), look({"text_wrap": True, "valign": "top"})
        sheet = self._about
        sheet.set_column(0, 0, 28)
        sheet.set_column(1, 1, _ABOUT_WIDTH)
        sheet.hide_gridlines(2)
        sheet.set_row(0, 30)
        self._put(sheet, 0, 0, self._title, look({"bold": True, "font_size": 16, "valign": "vcenter"}))
        sheet.set_row(1, 27)
        self._put(sheet, 1, 0, self._warning, warning)
        sheet.write_blank(1, 1, None, warning)
        for row, (name, text) in enumerate(lines, 3):
            sheet.set_row(row, min(4 + 15 * _lines(text), _MAX_HEIGHT))
            self._put(sheet, row, 0, name, label)
            self._put(sheet, row, 1, text, value)
        self._print_setup(sheet)
        sheet.fit_to_pages(1, 0)

    def _print_setup(self, sheet: Any) -> None:
        # "&" begins a code there and "&&" is the sign, but XlsxWriter finds a picture, "&G", in "A&&G" as well.
        title = " ".join(_legal(self._title)[0][:_MAX_TITLE].replace("&", "&& ").split())
        sheet.set_header(f'&L{title}&R&"-,Bold"{self._warning}', {"scale_with_doc": False})
        sheet.set_footer(f"&L{self._warning}&RPage &P of &N", {"scale_with_doc": False})
        sheet.set_landscape()
        sheet.set_margins(left=0.4, right=0.4)

    def _put(self, sheet: Any, row: int, column: int, text: str, look: Any) -> None:
        if not text:
            return
        legal, is_replaced = _legal(text)
        shown, is_cut = _fitting(legal)
        self._replaced += is_replaced
        self._cut += is_cut
        if shown.startswith("<r>") and shown.endswith("</r>"):
            # XlsxWriter takes such a text for markup of its own and writes it as it stands; in parts it is text again.
            sheet.write_rich_string(row, column, "<", "r", shown[2:], look)
        else:
            sheet.write_string(row, column, shown, look)


def _legal(text: str) -> tuple[str, bool]:
    """``text`` as XML can hold it, and whether that is another one."""
    legal = _ILLEGAL.sub(lambda found: chr(0x2400 + ord(found[0])) if found[0] < " " else "\ufffd", text)
    return legal, legal != text


def _fitting(text: str) -> tuple[str, bool]:
    """``text`` as a cell can hold it, and whether it was cut."""
    if 2 * len(text) <= _MAX_UNITS:
        return text, False
    data = text.encode("utf-16-le")
    if len(data) <= 2 * _MAX_UNITS:
        return text, False
    mark = f" … [cut: {len(text):,} characters in all]"
    return data[: 2 * (_MAX_UNITS - len(mark))].decode("utf-16-le", "ignore") + mark, True


def _lines(text: str) -> int:
    """How many lines of About ``text`` takes, about: not every program finds that out when it opens a workbook."""
    return sum(1 + len(line) // (_ABOUT_WIDTH - 8) for line in text.split("\n"))
