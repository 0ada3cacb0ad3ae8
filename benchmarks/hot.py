"""One hot tenant: how many business transactions are left when every one is audited."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import databases
from benchmarks.hot_writers import VARIANTS, Outcome, Writers
from benchmarks.measuring import median, per_round_ratio, quantile, repeated, rotated
from benchmarks.plan import Plan
from benchmarks.reporting import Budget, Section

#: Least share of the unaudited rate, by number of writers; other numbers have no budget.
WANTED = {8: 0.9, 64: 0.55}
DRAIN_SECONDS = 60.0
NOTE = (
    "Each transaction inserts a business row, records one event of the one tenant, works on for 5 ms and commits. Writers are"
    " processes with one connection each (64 threads of 8 processes would measure Python's lock); one"
    " `auditkit_worker` runs all the time, on the same cores. `chain` is the textbook: lock the head `FOR UPDATE`, hash, insert,"
    " move the head, hold the lock to the commit. Before each turn the worker has emptied the queue; what it leaves behind at"
    " the end of an audited turn is in the last column. {seconds:g} s per turn, median of {rounds} rounds."
)


def run(plan: Plan) -> Section:
    """Measure with each number of writers; budgets on the audited share."""
    rows: list[tuple[object, ...]] = []
    budgets: list[Budget] = []
    databases.use_fresh(plan.server, "bench_hot")
    for count in plan.hot_writers:
        # The writers are forked before the worker and without an open connection.
        with Writers(count) as writers, _worker():
            rounds = repeated(plan.hot_rounds, lambda number: _round(writers, plan.hot_seconds, number))
        share = {name: per_round_ratio(_rates(rounds, name), _rates(rounds, "none")) for name in VARIANTS}
        rows += [_row(count, name, rounds, share[name]) for name in VARIANTS]
        if count in WANTED:
            name = f"hot tenant: audited / unaudited, {count} processes"
            budgets.append(Budget(name=name, got=share["event"], wanted=WANTED[count], unit="x", is_floor=True))
    return Section(
        title="hot: one tenant, 5 ms of business work per transaction",
        note=NOTE.format(seconds=plan.hot_seconds, rounds=plan.hot_rounds),
        columns=("writers, audit", "transactions/s", "x unaudited", "p50 ms", "p99 ms", "left pending"),
        rows=rows,
        budgets=budgets,
    )


def _round(writers: Writers, seconds: float, number: int) -> dict[str, Outcome]:
    found = {}
    for name in rotated(VARIANTS, number):
        _drain()
        databases.checkpoint()
        found[name] = writers.turn(name, seconds=seconds)
    return found


def _rates(rounds: list[dict[str, Outcome]], name: str) -> list[float]:
    return [one[name].rate for one in rounds]


def _row(count: int, name: str, rounds: list[dict[str, Outcome]], share: float) -> tuple[object, ...]:
    p50, p99 = (median(quantile(one[name].milliseconds, q) for one in rounds) for q in (0.5, 0.99))
    left = f"{median(one[name].pending for one in rounds):,.0f}" if name == "event" else ""
    return (
        f"{count}, {name}",
        f"{median(_rates(rounds, name)):,.0f}",
        f"{share:.2f}",
        f"{p50:.1f}",
        f"{p99:.1f}",
        left,
    )


def _drain() -> None:
    """Wait until the worker has appended everything."""
    from auditkit_django.models import Pending

    deadline = time.monotonic() + DRAIN_SECONDS
    while Pending.objects.exists():
        if time.monotonic() > deadline:
            raise RuntimeError(f"the worker has not emptied the queue within {DRAIN_SECONDS:.0f} s")
        time.sleep(0.05)


@contextmanager
def _worker() -> Iterator[None]:
    """A worker as an operator would run it, on the database of this process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "django", "auditkit_worker"], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "ready" not in line:
                raise RuntimeError(f"the worker said {line!r}, wanted that it is ready")
            yield
        finally:
            process.terminate()
            process.communicate()
