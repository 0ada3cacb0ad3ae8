"""What ``auditlog.event()`` adds to a request, inside its open transaction."""

from __future__ import annotations

import io
import time
import uuid
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

from benchmarks import databases
from benchmarks.measuring import median, per_round_ratio, quantile, rotated, settled
from benchmarks.plan import Plan
from benchmarks.reporting import Budget, Section

NOTE = (
    "One call in an open transaction, PostgreSQL over a unix socket. Each call is the first event of a request of its own"
    " (user, tenant, address, user agent, path, session; one target; small metadata); `further` is one more of that"
    " request. `bare` is `psycopg.Cursor.execute` of a one-row INSERT (bigint identity key, text, int) on the same connection,"
    " `none` the empty call. Blocks of {block} calls in turns, {calls} calls of each per round, median of {rounds} rounds."
)
BARE = "INSERT INTO host_narrow (text, number) VALUES (%s, %s)"


class Bench:
    """The user, the organization and the calls that are compared."""

    def __init__(self) -> None:
        from django.contrib.auth.models import User

        from benchmarks.host.models import Organization

        self.user = User.objects.create_user("ada", "ada@example.org", first_name="Ada", last_name="Lovelace")
        self.organization = Organization.objects.create(name="Acme")
        self.calls: dict[str, Callable[[], object]] = {
            "none": lambda: None,
            "bare": self._bare,
            "event": self._event,
            "further": self._event,
        }

    def block(self, name: str, size: int) -> list[float]:
        """Milliseconds of each of ``size`` calls, in one transaction; its commit is not timed."""
        from django.db import transaction

        call, samples = self.calls[name], []
        settled()
        with transaction.atomic():
            for number in range(size):
                with self._request(number):
                    if name == "further":
                        call()
                    start = time.perf_counter_ns()
                    call()
                    samples.append((time.perf_counter_ns() - start) / 1e6)
        return samples

    def _request(self, number: int) -> Any:
        from django.core.handlers.wsgi import WSGIRequest

        from auditkit_django import auditlog
        from benchmarks.realistic import BROWSERS

        request = WSGIRequest(
            {
                "REQUEST_METHOD": "POST",
                "PATH_INFO": "/settings/members/invite/",
                "SERVER_NAME": "app.example.org",
                "SERVER_PORT": "443",
                "REMOTE_ADDR": f"203.0.113.{number % 250}",
                "HTTP_USER_AGENT": BROWSERS[number % len(BROWSERS)],
                "HTTP_X_REQUEST_ID": uuid.uuid4().hex,
                "wsgi.input": io.BytesIO(),
            }
        )
        request.user = self.user
        request.organization = self.organization  # type: ignore[attr-defined]
        request.session = SimpleNamespace(session_key=uuid.uuid4().hex)  # type: ignore[assignment]
        return auditlog.context(request=request)

    def _event(self) -> None:
        from auditkit_django import auditlog

        auditlog.event(
            "member.invited", resource=self.organization, metadata={"role": "admin", "email": "grace@example.org"}
        )

    def _bare(self) -> None:
        from django.db import connection
        from psycopg import Cursor

        Cursor(connection.connection).execute(BARE, ("member.invited", 7))


def run(plan: Plan) -> Section:
    """Measure; rows per call, budgets on what ``event`` adds."""
    databases.use_fresh(plan.server, "bench_record")
    bench = Bench()
    for name in bench.calls:
        bench.block(name, plan.record_block)
    rounds = [_round(bench, plan, number) for number in range(plan.record_rounds)]
    return _section(plan, list(bench.calls), rounds)


def _section(plan: Plan, calls: Sequence[str], rounds: Sequence[dict[str, list[float]]]) -> Section:
    p50, p99 = ({name: _over(rounds, name, share) for name in calls} for share in (0.50, 0.99))
    added, added_p99 = (median(a - b for a, b in zip(one["event"], p50["none"], strict=True)) for one in (p50, p99))
    ratios = {name: per_round_ratio(p50[name], p50["bare"]) for name in calls}
    per_round = plan.record_block * plan.record_blocks
    return Section(
        title="record: one event in an open transaction",
        note=NOTE.format(block=plan.record_block, calls=per_round, rounds=plan.record_rounds),
        columns=("call", "p50 ms", "p99 ms", "p50 / bare"),
        rows=[(name, f"{median(p50[name]):.4f}", f"{median(p99[name]):.4f}", f"{ratios[name]:.2f}") for name in calls],
        budgets=(
            Budget(name="record: added time, p50", got=added, wanted=0.25, unit="ms"),
            Budget(name="record: added time, p99", got=added_p99, wanted=0.5, unit="ms"),
            Budget(name="record: event / bare INSERT, p50", got=ratios["event"], wanted=3.0, unit="x"),
        ),
    )


def _round(bench: Bench, plan: Plan, number: int) -> dict[str, list[float]]:
    samples: dict[str, list[float]] = {name: [] for name in bench.calls}
    for turn in range(plan.record_blocks):
        for name in rotated(list(bench.calls), number + turn):
            samples[name] += bench.block(name, plan.record_block)
    return samples


def _over(rounds: Sequence[dict[str, list[float]]], name: str, share: float) -> list[float]:
    return [quantile(samples[name], share) for samples in rounds]
