"""
psycopg's own cursor on Django's connection, for the two hot paths on PostgreSQL.

It binds on the server, where Django's quotes every value on the client, and returns binary results: timestamps, UUIDs
and byte strings arrive ready. Whoever watches statements through Django (``execute_wrapper``, ``CaptureQueriesContext``,
the debug toolbar) must see ours too: then it is Django's cursor.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


@contextmanager
def server_cursor(connection: BaseDatabaseWrapper) -> Iterator[Any]:
    """A cursor that binds on the server; errors are Django's."""
    if connection.queries_logged or connection.execute_wrappers:
        with connection.cursor() as cursor:
            yield cursor
        return
    from psycopg import Cursor

    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors, Cursor(connection.connection) as cursor:
        yield cursor


def fetch_all(
    connection: BaseDatabaseWrapper, sql: str, params: Sequence[object] | Mapping[str, object]
) -> Sequence[Any]:
    """All rows of a SELECT, in binary form."""
    from psycopg import Cursor

    connection.ensure_connection()
    with connection.wrap_database_errors, Cursor(connection.connection) as cursor:
        rows: Sequence[Any] = cursor.execute(sql, params, binary=True).fetchall()
        return rows


def fetch_value(connection: BaseDatabaseWrapper, sql: str, params: Sequence[object]) -> object:
    """
    The first column of the only row, for the statement that every event is: as :func:`server_cursor`, without its
    context managers, which cost as much as what they wrap.
    """
    if connection.queries_logged or connection.execute_wrappers:
        with connection.cursor() as watched:
            watched.execute(sql, params)  # type: ignore[arg-type]
            return watched.fetchone()[0]
    from psycopg import Cursor

    connection.ensure_connection()
    connection.validate_no_broken_transaction()
    with connection.wrap_database_errors:
        row = Cursor(connection.connection).execute(sql, params).fetchone()
    return row[0] if row is not None else None
