"""SQLite: the guards. Whoever can write the database file can also remove them: they stop mistakes, not owners."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.backends.base.base import BaseDatabaseWrapper

Keys = tuple[tuple[str, ...], ...]


def guard_statements(table: str, keys: Keys, may_update: bool) -> list[tuple[str, str]]:
    """Name and CREATE statement of each trigger of one table."""
    verbs = ["DELETE"] if may_update else ["UPDATE", "DELETE"]
    statements = [(f"{table}_no_{verb.lower()}", _refusal(table, verb, f"BEFORE {verb} ON {table}")) for verb in verbs]
    taken = " OR ".join(
        f"EXISTS (SELECT 1 FROM {table} WHERE {' AND '.join(f'{column} = NEW.{column}' for column in key)})"
        # The row id is a key of its own: REPLACE INTO t(rowid, …) would delete the row that holds it.
        for key in (*keys, ("rowid",))
    )
    statements.append((f"{table}_no_replace", _refusal(table, "REPLACE", f"BEFORE INSERT ON {table} WHEN {taken}")))
    return statements


def _refusal(table: str, verb: str, event: str) -> str:
    return (
        f"CREATE TRIGGER {table}_no_{verb.lower()} {event} "
        f"BEGIN SELECT RAISE(ABORT, 'auditkit: {table} is append-only ({verb} refused)'); END"
    )


def guard_problems(connection: BaseDatabaseWrapper, tables: Iterable[tuple[str, Keys, bool]]) -> list[str]:
    """What differs from the triggers that we install, compared with the text that SQLite stored."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
        standing = dict(cursor.fetchall())
    found: list[str] = []
    for table, keys, may_update in tables:
        for name, sql in guard_statements(table, keys, may_update):
            if name not in standing:
                found.append(f"trigger {name} on {table} is missing")
            elif standing[name] != sql:
                found.append(f"trigger {name} on {table} is not the one installed")
    return found
