"""Append-only in the database: every way to change a row is refused, and a missing or altered guard is seen."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.exceptions import AppendOnlyError
from auditkit_django.models import Checkpoint, Entry, Event, KeyGeneration, Log, Pending, Publication, Tile
from auditkit_django.sql import guards
from auditkit_django.testing import append_now, guards_lifted
from tests.log.attacker import TABLES, execute

pytestmark = pytest.mark.django_db

TABLE_NAMES = [guarded.table for guarded in guards.GUARDED]
EVERY_TABLE = pytest.mark.parametrize("table", TABLE_NAMES)
APPEND_ONLY = pytest.mark.parametrize("table", [name for name in TABLE_NAMES if name != "auditkit_django_log"])


@pytest.fixture(autouse=True)
def _a_log() -> None:
    for _ in range(3):
        auditlog.event("member.invited", tenant="acme")
    append_now()
    Tile.objects.bulk_create([Tile(tenant="acme", epoch=0, level=1, number=0, hash=b"h" * 32)])
    key = {"generation": 1, "seq": 2, "verifier_key": "key", "is_revocation": False}
    KeyGeneration.objects.bulk_create([KeyGeneration(tenant="acme", epoch=0, **key)])
    row = {"size": 4, "root": b"r" * 32, "hashes": b"r" * 32, "note": "note", "sealed_at": timezone.now()}
    Checkpoint.objects.bulk_create([Checkpoint(tenant="acme", epoch=0, **row)])
    row = {"publisher": "archive", "published_at": timezone.now(), "kind": "location", "receipt": "there"}
    Publication.objects.bulk_create([Publication(tenant="acme", epoch=0, size=4, **row)])


def _refused(sql: str) -> None:
    before = {model: list(model._default_manager.order_by("pk").values()) for model in TABLES}
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        execute(sql)
    assert {model: list(model._default_manager.order_by("pk").values()) for model in TABLES} == before


@pytest.fixture
def postgresql(is_postgresql: bool) -> None:
    if not is_postgresql:
        pytest.skip("PostgreSQL's own statement")


@pytest.fixture
def sqlite(is_postgresql: bool) -> None:
    if is_postgresql:
        pytest.skip("SQLite's own statement")


@APPEND_ONLY
@pytest.mark.parametrize("where", ["", " WHERE tenant = 'acme'"], ids=["all", "some"])
def test_update_is_refused(table: str, where: str) -> None:
    _refused(f"UPDATE {table} SET tenant = 'globex'{where}")
    _refused(f"UPDATE {table} SET tenant = tenant{where}")


@EVERY_TABLE
@pytest.mark.parametrize("where", ["", " WHERE tenant = 'acme'"], ids=["all", "some"])
def test_delete_is_refused(table: str, where: str) -> None:
    _refused(f"DELETE FROM {table}{where}")


@EVERY_TABLE
@pytest.mark.usefixtures("postgresql")
@pytest.mark.parametrize("how", ["", " CASCADE", " RESTART IDENTITY"], ids=["plain", "cascade", "restart"])
def test_truncate_is_refused(table: str, how: str) -> None:
    _refused(f"TRUNCATE {table}{how}")


@EVERY_TABLE
@pytest.mark.usefixtures("postgresql")
def test_a_delete_inside_a_with_is_refused(table: str) -> None:
    _refused(f"WITH gone AS (DELETE FROM {table} RETURNING 1) SELECT count(*) FROM gone")


@EVERY_TABLE
@pytest.mark.usefixtures("postgresql")
def test_a_replica_role_is_refused_too(table: str) -> None:
    execute("SET LOCAL session_replication_role = replica")
    _refused(f"DELETE FROM {table}")
    _refused(f"TRUNCATE {table}")


@APPEND_ONLY
@pytest.mark.usefixtures("postgresql")
@pytest.mark.parametrize("deed", ["UPDATE SET tenant = 'globex'", "DELETE"], ids=["update", "delete"])
def test_merge_is_refused(table: str, deed: str) -> None:
    if connection.pg_version < 150000:  # type: ignore[attr-defined]
        pytest.skip("MERGE came with PostgreSQL 15")
    _refused(f"MERGE INTO {table} t USING (SELECT 1) s ON t.tenant = 'acme' WHEN MATCHED THEN {deed}")


CONFLICTS = {
    "auditkit_django_event": ["(tenant, id)"],
    "auditkit_django_entry": ["(tenant, epoch, seq)", "(tenant, event_id)"],
}
UPSERTS = [(table, target) for table, targets in CONFLICTS.items() for target in targets]


@pytest.mark.parametrize(("table", "target"), UPSERTS)
def test_an_upsert_that_updates_is_refused(table: str, target: str, is_postgresql: bool) -> None:
    if not is_postgresql and table == "auditkit_django_event":
        target = "(id)"
    _refused(
        f"INSERT INTO {table} SELECT * FROM {table} WHERE tenant = 'acme' ON CONFLICT {target} DO UPDATE SET tenant = 'globex'"
    )


def _columns(table: str, **changed: str) -> tuple[str, str]:
    [model] = [model for model, name in TABLES.items() if name == table]
    names = [field.column for field in model._meta.concrete_fields if field.column]
    return ", ".join(names), ", ".join(changed.get(name, name) for name in names)


REPLACEMENTS: list[Any] = [
    pytest.param("auditkit_django_event", {"action": "'member.joined'"}, id="event by id"),
    pytest.param("auditkit_django_entry", {"event_id": "hex(randomblob(16))"}, id="entry by place"),
    pytest.param("auditkit_django_entry", {"seq": "seq + 100"}, id="entry by event"),
    pytest.param("auditkit_django_log", {"epoch": "epoch + 1"}, id="log by id"),
    pytest.param("auditkit_django_log", {"id": "hex(randomblob(16))"}, id="log by epoch"),
]


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize("verb", ["INSERT OR REPLACE", "REPLACE"])
@pytest.mark.parametrize(("table", "changed"), REPLACEMENTS)
def test_a_replace_by_any_key_is_refused(table: str, changed: dict[str, str], verb: str) -> None:
    names, values = _columns(table, **changed)
    _refused(f"{verb} INTO {table} ({names}) SELECT {values} FROM {table} WHERE tenant = 'acme' LIMIT 1")


@EVERY_TABLE
@pytest.mark.usefixtures("sqlite")
def test_a_replace_by_row_id_is_refused(table: str) -> None:
    fresh = {"id": "hex(randomblob(16))", "event_id": "hex(randomblob(16))", "seq": "seq + 100", "epoch": "epoch + 100"}
    names, values = _columns(table, **fresh)
    _refused(
        f"INSERT OR REPLACE INTO {table} (rowid, {names}) SELECT rowid, {values} FROM {table} WHERE tenant = 'acme' LIMIT 1"
    )


@APPEND_ONLY
@pytest.mark.usefixtures("sqlite")
def test_update_or_replace_is_refused(table: str) -> None:
    _refused(f"UPDATE OR REPLACE {table} SET tenant = 'acme'")


def test_a_plain_insert_is_allowed() -> None:
    auditlog.event("member.removed", tenant="acme")
    assert append_now() == 1


@pytest.mark.parametrize("model", [Event, Entry])
@pytest.mark.parametrize(
    "deed",
    [
        pytest.param(lambda rows: rows.update(tenant="globex"), id="update"),
        pytest.param(lambda rows: rows.delete(), id="delete"),
        pytest.param(lambda rows: rows._raw_delete("default"), id="raw delete"),
        pytest.param(lambda rows: rows.bulk_update([rows.first()], ["tenant"]), id="bulk update"),
        pytest.param(lambda rows: rows.first().save(), id="save"),
        pytest.param(lambda rows: rows.first().delete(), id="delete of one"),
    ],
)
def test_the_orm_refuses_with_a_clear_error(model: Any, deed: Any) -> None:
    with pytest.raises(AppendOnlyError, match="append-only"):
        deed(model.objects.for_tenant("acme"))
    assert model.objects.for_tenant("acme").count() == 4


def test_the_guards_stand_after_migrating() -> None:
    assert guards.problems(connection) == []


def test_lifted_guards_are_put_back_even_after_an_error() -> None:
    with suppress(RuntimeError), guards_lifted():
        assert len(guards.problems(connection)) == len(TABLE_NAMES) * 2 + (
            len(TABLE_NAMES) - 1 if connection.vendor == "sqlite" else 0
        )
        raise RuntimeError
    assert guards.problems(connection) == []


def test_guards_that_did_not_stand_are_not_put_there() -> None:
    guards.remove(connection)
    with guards_lifted():
        pass
    assert guards.problems(connection)


POSTGRESQL_SABOTAGE = [
    "DROP TRIGGER auditkit_row ON auditkit_django_event",
    "ALTER TABLE auditkit_django_event DISABLE TRIGGER auditkit_row",
    "ALTER TABLE auditkit_django_entry DISABLE TRIGGER ALL",
    "ALTER TABLE auditkit_django_entry ENABLE TRIGGER auditkit_truncate",
    "ALTER TABLE auditkit_django_log ENABLE REPLICA TRIGGER auditkit_row",
    "CREATE OR REPLACE FUNCTION auditkit_django_deny() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END'",
    "CREATE OR REPLACE TRIGGER auditkit_row BEFORE DELETE ON auditkit_django_event"
    " FOR EACH ROW EXECUTE FUNCTION auditkit_django_deny()",
    "CREATE OR REPLACE TRIGGER auditkit_row BEFORE UPDATE OR DELETE ON auditkit_django_event"
    " FOR EACH ROW WHEN (OLD.tenant = 'nobody') EXECUTE FUNCTION auditkit_django_deny()",
    "CREATE OR REPLACE TRIGGER auditkit_row BEFORE UPDATE OF action OR DELETE ON auditkit_django_event"
    " FOR EACH ROW EXECUTE FUNCTION auditkit_django_deny()",
]
SQLITE_SABOTAGE = [
    ["DROP TRIGGER auditkit_django_event_no_update"],
    ["DROP TRIGGER auditkit_django_entry_no_replace"],
    ["DROP TRIGGER auditkit_django_log_no_delete"],
    [
        "DROP TRIGGER auditkit_django_event_no_delete",
        "CREATE TRIGGER auditkit_django_event_no_delete BEFORE DELETE ON auditkit_django_event BEGIN SELECT 1; END",
    ],
]


def _is_seen_and_mended() -> None:
    assert guards.problems(connection)
    found = [message.id for message in run_checks(databases=["default"])]
    assert "auditkit.E010" in found
    guards.install(connection)
    assert guards.problems(connection) == []


@pytest.mark.usefixtures("postgresql")
@pytest.mark.parametrize("sql", POSTGRESQL_SABOTAGE)
def test_a_guard_altered_on_postgresql_is_seen_and_mended(sql: str) -> None:
    execute(sql)
    _is_seen_and_mended()


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize("statements", SQLITE_SABOTAGE)
def test_a_guard_altered_on_sqlite_is_seen_and_mended(statements: list[str]) -> None:
    for sql in statements:
        execute(sql)
    _is_seen_and_mended()


def test_pending_rows_and_heads_stay_writable() -> None:
    auditlog.event("member.removed", tenant="acme")
    assert Pending.objects.filter(tenant="acme").delete()[0] == 1
    assert Log.objects.filter(tenant="acme").update(verdict="") == 1
