"""
Triggers for tracked models, opt-in with ``@track(triggers=True)``: on PostgreSQL the database itself records what is
written past the ORM. They are installed after ``migrate``; ``manage.py auditkit_triggers`` checks, installs and removes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from django.core.exceptions import ImproperlyConfigured
from django.db import connections, models, router, transaction

from auditkit_django import actions
from auditkit_django.conf import settings
from auditkit_django.drafts import Actor
from auditkit_django.environment import is_test_run
from auditkit_django.exceptions import RecordingError
from auditkit_django.hooks.tracking.decorator import TRACKED, Tracked
from auditkit_django.hooks.tracking.rows import Kind
from auditkit_django.hooks.tracking.telling import set_locally
from auditkit_django.ledger.disclosure import encode_value
from auditkit_django.recording import context as contexts
from auditkit_django.recording.redaction import is_secret_name
from auditkit_django.sql import capture

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

ROW, TRUNCATE = "auditkit_capture", "auditkit_capture_truncate"
_OPERATIONS: dict[str, Kind] = {"INSERT": "created", "UPDATE": "updated", "DELETE": "deleted"}
_INTEGERS = (models.IntegerField, models.AutoField)


def triggered() -> list[Tracked]:
    """The tracked models that asked for triggers."""
    return [one for one in TRACKED if one.has_triggers]


def _on(connection: BaseDatabaseWrapper) -> list[Tracked]:
    return [one for one in triggered() if router.db_for_write(one.model) == connection.alias]


def install(connection: BaseDatabaseWrapper) -> list[str]:
    """Put the triggers of every model that asked in place; the labels of those models. PostgreSQL only."""
    found = _on(connection)
    if connection.vendor != "postgresql" or not found:
        return []
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for sql in capture.function_statements():
            cursor.execute(sql)
        for one in found:
            for sql in (*_drops(connection, one.model), *_creations(connection, one)):
                cursor.execute(sql)
    return [one.model._meta.label for one in found]


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take all triggers and their functions away."""
    if connection.vendor != "postgresql":
        return
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for one in TRACKED:
            for sql in _drops(connection, one.model):
                cursor.execute(sql)
        for sql in capture.drop_statements():
            cursor.execute(sql)


def problems(connection: BaseDatabaseWrapper) -> list[str]:
    """What is missing or altered, one sentence each; empty where every trigger stands as :func:`install` makes it."""
    found = []
    for one in _on(connection):
        table = one.model._meta.db_table
        if connection.vendor != "postgresql":
            found.append(
                f"{one.model._meta.label} asks for triggers, which {connection.vendor} has not: raw SQL is not seen"
            )
            continue
        standing = _standing(connection, table)
        for name, wanted in ((ROW, _arguments(one)), (TRUNCATE, _truncate_arguments(one))):
            if name not in standing:
                found.append(f"trigger {name} on {table} is missing")
            elif standing[name] != ("A", wanted):
                found.append(f"trigger {name} on {table} is disabled or was made for another form of the model")
    return found + (_altered_functions(connection) if connection.vendor == "postgresql" and _on(connection) else [])


def install_after_migrate(using: str, **_signal: Any) -> None:
    """Receiver of ``post_migrate``: triggers follow the models. Not in hosts' test databases, whose flush truncates."""
    connection = connections[using]
    if (is_test_run() and not settings.GUARDS_IN_TESTS) or not _on(connection) or connection.vendor != "postgresql":
        return
    if all(_stands(connection, one) for one in _on(connection)):
        install(connection)


@contextmanager
def database_context(*, using: str | None = None) -> Iterator[None]:
    """
    Inside, in one transaction, triggers record the actor and tenant of the context instead of the database's role.

    Put it around raw SQL: ``with tracking.database_context(), connection.cursor() as cursor: …``. One query at its start
    and one at its end; nothing stays behind on a pooled connection.
    """
    alias = using or router.db_for_write(triggered()[0].model if triggered() else None)  # type: ignore[arg-type]
    with transaction.atomic(using=alias):
        set_locally(alias, "auditkit.context", _context_text())
        yield
        set_locally(alias, "auditkit.context", "")


