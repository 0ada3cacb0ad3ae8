"""What ``AuditKit.event()`` costs the caller, in an app elsewhere, while events are sent in the background."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from auditkit_django.client import AuditKit
from benchmarks.measuring import median, per_round_ratio, quantile, rotated, settled, timed
from benchmarks.plan import Plan
from benchmarks.reporting import Budget, Section

NOTE = (
    "One call with actor, target, tenant, outcome and small metadata, while the client sends what came before to a server in"
    " another process on the same cores; after each block of {events} calls it is flushed, which is not timed but gives the rate"
    " of delivery. `queue.put` puts the same values, as one dict, into a `queue.Queue` that nobody empties; `dumps` also makes"
    " JSON of it. With `fsync` each event is on the disk before the call returns. Blocks in turns, median of {rounds} rounds."
)
KEY = "ak_test_" + "b" * 8 + "_" + "e" * 43 + "_000000"
PUT, DUMPS, MEMORY, SPOOL, FSYNC = "queue.put", "dumps, queue.put", "event()", "event(), spool", "event(), spool, fsync"


class Bench:
    """The ways of handing an event over, by name, and how what was handed over is delivered."""

    def __init__(self, url: str, stack: ExitStack) -> None:
        self._queue: queue.Queue[object] = queue.Queue()
        folders = [stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2)]
        self.clients = {
            MEMORY: AuditKit(KEY, url),
            SPOOL: AuditKit(KEY, url, spool=folders[0]),
            FSYNC: AuditKit(KEY, url, spool=folders[1], fsync=True),
        }
        for client in self.clients.values():
            stack.callback(client.close)
        self.calls: dict[str, Callable[[dict[str, Any]], object]] = {
            PUT: lambda fields: self._queue.put({"action": "member.invited", **fields}),
            DUMPS: lambda fields: self._queue.put(json.dumps({"action": "member.invited", **fields})),
            **{name: _calling(client) for name, client in self.clients.items()},
        }

    def block(self, name: str, size: int) -> tuple[list[float], float]:
        """Milliseconds of each of ``size`` calls, and events per second until all were delivered (0 for the queues)."""
        call, samples = self.calls[name], []
        self._queue = queue.Queue()
        settled()
        with timed() as clock:
            for number in range(size):
                fields = _fields(number)
                start = time.perf_counter_ns()
                call(fields)
                samples.append((time.perf_counter_ns() - start) / 1e6)
            client = self.clients.get(name)
            if client is not None and not client.flush(60):
                raise RuntimeError(f"{name}: not delivered within 60 s: {client.stats}")
        return samples, size / clock.seconds if client is not None else 0.0


def _calling(client: AuditKit) -> Callable[[dict[str, Any]], object]:
    return lambda fields: client.event("member.invited", **fields)


def _fields(number: int) -> dict[str, Any]:
    return {
        "actor": {"type": "user", "id": "17", "name": "Ada Lovelace", "email": "ada@example.org"},
        "resource": {"type": "invitation", "id": str(number), "name": "grace@example.org"},
        "tenant": "acme",
        "outcome": "success",
        "metadata": {"role": "admin", "number": number, "source": "settings"},
    }


def run(plan: Plan) -> Section:
    """Measure; rows per way, budgets on ``event()``."""
    with _server() as url, ExitStack() as stack:
        bench = Bench(url, stack)
        _round(bench, plan, 0)
        rounds = [_round(bench, plan, number) for number in range(1, plan.client_rounds + 1)]
        if any(client.stats.retries or client.stats.refused for client in bench.clients.values()):
            raise RuntimeError("the server did not take every event at once")
    return _section(plan, rounds)


def _round(bench: Bench, plan: Plan, number: int) -> dict[str, tuple[list[float], float]]:
    # What waits for the disk each time gets fewer calls: it is slower by orders.
    sizes = {name: plan.client_events // (20 if name == FSYNC else 1) for name in bench.calls}
    return {name: bench.block(name, sizes[name]) for name in rotated(list(bench.calls), number)}


def _section(plan: Plan, rounds: Sequence[Mapping[str, tuple[list[float], float]]]) -> Section:
    names = (PUT, DUMPS, MEMORY, SPOOL, FSYNC)
    p50, p99 = ({name: [quantile(one[name][0], q) for one in rounds] for name in names} for q in (0.5, 0.99))
    rates = {name: median(one[name][1] for one in rounds) for name in names}
    to_put, to_dumps = ({name: per_round_ratio(p50[name], p50[bare]) for name in names} for bare in (PUT, DUMPS))
    return Section(
        title="client: one event handed over, from an app elsewhere",
        note=NOTE.format(events=f"{plan.client_events:,}", rounds=plan.client_rounds),
        columns=("way", "p50 ms", "p99 ms", "p50 / queue.put", "p50 / dumps", "delivered events/s"),
        rows=[
            (
                name,
                f"{median(p50[name]):.4f}",
                f"{median(p99[name]):.4f}",
                f"{to_put[name]:.1f}",
                f"{to_dumps[name]:.2f}",
                f"{rates[name]:,.0f}" if rates[name] else "",
            )
            for name in names
        ],
        budgets=(
            Budget(name="client: event(), p50", got=median(p50[MEMORY]), wanted=0.1, unit="ms"),
            Budget(name="client: event() with a spool, p50", got=median(p50[SPOOL]), wanted=0.1, unit="ms"),
            Budget(name="client: event() / dumps and queue.put, p50", got=to_dumps[MEMORY], wanted=5.0, unit="x"),
        ),
    )


@contextmanager
def _server() -> Iterator[str]:
    command = [sys.executable, "-m", "benchmarks.client_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.communicate()
