"""What the migrations do besides Django's own operations: tenant-first keys, the recorder, the guards, the searching."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditkit_django.conf import settings
from auditkit_django.environment import is_test_run
from auditkit_django.sql import disclosed, guards, postgresql

if TYPE_CHECKING:
    from django.db.backends.base.schema import BaseDatabaseSchemaEditor
    from django.db.migrations.state import StateApps


def install_guards(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Install the append-only guards, except in a host's test database: its flush must not be refused."""
    if not is_test_run() or settings.GUARDS_IN_TESTS:
        guards.install(schema_editor.connection)


def remove_guards(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Backwards of :func:`install_guards`."""
    guards.remove(schema_editor.connection)


def install_keys(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Tenant-first primary keys and the recorder function (PostgreSQL)."""
    if schema_editor.connection.vendor == "postgresql":
        for sql in (*postgresql.TENANT_KEYS, postgresql.RECORD_FUNCTION):
            schema_editor.execute(sql)


def remove_keys(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Backwards of :func:`install_keys`."""
    if schema_editor.connection.vendor == "postgresql":
        for sql in (postgresql.DROP_RECORD_FUNCTION, *postgresql.PLAIN_KEYS):
            schema_editor.execute(sql)


def install_searching(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """The functions that look into disclosures (PostgreSQL; on SQLite each connection gets one of Python's)."""
    if schema_editor.connection.vendor == "postgresql":
        for sql in disclosed.CREATE:
            schema_editor.execute(sql, params=None)


def remove_searching(apps: StateApps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Backwards of :func:`install_searching`."""
    if schema_editor.connection.vendor == "postgresql":
        for sql in disclosed.DROP:
            schema_editor.execute(sql, params=None)
