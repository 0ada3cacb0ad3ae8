"""
Events as csv and jsonl, streamed line by line.

CSV is RFC 4180 (CRLF, every field quoted, UTF-8). Spreadsheets run cells that begin with a formula sign, also after
spaces; such cells get an apostrophe in front (S8). Where the separator is another one, as in many countries, a cell
also begins after a semicolon, a tab or a line break within ours: a sign there, also after spaces and quotes, gets an
apostrophe in front too. Where there is one already it gets a second, so that the rule can be undone: drop one
apostrophe at the beginning and one after each semicolon, tab, CR and LF.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from typing import IO, Literal

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.disclosure import encode_value
from auditkit_django.ledger.entry import format_time
from auditkit_django.query.filters import EventFilter
from auditkit_django.query.pages import ListedEvent, each_event
from auditkit_django.recording.record import record

Format = Literal["csv", "jsonl"]

COLUMNS = (
    "seq", "id", "occurred_at", "recorded_at", "action", "category", "severity", "outcome", "actor_type", "actor_id",
    "actor_name", "actor_email", "on_behalf_of", "target_type", "target_id", "target_name", "targets", "ip",
    "request_id", "changes", "metadata", "context", "leaf_hash",
)  # fmt: skip

_FORMULA_SIGNS = tuple("=+-@\t\r\n\0'＝＋－＠")  # noqa: RUF001  (full-width forms are formula signs to spreadsheets)
_BREAK_BEFORE_SIGN = re.compile("[;\t\r\n](?=[ \"\0]*[=+@'＝＋－＠-])")  # noqa: RUF001
_GUARDED_BREAK = re.compile("([;\t\r\n])'")


def export(tenant: str, chosen: EventFilter, *, format: Format, file: IO[str] | None = None) -> Iterator[str] | int:
    """
    The matching events, oldest first, as lines; with ``file`` written there, and the number of events instead.

    The export records itself as ``audit.log.exported`` before the first line.

    Raises:
        MalformedError: A format other than csv or jsonl.
    """
    writers: dict[str, Callable[[str, EventFilter], Iterator[str]]] = {"csv": csv_lines, "jsonl": json_lines}
    if format not in writers:
        raise MalformedError(f"format: got {format!r:.20}, wanted {' or '.join(writers)}")
    record(action="audit.log.exported", tenant=tenant, metadata={"format": format, "filter": chosen.described()})
    lines = writers[format](tenant, chosen)
    if file is None:
        return lines
    written = -1 if format == "csv" else 0
    for line in lines:
        file.write(line)
        written += 1
    return written


def csv_lines(tenant: str, chosen: EventFilter) -> Iterator[str]:
    """The header, then one line per event."""
    writer = csv.writer(_Echo(), quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    yield writer.writerow(COLUMNS)
    for event in each_event(tenant, chosen):
        yield writer.writerow([neutralised(cell) for cell in _cells(event)])


def json_lines(tenant: str, chosen: EventFilter) -> Iterator[str]:
    """One JSON object per line and event, members as in :class:`ListedEvent`."""
    for event in each_event(tenant, chosen):
        yield encode_value(_json(event)) + "\n"


def neutralised(cell: str) -> str:
    """``cell`` as text that no spreadsheet runs; :func:`restored` undoes it."""
    if _BREAK_BEFORE_SIGN.search(cell):
        cell = _BREAK_BEFORE_SIGN.sub(r"\g<0>'", cell)
    return f"'{cell}" if cell.lstrip(" ").startswith(_FORMULA_SIGNS) else cell


def restored(cell: str) -> str:
    """The cell that :func:`neutralised` was given."""
    return _GUARDED_BREAK.sub(r"\1", cell.removeprefix("'"))


def _cells(event: ListedEvent) -> list[str]:
    actor, target = event.actor or {}, event.targets[0] if event.targets else {}
    return [
        "" if event.seq is None else str(event.seq),
        str(event.id),
        format_time(event.occurred_at),
        format_time(event.recorded_at),
        event.action,
        event.category,
        event.severity,
        event.outcome,
        str(actor.get("type", "")),
        str(actor.get("id", "")),
        str(actor.get("name", "")),
        str(actor.get("email", "")),
        _json_cell(event.on_behalf_of),
        str(target.get("type", "")),
        str(target.get("id", "")),
        str(target.get("name", "")),
        _json_cell(event.targets),
        str(event.context.get("ip", "")),
        str(event.context.get("request_id", "")),
        _json_cell(event.changes),
        _json_cell(event.metadata),
        _json_cell(event.context),
        event.leaf_hash.hex() if event.leaf_hash is not None else "",
    ]


def _json_cell(value: object) -> str:
    return encode_value(value) if value else ""


def _json(event: ListedEvent) -> dict[str, object]:
    return {
        "seq": event.seq,
        "id": str(event.id),
        "occurred_at": format_time(event.occurred_at),
        "recorded_at": format_time(event.recorded_at),
        "action": event.action,
        "category": event.category,
        "severity": event.severity,
        "outcome": event.outcome,
        "actor": event.actor,
        "on_behalf_of": event.on_behalf_of,
        "targets": event.targets,
        "context": event.context,
        "changes": event.changes,
        "metadata": event.metadata,
        "entry": json.loads(event.entry) if event.entry is not None else None,
        "leaf_hash": event.leaf_hash.hex() if event.leaf_hash is not None else None,
    }


class _Echo:
    """A file for ``csv.writer`` that gives back what is written."""

    def write(self, value: str) -> str:
        return value
