"""What somebody with the database's password does: raw SQL on single rows, with the guards lifted."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection, models, transaction

from auditkit_django.ledger.disclosure import digest_of_json, split
from auditkit_django.ledger.entry import VERSION, format_time
from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE, LOG_TABLE, PENDING_TABLE
from auditkit_django.models import Checkpoint, Entry, Event, KeyGeneration, Log, Pending, Publication, Tile

TABLES: Mapping[type[models.Model], str] = {
    Event: EVENT_TABLE,
    Entry: ENTRY_TABLE,
    Log: LOG_TABLE,
    Pending: PENDING_TABLE,
    Tile: Tile._meta.db_table,
    Checkpoint: Checkpoint._meta.db_table,
    Publication: Publication._meta.db_table,
    KeyGeneration: KeyGeneration._meta.db_table,
}


class Raw:
    """A value that goes to the database as it is, not through the model's field."""

    def __init__(self, value: object) -> None:
        self.value = value


def execute(sql: str, params: list[object] | None = None) -> int:
    """Run one statement; the number of rows it touched."""
    with connection.cursor() as cursor:
        cursor.execute(sql, params or [])
        return int(cursor.rowcount)


def prepared(model: type[models.Model], column: str, value: object) -> object:
    """``value`` in the form in which ``column`` is stored."""
    if isinstance(value, Raw):
        return value.value
    return model._meta.get_field(column).get_db_prep_save(value, connection)  # type: ignore[union-attr]


def update(model: type[models.Model], where: Mapping[str, object], **values: object) -> None:
    """Change columns of the one row that ``where`` names."""
    sets = ", ".join(f"{column} = %s" for column in values)
    found, params = _where(model, where)
    new = [prepared(model, column, value) for column, value in values.items()]
    touched = execute(f"UPDATE {TABLES[model]} SET {sets} WHERE {found}", [*new, *params])
    assert touched == 1, f"the attack touched {touched} rows, wanted 1"


def delete(model: type[models.Model], where: Mapping[str, object]) -> int:
    """Delete the rows that ``where`` names; how many."""
    found, params = _where(model, where)
    return execute(f"DELETE FROM {TABLES[model]} WHERE {found}", params)


def insert(model: type[models.Model], **values: object) -> None:
    """Insert one row."""
    columns, places = ", ".join(values), ", ".join(["%s"] * len(values))
    new = [prepared(model, column, value) for column, value in values.items()]
    execute(f"INSERT INTO {TABLES[model]} ({columns}) VALUES ({places})", new)


def copy_of(row: models.Model, **changed: object) -> dict[str, Any]:
    """The columns of ``row`` with some of them changed."""
    columns = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields if field.column}
    return {**columns, **changed}


def entry_at(tenant: str, seq: int) -> Entry:
    """The entry at ``seq``."""
    return Entry.objects.get(tenant=tenant, epoch=0, seq=seq)


def event_at(tenant: str, seq: int) -> Event:
    """The event whose entry is at ``seq``."""
    return Event.objects.get(tenant=tenant, id=entry_at(tenant, seq).event_id)


def forged_event(tenant: str, like: int) -> Event:
    """A well-formed copy, not stored, of the event at seq ``like`` with an id of its own."""
    event = event_at(tenant, like)
    event.id = uuid.uuid4()
    return event


def forged_body(event: Event, *, origin: str, seq: int, prev: bytes, time: datetime) -> bytes:
    """A well-formed entry of ``event`` for that place, made without the appender."""
    members = {
        "action": event.action,
        "at": format_time(event.occurred_at),
        "category": event.category,
        "id": str(event.id),
        "log": origin,
        "outcome": event.outcome,
        "prev": base64.b64encode(prev).decode(),
        "rec": format_time(event.recorded_at),
        "sd": {name: digest_of_json(text) for name, text in split(event.disclosures or "{}").items()},
        "seq": seq,
        "severity": event.severity,
        "time": format_time(time),
        "v": VERSION,
    }
    return json.dumps(members, sort_keys=True, separators=(",", ":")).encode()


@contextmanager
def replacing() -> Iterator[None]:
    """A savepoint: a refused statement leaves the test's transaction usable."""
    with transaction.atomic():
        yield


def _where(model: type[models.Model], where: Mapping[str, object]) -> tuple[str, list[object]]:
    found = " AND ".join(f"{column} = %s" for column in where)
    return found, [prepared(model, column, value) for column, value in where.items()]
