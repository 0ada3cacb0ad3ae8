"""Which tenants there are, for commands that are told ``--all``."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import DEFAULT_DB_ALIAS
from django.db.transaction import get_connection

from auditkit_django.log.rows import ENTRY_TABLE, EVENT_TABLE, LOG_TABLE, PENDING_TABLE

_TABLES = (LOG_TABLE, ENTRY_TABLE, EVENT_TABLE, PENDING_TABLE)
# The database compares, not Python: where its collation orders keys otherwise, tenants in between would be left out.
_NEXTS = " UNION ALL ".join(f"SELECT min(tenant) AS tenant FROM {table} WHERE tenant > %s" for table in _TABLES)
_NEXT = f"SELECT min(tenant) FROM ({_NEXTS}) AS nexts"


def known_tenants(*, using: str = DEFAULT_DB_ALIAS) -> Iterator[str]:
    """
    Every tenant with a log, an entry, an event or a pointer, in the database's order of their keys.

    One index probe per tenant and table, however long the logs are.
    """
    connection = get_connection(using)
    after: str | None = ""
    while after is not None:
        with connection.cursor() as cursor:
            cursor.execute(_NEXT, [after] * len(_TABLES))
            [after] = cursor.fetchone()
        if after is not None:
            yield after
