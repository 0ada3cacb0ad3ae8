"""
Events as Parquet: typed columns, for who analyses. Imported by ``copies`` alone: it needs pyarrow.

Cells that are empty in csv are null. The metadata ``auditkit`` of the file is a JSON object: ``copy`` (what the file is not)
and ``said``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Final

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from auditkit_django.evidence.tables import cells
from auditkit_django.ledger.evidence.rows import COLUMNS
from auditkit_django.query.pages import ListedEvent

if TYPE_CHECKING:
    from _typeshed import SupportsWrite

#: A row group ends with the event that reaches one of them: events may be large, and a group is held in memory.
_GROUP_ROWS: Final = 10_000
_GROUP_CHARACTERS: Final = 8 * 1024 * 1024

_WORD: Final = pa.dictionary(pa.int32(), pa.string())
_TYPES: Final = {
    "seq": pa.int64(),
    "occurred_at": pa.timestamp("us", tz="UTC"),
    "recorded_at": pa.timestamp("us", tz="UTC"),
    **dict.fromkeys(("action", "category", "severity", "outcome", "actor_type", "target_type"), _WORD),
}
_NEVER_NULL: Final = ("id", "occurred_at", "recorded_at")

Row = list[object]


def write(events: Iterable[ListedEvent], file: SupportsWrite[bytes], *, said: Mapping[str, str], warning: str) -> int:
    """Write ``events`` to ``file``; the number of them."""
    about = json.dumps({"copy": warning, "said": dict(said)})
    schema = pa.schema(
        [pa.field(name, _TYPES.get(name, pa.string()), nullable=name not in _NEVER_NULL) for name in COLUMNS],
        metadata={"auditkit": about},
    )
    written = 0
    # Not ``with``: that would give a file whose events failed the end of a whole one.
    writer = ParquetWriter(file, schema, compression="zstd")
    for group in _groups(events):
        columns = zip(schema, zip(*group, strict=True), strict=True)
        arrays = [pa.array(column, type=field.type) for field, column in columns]
        writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        written += len(group)
    writer.close()
    return written


def _groups(events: Iterable[ListedEvent]) -> Iterator[list[Row]]:
    group: list[Row] = []
    characters = 0
    for event in events:
        texts = cells(event)
        group.append(_row(event, texts))
        characters += sum(map(len, texts))
        if len(group) >= _GROUP_ROWS or characters >= _GROUP_CHARACTERS:
            yield group
            group, characters = [], 0
    if group:
        yield group


def _row(event: ListedEvent, texts: list[str]) -> Row:
    typed: dict[str, object] = {"seq": event.seq, "occurred_at": event.occurred_at, "recorded_at": event.recorded_at}
    return [typed.get(name, text or None) for name, text in zip(COLUMNS, texts, strict=True)]
