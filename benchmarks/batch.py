"""1,000 events by ``auditlog.batch()`` against 1,000 single events, each committed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks import databases
from benchmarks.measuring import median, per_round_ratio, repeated, rotated, timed
from benchmarks.plan import Plan
from benchmarks.reporting import Budget, Section

NOTE = (
    "An importer records {count} events (one target, small metadata, actor and tenant from `auditlog.context`): one by one,"
    " each committed by itself, or as one batch. `bulk_create` and `create` of a narrow table without indexes are the physical"
    " reference for the same two ways. Rounds in turns, median of {rounds}."
)


def run(plan: Plan) -> Section:
    """Measure; one row per way."""
    databases.use_fresh(plan.server, "bench_batch")
    ways: dict[str, Callable[[int], None]] = {
        "event() x n": _single,
        "batch()": _batch,
        "create() x n, narrow table": _create,
        "bulk_create(), narrow table": _bulk_create,
    }
    rounds = repeated(plan.batch_rounds, partial(_round, ways, plan.batch))
    seconds = {name: [one[name] for one in rounds] for name in ways}
    return _section(plan, seconds)


def _section(plan: Plan, seconds: Mapping[str, Sequence[float]]) -> Section:
    single, batch, create, bulk = seconds
    factors = {
        batch: per_round_ratio(seconds[single], seconds[batch]),
        bulk: per_round_ratio(seconds[create], seconds[bulk]),
    }
    rates = {name: plan.batch / median(found) for name, found in seconds.items()}
    milliseconds = {name: 1000 * median(found) for name, found in seconds.items()}
    return Section(
        title=f"batch: {plan.batch:,} events at once",
        note=NOTE.format(count=f"{plan.batch:,}", rounds=plan.batch_rounds),
        columns=("way", "ms", "rows/s", "x faster than one by one"),
        rows=[
            (
                name,
                f"{milliseconds[name]:.1f}",
                f"{rates[name]:,.0f}",
                f"{factors[name]:.1f}" if name in factors else "",
            )
            for name in seconds
        ],
        budgets=(
            Budget(name="batch: x single events", got=factors[batch], wanted=20, unit="x", is_floor=True),
            Budget(name="batch: rate", got=rates[batch], wanted=15_000, unit="events/s", is_floor=True),
        ),
    )


def _round(ways: dict[str, Callable[[int], None]], count: int, number: int) -> dict[str, float]:
    found = {}
    for name in rotated(list(ways), number):
        databases.checkpoint()
        with timed() as clock:
            ways[name](count)
        found[name] = clock.seconds
    return found


def _single(count: int) -> None:
    from auditkit_django import auditlog

    with auditlog.context(actor="service:importer", tenant="org-1", source="import"):
        for number in range(count):
            auditlog.event(
                "data.record.created", resource=f"document:{number}", metadata={"row": number, "file": "a.csv"}
            )


def _batch(count: int) -> None:
    from auditkit_django import auditlog

    with auditlog.context(actor="service:importer", tenant="org-1", source="import"), auditlog.batch() as batch:
        for number in range(count):
            batch.event("data.record.created", resource=f"document:{number}", metadata={"row": number, "file": "a.csv"})


def _create(count: int) -> None:
    from benchmarks.host.models import Narrow

    for number in range(count):
        Narrow.objects.create(text="a.csv", number=number)


def _bulk_create(count: int) -> None:
    from benchmarks.host.models import Narrow

    Narrow.objects.bulk_create(Narrow(text="a.csv", number=number) for number in range(count))
