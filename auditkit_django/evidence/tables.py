"""
Events as csv, json and jsonl without proof, streamed line by line: copies for reading.

CSV is RFC 4180 (CRLF, every field quoted, UTF-8), its cells safe for spreadsheets (``ledger.evidence.rows``). The members of json
are in the order of those of evidence.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from auditkit_django.ledger.disclosure import encode_value
from auditkit_django.ledger.entry import format_time
from auditkit_django.ledger.evidence.rows import COLUMNS, cells_line, party_cells
from auditkit_django.query.pages import ListedEvent


def csv_lines(events: Iterable[ListedEvent]) -> Iterator[str]:
    """The header, then one line per event."""
    yield cells_line(COLUMNS)
    for event in events:
        yield cells_line(cells(event))


def jsonl_lines(events: Iterable[ListedEvent]) -> Iterator[str]:
    """One JSON object per line and event, members as in :class:`ListedEvent`."""
    for event in events:
        yield _json_text(event) + "\n"


def json_lines(events: Iterable[ListedEvent]) -> Iterator[str]:
    """A list of those objects, one to a line."""
    yield "["
    before = "\n"
    for event in events:
        yield before + _json_text(event)
        before = ",\n"
    yield "\n]\n"


def cells(event: ListedEvent) -> list[str]:
    """The texts of ``event`` in the order of ``COLUMNS``, empty where there is none, as they are: not neutralised."""
    return [
        "" if event.seq is None else str(event.seq),
        str(event.id),
        format_time(event.occurred_at),
        format_time(event.recorded_at),
        event.action,
        event.category,
        event.severity,
        event.outcome,
        *party_cells(event.actor, ("type", "id", "name", "email")),
        _json_cell(event.on_behalf_of),
        *party_cells(event.targets[0] if event.targets else None, ("type", "id", "name")),
        _json_cell(event.targets),
        *party_cells(event.context, ("ip", "request_id")),
        _json_cell(event.changes),
        _json_cell(event.metadata),
        _json_cell(event.context),
        event.leaf_hash.hex() if event.leaf_hash is not None else "",
    ]


def _json_cell(value: object) -> str:
    return encode_value(value) if value else ""


def _json_text(event: ListedEvent) -> str:
    # encode_value sorts: one member after the other keeps the order in which people read.
    return "{" + ",".join(f'"{name}":{encode_value(value)}' for name, value in _json(event).items()) + "}"


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
        "changes": event.changes,
        "metadata": event.metadata,
        "context": event.context,
        "leaf_hash": event.leaf_hash.hex() if event.leaf_hash is not None else None,
        "entry": json.loads(event.entry) if event.entry is not None else None,
    }
