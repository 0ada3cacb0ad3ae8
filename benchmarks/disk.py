"""How many bytes an event takes on disk, all tables and indexes together."""

from __future__ import annotations

from benchmarks import databases
from benchmarks.plan import Plan
from benchmarks.realistic import load
from benchmarks.reporting import Budget, Section

NOTE = (
    "{events} events of {tenants} tenants (Zipf): 70 % of web requests (user with name and mail, browser, address, request id,"
    " path, session; one named target; changes or small metadata), 20 % of API calls, 10 % of the system's jobs. Recorded by"
    " `batch()`, appended, then VACUUM. Bytes per event; `rows` with TOAST and maps."
)
_TABLES = """
SELECT c.relname, NULL, pg_table_size(c.oid) FROM pg_class c
WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relname LIKE 'auditkit\\_%'
UNION ALL
SELECT t.relname, c.relname, pg_relation_size(c.oid) FROM pg_class c
JOIN pg_index i ON i.indexrelid = c.oid JOIN pg_class t ON t.oid = i.indrelid
WHERE t.relnamespace = 'public'::regnamespace AND t.relname LIKE 'auditkit\\_%'
ORDER BY 1, 2 NULLS FIRST
"""


def run(plan: Plan) -> Section:
    """Load, vacuum, measure; one row per table and index."""
    from django.db import connection

    databases.use_fresh(plan.server, "bench_disk")
    load(plan.disk_events, tenants=plan.disk_tenants, is_skewed=True, is_append=True)
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
        cursor.execute(_TABLES.replace("%", "%%"), [])
        sizes = cursor.fetchall()
    total = sum(size for _table, _index, size in sizes)
    per_event = total / plan.disk_events
    rows = [
        (table if index is None else f"— {index}", f"{size / plan.disk_events:.1f}", f"{size / 2**20:,.1f}")
        for table, index, size in sizes
    ]
    return Section(
        title=f"disk: {plan.disk_events:,} events with all indexes",
        note=NOTE.format(events=f"{plan.disk_events:,}", tenants=plan.disk_tenants),
        columns=("rows, index", "bytes per event", "MiB"),
        rows=[*rows, ("**all**", f"**{per_event:.0f}**", f"{total / 2**20:,.1f}")],
        budgets=(Budget(name="disk: bytes per event", got=per_event, wanted=1600, unit="B"),),
    )
