"""How long one page takes with each filter, in a database of many tenants."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from benchmarks import databases
from benchmarks.measuring import quantile
from benchmarks.plan import Plan
from benchmarks.realistic import load
from benchmarks.reporting import Budget, Section

NOTE = (
    "{events} events of {tenants} tenants, in their logs (the mix of the disk benchmark). A page of 50 by `page_of`, as API and"
    " trail ask for it: two queries, and everything that is disclosed opened. Each filter {rounds} times, each time another"
    " tenant and value; `found` takes its value from one of the tenant's events, whatever its age, `nothing` is a value that no"
    " event has: then all of the tenant's are looked at."
)
_PAGE = 50


@dataclass(frozen=True, slots=True)
class _Case:
    """Filters for one tenant, with a value of an event of its own and with one that nobody has."""

    found: Callable[[Any], Mapping[str, Any]]
    nothing: Mapping[str, Any] | None = None


def run(plan: Plan) -> Section:
    """Measure; milliseconds."""
    databases.use_fresh(plan.server, "bench_query")
    load(plan.query_events, tenants=plan.query_tenants, is_skewed=False, is_append=True)
    _analyze()
    chosen = random.Random(1)
    tenants = [f"org-{number}" for number in range(100, 100 + plan.query_tenants)]
    rows, worst = [], 0.0
    for name, times in _measured(plan, tenants, chosen):
        p50, p95 = (1000 * quantile(times, share) for share in (0.5, 0.95))
        worst = max(worst, p95)
        rows.append((name, f"{p50:.1f}", f"{p95:.1f}", f"{1000 * max(times):.1f}"))
    return Section(
        title=f"query: a page of {_PAGE} of {plan.query_events:,} events",
        note=NOTE.format(events=f"{plan.query_events:,}", tenants=plan.query_tenants, rounds=plan.query_rounds),
        columns=("filter", "p50 ms", "p95 ms", "max ms"),
        rows=rows,
        budgets=(Budget(name="query: p95 of the slowest filter", got=worst, wanted=50, unit="ms"),),
    )


def _measured(plan: Plan, tenants: list[str], chosen: random.Random) -> Iterator[tuple[str, list[float]]]:
    for name, case in _cases().items():
        found = [_timed(tenant := chosen.choice(tenants), case.found(_some_event(tenant, chosen))) for _ in _warm(plan)]
        yield f"{name}, found" if case.nothing is not None else name, found[_WARM:]
        if case.nothing is not None:
            nothing = [_timed(chosen.choice(tenants), case.nothing) for _ in _warm(plan)]
            yield f"{name}, nothing", nothing[_WARM:]
    yield "a page deep inside", [_deep(chosen.choice(tenants), plan) for _ in _warm(plan)][_WARM:]


_WARM = 5


def _warm(plan: Plan) -> range:
    return range(plan.query_rounds + _WARM)


def _cases() -> dict[str, _Case]:
    day = timedelta(days=1)
    return {
        "no filter": _Case(lambda event: {}),
        "action": _Case(lambda event: {"action": event.action}, {"action": "billing.plan.changed"}),
        "action group": _Case(lambda event: {"action": event.action.partition(".")[0] + ".*"}, {"action": "billing.*"}),
        "category": _Case(lambda event: {"category": event.category}, {"category": "billing"}),
        "actor": _Case(lambda event: {"actor": _party(event, "actor")}, {"actor": "user:nobody"}),
        "target": _Case(lambda event: {"target": _party(event, "target")}, {"target": "document:nothing"}),
        "outcome": _Case(lambda event: {"outcome": event.outcome}, {"outcome": "denied"}),
        "severity": _Case(lambda event: {"severity": event.severity}, {"severity": "critical"}),
        "ip": _Case(lambda event: {"ip": _context(event, "ip", "192.0.2.1")}, {"ip": "240.0.0.1"}),
        "network": _Case(lambda event: {"ip": _network(event)}, {"ip": "240.0.0.0/24"}),
        "request id": _Case(
            lambda event: {"request_id": _context(event, "request_id", "x")}, {"request_id": "nothing"}
        ),
        "occurred": _Case(
            lambda event: {"start": event.occurred_at, "end": event.occurred_at + day},
        ),
        "recorded": _Case(lambda event: {"recorded_end": event.recorded_at}),
        "metadata": _Case(lambda event: {"metadata": {"count": _count(event)}}, {"metadata": {"count": -1}}),
        "text": _Case(lambda event: {"text": _word(event)}, {"text": "no such words"}),
        "text, a common word": _Case(lambda event: {"text": "budget"}),
        "query": _Case(
            lambda event: {"query": f"action:{event.action} -outcome:failure -actor:user:1 draft"},
            {"query": 'action:data.* -outcome:failure "no such words"'},
        ),
    }


def _some_event(tenant: str, chosen: random.Random) -> Any:
    from auditkit_django.models import Event

    first, last = _span()
    moment = first + (last - first) * chosen.random()
    rows = Event.objects.filter(tenant=tenant)
    return rows.filter(occurred_at__lte=moment).order_by("-occurred_at").first() or rows.earliest("occurred_at")


def _span() -> tuple[Any, Any]:
    from auditkit_django.models import Event

    rows = Event.objects.filter(tenant="org-100")
    return rows.earliest("occurred_at").occurred_at, rows.latest("occurred_at").occurred_at


def _party(event: Any, role: str) -> str:
    kind, key = getattr(event, f"{role}_type"), getattr(event, f"{role}_id")
    return f"{kind}:{key}" if key else "user:nobody"


def _context(event: Any, name: str, default: str) -> str:
    return str((event.disclosed().get("context") or {}).get(name, default))


def _network(event: Any) -> str:
    return _context(event, "ip", "192.0.2.1").rpartition(".")[0] + ".0/24"


def _count(event: Any) -> int:
    return int((event.disclosed().get("metadata") or {}).get("count", 7))


def _word(event: Any) -> str:
    targets = event.disclosed().get("targets") or [{}]
    return str(targets[0].get("name", "draft"))


def _timed(tenant: str, members: Mapping[str, Any]) -> float:
    from auditkit_django.query.filters import EventFilter
    from auditkit_django.query.pages import page_of

    start = time.perf_counter()
    page_of(tenant, EventFilter(**members), limit=_PAGE)
    return time.perf_counter() - start


def _deep(tenant: str, plan: Plan) -> float:
    from auditkit_django.query.filters import EventFilter
    from auditkit_django.query.pages import page_of

    cursor = None
    for _ in range(min(5, plan.query_events // plan.query_tenants // 1000)):
        cursor = page_of(tenant, EventFilter(), limit=1000, cursor=cursor).next_cursor
    start = time.perf_counter()
    page_of(tenant, EventFilter(), limit=_PAGE, cursor=cursor)
    return time.perf_counter() - start


def _analyze() -> None:
    from django.db import connection

    with connection.cursor() as cursor:
        for table in ("event", "entry", "pending"):
            cursor.execute(f"VACUUM ANALYZE auditkit_django_{table}")
