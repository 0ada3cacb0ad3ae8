"""Keeps the triggers of tracked models silent while the ORM tells of a change itself: one event for one change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db.models import Model
from django.db.transaction import get_connection

from auditkit_django.hooks.tracking.watching import has_triggers


@contextmanager
def told_here(using: str, *tracked: type[Model]) -> Iterator[None]:
    """Inside, in the open transaction of ``using``, the triggers of those models record nothing. Free where there are none."""
    connection = get_connection(using)
    if connection.vendor != "postgresql" or not any(has_triggers(model) for model in tracked):
        yield
        return
    before = getattr(connection, "_auditkit_told", "")
    now = connection._auditkit_told = ",".join(_table(one) for one in tracked)
    set_locally(using, "auditkit.told", now)
    try:
        yield
    finally:
        connection._auditkit_told = before
        # A transaction that a failed statement broke forgets the setting when it rolls back.
        if not connection.needs_rollback and connection.connection.info.transaction_status.name != "INERROR":
            set_locally(using, "auditkit.told", before)


def _table(model: type[Model]) -> str:
    """The name by which a trigger knows its table: without the schema that hosts write as ``schema"."table``."""
    return model._meta.db_table.rpartition('"."')[2].strip('"')


def set_locally(using: str, name: str, value: str) -> None:
    """Set ``name`` until the end of the transaction: nothing stays behind on a pooled connection."""
    with get_connection(using).cursor() as cursor:
        cursor.execute("SELECT set_config(%s, %s, true)", [name, value])
