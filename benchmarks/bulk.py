"""Bulk operations on 5,000 rows of a tracked model against the same on an untracked one, and the batch of their events."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from benchmarks import databases
from benchmarks.measuring import median, repeated, rotated, timed
from benchmarks.plan import Plan
from benchmarks.reporting import Budget, Section

WAYS = ("Item", "TrackedItem", "batch")
OPERATIONS = ("bulk_create", "update", "update by F()", "bulk_update", "delete")
NOTE = (
    "{rows:,} rows of four columns, each operation in one transaction; `tracked` is the same table under"
    ' `@track(tenant="organization")`, which records every row with old and new. `batch` is `auditlog.batch()` of the very'
    " events that the tracked operation records. Rounds in turns, median of {rounds}."
)


def run(plan: Plan) -> Section:
    """Measure; one row per operation."""
    databases.use_fresh(plan.server, "bench_bulk")
    rounds = repeated(plan.bulk_rounds, partial(_round, plan.bulk_rows, _recorded(plan.bulk_rows)))
    found = {key: [one[key] for one in rounds] for key in rounds[0]}
    return Section(
        title=f"bulk: {plan.bulk_rows:,} rows of a tracked model",
        note=NOTE.format(rows=plan.bulk_rows, rounds=plan.bulk_rounds),
        columns=("operation", "untracked ms", "tracked ms", "batch ms", "of the budget"),
        rows=[
            (name, *(f"{1000 * median(found[(name, way)]):.0f}" for way in WAYS), f"{_share(found, name):.2f}")
            for name in OPERATIONS
        ],
        budgets=[
            Budget(name=f"bulk: {name} / (2 x untracked + batch)", got=_share(found, name), wanted=1.0, unit="x")
            for name in OPERATIONS
        ],
    )


def _share(found: dict[Any, list[float]], name: str) -> float:
    ways = (found[(name, way)] for way in WAYS)
    return median(tracked / (2 * plain + batch) for plain, tracked, batch in zip(*ways, strict=True))


def _round(rows: int, events: Mapping[str, Sequence[dict[str, Any]]], number: int) -> dict[Any, float]:
    from auditkit_django import auditlog
    from benchmarks.host.models import Item, Organization, TrackedItem

    organization, _is_new = Organization.objects.get_or_create(name="Acme")
    found: dict[Any, float] = {}
    ways: dict[str, Mapping[str, Callable[[], object]]] = {
        "Item": _operations(Item, organization, rows),
        "TrackedItem": _operations(TrackedItem, organization, rows),
        "batch": {name: partial(_batch, events[name]) for name in OPERATIONS},
    }
    with auditlog.context(actor="service:importer"):
        for way in rotated(WAYS, number):
            for name, operation in ways[way].items():
                found[(name, way)] = _seconds(operation)
    return found


def _recorded(rows: int) -> dict[str, list[dict[str, Any]]]:
    """What each operation on the tracked model records, as arguments of ``auditlog.event``; nothing is timed here."""
    from auditkit_django.recording.series import Series
    from benchmarks.host.models import Organization, TrackedItem

    row, found = Series.row, {}
    organization, _is_new = Organization.objects.get_or_create(name="Acme")
    for name, operation in _operations(TrackedItem, organization, rows).items():
        events = found[name] = []

        def noted(self: Series, target: Any, changes: Any, events: list[dict[str, Any]] = events) -> Any:
            shared = {"action": self.action, "tenant": self.tenant, "metadata": self.metadata}
            events.append({**shared, "resource": target, "changes": changes})
            return row(self, target, changes)

        Series.row = noted  # type: ignore[method-assign]
        try:
            operation()
        finally:
            Series.row = row  # type: ignore[method-assign]
        if len(events) != rows:
            raise RuntimeError(f"{name}: got {len(events)} events, wanted {rows}")
    return found


def _seconds(operation: Callable[[], object]) -> float:
    from django.db import transaction

    databases.checkpoint()
    with timed() as clock, transaction.atomic():
        operation()
    return clock.seconds


def _operations(model: Any, organization: Any, rows: int) -> dict[str, Callable[[], object]]:
    from django.db.models import F

    made = [model(organization=organization, title=f"Item {number}", amount=number) for number in range(rows)]

    def bulk_update() -> None:
        for one in made:
            one.title += "!"
        model.objects.bulk_update(made, ["title"])

    return {
        "bulk_create": lambda: model.objects.bulk_create(made),
        "update": lambda: model.objects.update(status="sent"),
        "update by F()": lambda: model.objects.update(amount=F("amount") + 1),
        "bulk_update": bulk_update,
        "delete": lambda: model.objects.all().delete(),
    }


def _batch(events: Sequence[dict[str, Any]]) -> None:
    from auditkit_django import auditlog

    with auditlog.batch() as batch:
        for fields in events:
            batch.event(**fields)