def _context_text() -> str:
    context = contexts.current()
    actor = context.resolve_actor() if context is not None else Actor("system")
    behalf = context.resolve_on_behalf_of() if context is not None else None
    found = {
        "actor": encode_value(actor.as_value()),
        "on_behalf_of": encode_value(behalf.as_value()) if behalf is not None else None,
        "tenant": context.resolve_tenant() if context is not None else None,
        "context": encode_value({**contexts.current_facts(), "source": "database"}),
    }
    return json.dumps({name: value for name, value in found.items() if value is not None})


def _stands(connection: BaseDatabaseWrapper, one: Tracked) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s)", [connection.ops.quote_name(one.model._meta.db_table)])
        return cursor.fetchone()[0] is not None


def _creations(connection: BaseDatabaseWrapper, one: Tracked) -> list[str]:
    table = connection.ops.quote_name(one.model._meta.db_table)
    row, truncate = (", ".join(map(_literal, given)) for given in (_arguments(one), _truncate_arguments(one)))
    return [
        f"CREATE TRIGGER {ROW} AFTER INSERT OR UPDATE OR DELETE ON {table}"
        f" FOR EACH ROW EXECUTE FUNCTION auditkit_django_capture({row})",
        f"CREATE TRIGGER {TRUNCATE} BEFORE TRUNCATE ON {table}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION auditkit_django_capture_truncate({truncate})",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {ROW}",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {TRUNCATE}",
    ]


def _drops(connection: BaseDatabaseWrapper, model: type[models.Model]) -> list[str]:
    return [
        f"DROP TRIGGER IF EXISTS {name} ON {connection.ops.quote_name(model._meta.db_table)}"
        for name in (ROW, TRUNCATE)
    ]


def _arguments(one: Tracked) -> tuple[str, ...]:
    words = {}
    for operation, kind in _OPERATIONS.items():
        action = actions.get(one.actions[kind])
        if action is None:
            raise ImproperlyConfigured(
                f"track {one.model._meta.label}: got the action {one.actions[kind]!r}, wanted a registered one"
            )
        words[operation] = [action.name, action.category, action.severity]
    columns = [
        [field.column, field.name, _kind(field), field.name in one.mask or is_secret_name(field.name)]
        for field in one.watch.fields.values()
    ]
    key = one.model._meta.pk
    assert key is not None
    assert key.column is not None
    return (one.model._meta.model_name or "", key.column, _tenant_column(one), _json(words), _json(columns))


def _truncate_arguments(one: Tracked) -> tuple[str, ...]:
    return (one.model._meta.model_name or "", _tenant_column(one))


def _tenant_column(one: Tracked) -> str:
    if one.tenant is None:
        return ""
    meta = one.model._meta
    field = next((f for f in meta.local_concrete_fields if one.tenant in (f.name, f.attname)), None)
    if field is None or (meta.parents and not meta.proxy):
        raise ImproperlyConfigured(
            f"track {meta.label}: triggers=True: got tenant={one.tenant!r}, wanted a column of the model's own table"
        )
    return str(field.column)


def _kind(field: Any) -> str:
    target = getattr(field, "target_field", field)
    if isinstance(target, _INTEGERS):
        return "integer"
    if isinstance(target, models.BinaryField):
        return "binary"
    return "json" if isinstance(target, models.JSONField) else "text"


def _standing(connection: BaseDatabaseWrapper, table: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT tgname, tgenabled, tgargs FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname = ANY(%s)",
            [connection.ops.quote_name(table), [ROW, TRUNCATE]],
        )
        return {
            name: (
                enabled.decode() if isinstance(enabled, bytes) else enabled,
                tuple(part.decode() for part in bytes(arguments).split(b"\0")[:-1]),
            )
            for name, enabled, arguments in cursor.fetchall()
        }


def _altered_functions(connection: BaseDatabaseWrapper) -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT proname, prosrc FROM pg_proc WHERE proname = ANY(%s)", [list(capture.FUNCTIONS)])
        standing = dict(cursor.fetchall())
    return [
        f"function {name} is not the one installed"
        for name, (_arguments_of, _head, body) in capture.FUNCTIONS.items()
        if standing.get(name) != body
    ]


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False)


def _literal(text: str) -> str:
    if "\\" in text or "\0" in text:
        raise RecordingError(f"trigger argument: got {text!r:.80}, wanted text without backslashes")
    return "'" + text.replace("'", "''") + "'"
