"""How long a reading may take: what a caller asks for must not hold a database for as long as it likes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, OperationalError, connections, transaction

from auditkit_django.exceptions import QueryTimeoutError

_CANCELLED = "57014"


@contextmanager
def statement_timeout(seconds: float, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """
    Inside, in a transaction, each statement on PostgreSQL is cancelled after ``seconds``. SQLite has no such limit.

    Raises:
        ValueError: ``seconds`` is less than a millisecond: PostgreSQL would take it for no limit.
        QueryTimeoutError: A statement was cancelled.
    """
    milliseconds = int(seconds * 1000)
    if milliseconds < 1:
        raise ValueError(f"seconds: got {seconds}, wanted at least 0.001")
    connection = connections[using]
    if connection.vendor != "postgresql":
        yield
        return
    try:
        with transaction.atomic(using=using), connection.cursor() as cursor:
            # The setting lasts as long as the outermost transaction, which may be the caller's.
            cursor.execute("SELECT current_setting('statement_timeout')")
            [before] = cursor.fetchone()
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [f"{milliseconds}ms"])
            yield
            cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
    except OperationalError as exc:
        if getattr(exc.__cause__, "sqlstate", None) != _CANCELLED:
            raise
        raise QueryTimeoutError(
            f"query: got no answer within {seconds:g} s, wanted one: narrow it down, in time first"
        ) from exc
