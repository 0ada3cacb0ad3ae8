"""``append_all()`` against COPY of the very same entries into an identical table."""

from __future__ import annotations

from typing import Any

from benchmarks import databases
from benchmarks.measuring import median, per_round_ratio, repeated, timed
from benchmarks.plan import Plan
from benchmarks.realistic import load
from benchmarks.reporting import Budget, Section

NOTE = (
    "{events} pending events (the mix of the disk benchmark) of {tenants} tenants, appended by one process: read with their"
    " events, entries made and hashed, written by COPY, pointers deleted, heads moved; genesis entries included. `COPY` is"
    " psycopg's binary COPY of the entries that came out, in one transaction, into an empty table `LIKE auditkit_django_entry"
    " INCLUDING ALL`. A fresh database each round, median of {rounds}."
)
TYPES = ("text", "int4", "int8", "uuid", "bytea", "bytea")
COLUMNS = "tenant, epoch, seq, event_id, body, leaf_hash"


def run(plan: Plan) -> Section:
    """Measure; rates of both and their ratio."""
    rounds = repeated(plan.append_rounds, lambda _number: _round(plan))
    append = [count / seconds for count, seconds, _cpu, _copy in rounds]
    copy = [count / seconds for count, _append, _cpu, seconds in rounds]
    cpu_share = median(cpu / seconds for _count, seconds, cpu, _copy in rounds)
    ratio = per_round_ratio(append, copy)
    return Section(
        title=f"append: {plan.append_events:,} pending events of {plan.append_tenants} tenants",
        note=NOTE.format(events=f"{plan.append_events:,}", tenants=plan.append_tenants, rounds=plan.append_rounds),
        columns=("way", "entries/s", "x COPY", "our process on the CPU"),
        rows=[
            ("append_all()", f"{median(append):,.0f}", f"{ratio:.2f}", f"{cpu_share:.0%}"),
            ("COPY", f"{median(copy):,.0f}", "1.00", ""),
        ],
        budgets=(Budget(name="append: x COPY of the same entries", got=ratio, wanted=0.35, unit="x", is_floor=True),),
    )


def _round(plan: Plan) -> tuple[int, float, float, float]:
    """Number of entries, seconds and CPU seconds of the append, seconds of the COPY."""
    from auditkit_django.log.append import append_all

    databases.use_fresh(plan.server, "bench_append")
    load(plan.append_events, tenants=plan.append_tenants, is_skewed=False)
    databases.checkpoint()
    with timed() as appending:
        append_all()
    rows = _entries()
    if len(rows) != plan.append_events + plan.append_tenants:
        raise RuntimeError(f"got {len(rows)} entries, wanted {plan.append_events} and {plan.append_tenants} openings")
    return len(rows), appending.seconds, appending.cpu_seconds, _copy(rows)


def _entries() -> list[Any]:
    """All entries, in the order in which they were written: rows of the same shape, ready for COPY."""
    from django.db import connection
    from psycopg import Cursor

    connection.ensure_connection()
    cursor = Cursor(connection.connection)
    return cursor.execute(f"SELECT {COLUMNS} FROM auditkit_django_entry ORDER BY ctid", binary=True).fetchall()


def _copy(rows: list[Any]) -> float:
    from django.db import connection, transaction
    from psycopg import Cursor

    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE bench_entry (LIKE auditkit_django_entry INCLUDING ALL)")
    databases.checkpoint()
    with timed() as clock, transaction.atomic():
        sql = f"COPY bench_entry ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
        with Cursor(connection.connection) as cursor, cursor.copy(sql) as copy:
            copy.set_types(TYPES)
            for row in rows:
                copy.write_row(row)
    return clock.seconds
