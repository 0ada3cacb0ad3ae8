"""PostgreSQL: the guards, the tenant-first primary keys and the one-statement recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from django.db.backends.base.base import BaseDatabaseWrapper

#: Two ways past the guards, for a transaction that names one (``SET LOCAL auditkit.permit``): erasure may empty an event's
#: disclosures and the columns copied from them, pruning may delete. Whoever has SQL can set it, as they can drop a trigger.
_DENY_BODY = """
BEGIN
    IF tg_op = 'UPDATE' AND tg_table_name = 'auditkit_django_event' THEN
        IF current_setting('auditkit.permit', true) = 'erase'
           AND (new.id, new.tenant, new.occurred_at, new.recorded_at, new.action, new.category, new.severity, new.outcome)
               = (old.id, old.tenant, old.occurred_at, old.recorded_at, old.action, old.category, old.severity, old.outcome)
           AND (new.actor_type IS NULL OR new.actor_type = old.actor_type)
           AND (new.actor_id IS NULL OR new.actor_id = old.actor_id)
           AND (new.target_type IS NULL OR new.target_type = old.target_type)
           AND (new.target_id IS NULL OR new.target_id = old.target_id)
           AND (new.disclosures IS NULL OR length(new.disclosures) < length(old.disclosures)) THEN
            RETURN new;
        END IF;
    ELSIF tg_op = 'DELETE' AND current_setting('auditkit.permit', true) = 'prune'
          AND tg_table_name IN ('auditkit_django_event', 'auditkit_django_entry', 'auditkit_django_checkpoint') THEN
        RETURN old;
    END IF;
    RAISE EXCEPTION 'auditkit: % is append-only (% refused)', tg_table_name, tg_op USING errcode = '42501';
END
"""

DENY_FUNCTION = (
    f"CREATE OR REPLACE FUNCTION auditkit_django_deny() RETURNS trigger LANGUAGE plpgsql AS $${_DENY_BODY}$$"
)

#: Event row and pending pointer in one statement. A function rather than a bare CTE because PL/pgSQL keeps the plans of
#: both inserts for the session, which the client cannot do behind a connection pooler (docs/adr/0003).
#: False: the id stands already (an idempotency key used before), and nothing was written.
_RECORD_BODY = """
BEGIN
    INSERT INTO auditkit_django_event (id, tenant, occurred_at, recorded_at, action, category, severity, outcome,
                                       actor_type, actor_id, target_type, target_id, disclosures)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO auditkit_django_pending (tenant, event_id) VALUES ($2, $1);
    RETURN true;
END
"""

_RECORD_TYPES = "uuid, text, timestamptz, timestamptz, text, text, text, text, text, text, text, text, text"

RECORD_FUNCTION = (
    f"CREATE OR REPLACE FUNCTION auditkit_django_record({_RECORD_TYPES}) RETURNS boolean"
    f" LANGUAGE plpgsql AS $${_RECORD_BODY}$$"
)
DROP_RECORD_FUNCTION = f"DROP FUNCTION IF EXISTS auditkit_django_record({_RECORD_TYPES})"

#: Every key leads with the tenant, so that both tables can be partitioned or distributed by it as they stand.
#: Django's state keeps ``id`` as the primary key; the constraint names stay the ones that Django made.
TENANT_KEYS = (
    "ALTER TABLE auditkit_django_event DROP CONSTRAINT auditkit_django_event_pkey,"
    " ADD CONSTRAINT auditkit_django_event_pkey PRIMARY KEY (tenant, id)",
    "ALTER TABLE auditkit_django_pending DROP CONSTRAINT auditkit_django_pending_pkey,"
    " DROP CONSTRAINT auditkit_pending_order,"
    " ADD CONSTRAINT auditkit_pending_order PRIMARY KEY (tenant, id)",
    # A queue is nearly all dead rows: by number, not by share of a table that is usually empty.
    "ALTER TABLE auditkit_django_pending SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000)",
)
PLAIN_KEYS = (
    "ALTER TABLE auditkit_django_event DROP CONSTRAINT auditkit_django_event_pkey,"
    " ADD CONSTRAINT auditkit_django_event_pkey PRIMARY KEY (id)",
    "ALTER TABLE auditkit_django_pending DROP CONSTRAINT auditkit_pending_order,"
    " ADD CONSTRAINT auditkit_django_pending_pkey PRIMARY KEY (id),"
    " ADD CONSTRAINT auditkit_pending_order UNIQUE (tenant, id)",
)


def entry_time(column: str) -> str:
    """SQL for ``column`` as entries write times; NULL where no entry can hold it (infinity, before Christ)."""
    return (
        f"CASE WHEN {column} BETWEEN '0001-01-02 00:00:00Z' AND '9999-12-30 00:00:00Z'"
        f""" THEN to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END"""
    )


def _row_events(may_update: bool) -> str:
    return "DELETE" if may_update else "UPDATE OR DELETE"


def guard_statements(table: str, may_update: bool) -> list[str]:
    """The triggers of one table; ``ENABLE ALWAYS`` also under ``session_replication_role = replica``."""
    return [
        f"CREATE TRIGGER auditkit_row BEFORE {_row_events(may_update)} ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION auditkit_django_deny()",
        f"CREATE TRIGGER auditkit_truncate BEFORE TRUNCATE ON {table}"
        " FOR EACH STATEMENT EXECUTE FUNCTION auditkit_django_deny()",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER auditkit_row",
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER auditkit_truncate",
    ]


def unguard_statements(table: str) -> list[str]:
    """Drops what :func:`guard_statements` made, if it is there."""
    return [f"DROP TRIGGER IF EXISTS {name} ON {table}" for name in ("auditkit_row", "auditkit_truncate")]


# tgtype bits (catalog/pg_trigger.h): 1 row, 2 before, 8 delete, 16 update, 32 truncate.
_ROW, _BEFORE, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 8, 16, 32


def guard_problems(connection: BaseDatabaseWrapper, tables: Iterable[tuple[str, bool]]) -> list[str]:
    """What differs from the triggers and the function body that we install, read from the catalog."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for table, may_update in tables:
            cursor.execute(
                "SELECT t.tgname, t.tgtype, t.tgenabled, t.tgqual IS NULL AND t.tgattr = ''::int2vector, p.proname, p.prosrc"
                " FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid"
                " WHERE t.tgrelid = to_regclass(%s) AND t.tgname IN ('auditkit_row', 'auditkit_truncate')",
                [table],
            )
            standing = {row[0]: row[1:] for row in cursor.fetchall()}
            wanted = {
                "auditkit_row": _ROW | _BEFORE | _DELETE | (0 if may_update else _UPDATE),
                "auditkit_truncate": _BEFORE | _TRUNCATE,
            }
            for name, tgtype in wanted.items():
                problem = _trigger_problem(standing.get(name), tgtype)
                if problem:
                    found.append(f"trigger {name} on {table} {problem}")
    return found


def _trigger_problem(row: tuple[object, ...] | None, wanted_type: int) -> str | None:
    if row is None:
        return "is missing"
    tgtype, enabled, is_unconditional, function, source = row
    if tgtype != wanted_type or not is_unconditional:
        return "fires on other events than installed"
    if (enabled.decode() if isinstance(enabled, bytes) else enabled) != "A":
        return "is not ENABLE ALWAYS"
    if function != "auditkit_django_deny" or source != _DENY_BODY:
        return "calls a function that is not the one installed"
    return None
