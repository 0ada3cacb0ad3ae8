"""
Append-only guards: triggers that refuse UPDATE, DELETE and TRUNCATE, and the proof that they stand unaltered.

They are resistance against mistakes and stolen application credentials, not evidence against whoever owns the
database: that is what the log is for. On SQLite a ``BEFORE INSERT`` trigger also refuses ``INSERT OR REPLACE``, which
deletes the old row without firing delete triggers.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from auditkit_django.sql import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.db.backends.base.base import BaseDatabaseWrapper


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A table under guard. ``may_update``: its rows have mutable columns; ``keys``: each unique key besides the row id."""

    table: str
    keys: tuple[tuple[str, ...], ...]
    may_update: bool = False


Permit = Literal["erase", "prune"]

#: What each permit lets pass: the verb and the tables.
_PERMITS: dict[Permit, tuple[str, tuple[str, ...]]] = {
    "erase": ("update", ("auditkit_django_event",)),
    "prune": ("delete", ("auditkit_django_event", "auditkit_django_entry", "auditkit_django_checkpoint")),
}

GUARDED: tuple[Guarded, ...] = (
    Guarded(table="auditkit_django_event", keys=(("id",),)),
    Guarded(table="auditkit_django_entry", keys=(("tenant", "epoch", "seq"), ("tenant", "event_id"))),
    Guarded(table="auditkit_django_tile", keys=(("tenant", "epoch", "level", "number"),)),
    Guarded(table="auditkit_django_checkpoint", keys=(("tenant", "epoch", "size"),)),
    Guarded(table="auditkit_django_publication", keys=(("tenant", "epoch", "size", "publisher"),)),
    Guarded(table="auditkit_django_keygeneration", keys=(("tenant", "epoch", "generation"),)),
    Guarded(table="auditkit_django_log", keys=(("id",), ("tenant", "epoch")), may_update=True),
)


def install(connection: BaseDatabaseWrapper) -> None:
    """
    Put every guard in place, replacing what stands there. Other vendors than the two supported have none.

    Tables that a later migration makes are passed over; that migration installs again.
    """
    standing = _standing(connection)
    _run(connection, [sql for guarded in standing for sql in _remove_statements(connection, guarded)])
    _run(connection, _install_statements(connection, standing))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take every guard away (migrations backwards, and tests that play the attacker)."""
    _run(connection, [sql for guarded in _standing(connection) for sql in _remove_statements(connection, guarded)])


@contextmanager
def permitted(connection: BaseDatabaseWrapper, what: Permit) -> Iterator[None]:
    """
    Inside, in the transaction that is open, the guards let erasure or pruning pass, and nothing else.

    On PostgreSQL the triggers look for a setting of the transaction. SQLite's cannot: those in the way are dropped and put
    back, which a rollback undoes as well.
    """
    if connection.vendor == "postgresql":
        _run(connection, [f"SET LOCAL auditkit.permit = '{what}'"])
        yield
        _run(connection, ["SET LOCAL auditkit.permit = ''"])
        return
    verb, tables = _PERMITS[what]
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        standing = dict(cursor.fetchall())
    names = [name for table in tables if (name := f"{table}_no_{verb}") in standing]
    _run(connection, [f"DROP TRIGGER {name}" for name in names])
    yield
    _run(connection, [standing[name] for name in names])


def problems(connection: BaseDatabaseWrapper) -> list[str]:
    """What is missing or altered, one sentence each; empty when every guard stands as :func:`install` makes it."""
    if connection.vendor == "postgresql":
        return postgresql.guard_problems(connection, [(g.table, g.may_update) for g in GUARDED])
    if connection.vendor == "sqlite":
        return sqlite.guard_problems(connection, [(g.table, g.keys, g.may_update) for g in GUARDED])
    return [f"{connection.vendor} is not supported: wanted postgresql or sqlite"]


def _standing(connection: BaseDatabaseWrapper) -> list[Guarded]:
    tables = set(connection.introspection.table_names())
    return [guarded for guarded in GUARDED if guarded.table in tables]


def _install_statements(connection: BaseDatabaseWrapper, standing: Sequence[Guarded]) -> list[str]:
    if connection.vendor == "postgresql":
        return [
            postgresql.DENY_FUNCTION,
            *(sql for g in standing for sql in postgresql.guard_statements(g.table, g.may_update)),
        ]
    if connection.vendor == "sqlite":
        return [sql for g in standing for _name, sql in sqlite.guard_statements(g.table, g.keys, g.may_update)]
    return []


def _remove_statements(connection: BaseDatabaseWrapper, guarded: Guarded) -> list[str]:
    if connection.vendor == "postgresql":
        return postgresql.unguard_statements(guarded.table)
    if connection.vendor == "sqlite":
        return [
            f"DROP TRIGGER IF EXISTS {name}"
            for name, _sql in sqlite.guard_statements(guarded.table, guarded.keys, guarded.may_update)
        ]
    return []


def _run(connection: BaseDatabaseWrapper, statements: Sequence[str]) -> None:
    with connection.cursor() as cursor:
        for sql in statements:
            cursor.execute(sql)
