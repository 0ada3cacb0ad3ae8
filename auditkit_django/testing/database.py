"""A test's log: appended at once, and its guards lifted for who plays the attacker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS
from django.db.transaction import get_connection

from auditkit_django.log.append import append_all
from auditkit_django.sql import guards


def append_now(*, using: str = DEFAULT_DB_ALIAS) -> int:
    """
    Append what is pending, inside of a ``TestCase``'s transaction too; the number of entries written.

    In a ``TestCase`` nothing ever commits, so nothing is appended by itself; events are visible all the same.
    """
    return append_all(using=using, may_nest=True)


@contextmanager
def guards_lifted(*, using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """The append-only guards taken away, and put back where they stood."""
    connection = get_connection(using)
    stood = not guards.problems(connection)
    guards.remove(connection)
    try:
        yield
    finally:
        if stood:
            guards.install(connection)
