"""How fast a log is verified, with all checks."""

from __future__ import annotations

import os
from pathlib import Path

from benchmarks import databases
from benchmarks.measuring import median, repeated, timed
from benchmarks.plan import Plan
from benchmarks.realistic import load
from benchmarks.reporting import Budget, Section

NOTE = (
    "`auditlog.verify` of one log of {events} entries (the mix of the disk benchmark), every check, from a warm cache, in one"
    " process. `wall` is what a caller sees; `per core` divides by the CPU seconds of the process and its PostgreSQL session"
    " together, which work on two cores in turns. Median of {rounds} rounds."
)


def run(plan: Plan) -> Section:
    """Measure; events per second of wall and of CPU time."""
    databases.use_fresh(plan.server, "bench_verify")
    load(plan.verify_events, tenants=1, is_skewed=False, is_append=True)
    [tenant] = _tenants()

    rounds = repeated(plan.verify_rounds, lambda _number: _round(plan, tenant))
    wall, client, session = (median(column) / plan.verify_events for column in zip(*rounds, strict=True))
    ways = {
        "wall": wall,
        "per core": client + session,
        "of that: our process": client,
        "of that: the PostgreSQL session": session,
    }
    rate = 1 / wall
    return Section(
        title=f"verify: a log of {plan.verify_events:,} entries",
        note=NOTE.format(events=f"{plan.verify_events:,}", rounds=plan.verify_rounds),
        columns=("", "events/s", "µs per event"),
        rows=[(name, f"{1 / max(each, 1e-9):,.0f}", f"{1e6 * each:.1f}") for name, each in ways.items()],
        budgets=(
            Budget(name="verify: rate (wall, one process)", got=rate, wanted=50_000, unit="events/s", is_floor=True),
        ),
    )


def _round(plan: Plan, tenant: str) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds of this process and of its PostgreSQL session."""
    from auditkit_django import auditlog

    before = _session_cpu_seconds()
    with timed() as clock:
        report = auditlog.verify(tenant)
    if report.verdict != "VALID" or report.checked != plan.verify_events + 1:
        raise RuntimeError(f"got {report.verdict} of {report.checked} entries, wanted VALID of all")
    return clock.seconds, clock.cpu_seconds, _session_cpu_seconds() - before


def _tenants() -> list[str]:
    from auditkit_django.log.tenants import known_tenants

    return list(known_tenants())


def _session_cpu_seconds() -> float:
    """User and system time so far of the server process behind our connection; 0 where /proc does not tell."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
