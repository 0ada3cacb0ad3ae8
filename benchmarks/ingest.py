"""Events over HTTP: batches of 1,000 against single requests, with one gunicorn worker."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import databases
from benchmarks.measuring import median, per_round_ratio, repeated, timed
from benchmarks.plan import Plan
from benchmarks.reporting import Budget, Section

if TYPE_CHECKING:
    import httpx

BATCH = 1000
NOTE = (
    "Events as the client library sends them, each with an idempotency key of its own (actor, one target, metadata), go to one"
    " gunicorn worker (sync, so each request has a connection of its own) on PostgreSQL that commits to disk: {singles} requests"
    " of one event, and {batches} of {batch}. `with context`: each has address, browser and request id besides. The server"
    " appends as it does where nothing is set, in a thread. `facade` is a batch of as many by `auditlog.batch()` in this process,"
    " without HTTP, keys and appending. Median of {rounds} rounds."
)
CONTEXT = {"ip": "203.0.113.7", "user_agent": "Mozilla/5.0", "request_id": "b7c1"}


def run(plan: Plan) -> Section:
    """Measure; events per second of each way."""
    databases.use_fresh(plan.server, "bench_ingest")
    key = _key()
    with _server() as url:
        import httpx

        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
            rounds = repeated(plan.ingest_rounds, partial(_round, client, plan))
    seconds = {name: [one[name] for one in rounds] for name in rounds[0]}
    ratio = per_round_ratio(seconds["single requests"], seconds["batches"])
    rates = {name: 1 / median(found) for name, found in seconds.items()}
    return Section(
        title=f"ingest: {plan.ingest_batches} batches of {BATCH:,} events over HTTP",
        note=NOTE.format(
            singles=plan.ingest_singles, batches=plan.ingest_batches, batch=f"{BATCH:,}", rounds=plan.ingest_rounds
        ),
        columns=("way", "events/s", "µs per event"),
        rows=[(name, f"{rate:,.0f}", f"{1e6 / rate:,.0f}") for name, rate in rates.items()],
        budgets=(
            Budget(name="ingest: batches", got=rates["batches"], wanted=5000, unit="events/s", is_floor=True),
            Budget(name="ingest: x single requests", got=ratio, wanted=50, unit="x", is_floor=True),
        ),
    )


def _round(client: httpx.Client, plan: Plan, number: int) -> dict[str, float]:
    """Seconds per event."""
    found = {}
    databases.checkpoint()
    singles = [_event(at) for at in range(plan.ingest_singles)]
    with timed() as clock:
        for body in singles:
            client.post("events", content=body).raise_for_status()
    found["single requests"] = clock.seconds / plan.ingest_singles
    for name, context in (("batches", None), ("batches, with context", CONTEXT)):
        batches = [_batch(context) for _ in range(plan.ingest_batches)]
        databases.checkpoint()
        with timed() as clock:
            for body in batches:
                client.post("events", content=body).raise_for_status()
        found[name] = clock.seconds / (plan.ingest_batches * BATCH)
    found["facade"] = _facade(plan)
    return found


def _facade(plan: Plan) -> float:
    from auditkit_django import auditlog

    databases.checkpoint()
    with timed() as clock:
        for _ in range(plan.ingest_batches):
            with auditlog.context(tenant="org-1", ip="203.0.113.7"), auditlog.batch() as batch:
                for at in range(BATCH):
                    batch.event(
                        "member.invited",
                        actor=auditlog.Actor("user", str(at % 50), "Ada Lovelace"),
                        resource=auditlog.Target("invitation", str(at), "grace@example.org"),
                        metadata={"role": "admin", "seat": at},
                    )
    return clock.seconds / (plan.ingest_batches * BATCH)


def _batch(context: dict[str, object] | None) -> bytes:
    return b"[" + b",".join(_event(at, context) for at in range(BATCH)) + b"]"


def _event(number: int, context: dict[str, object] | None = None) -> bytes:
    from auditkit_django.client.events import EventFields, encode_event

    fields = EventFields(
        actor={"type": "user", "id": str(number % 50), "name": "Ada Lovelace"},
        resource={"type": "invitation", "id": str(number), "name": "grace@example.org"},
        metadata={"role": "admin"},
    )
    if context is not None:
        fields["context"] = {**context, "request_id": uuid.uuid4().hex}
    return encode_event("member.invited", fields).data


def _key() -> str:
    from auditkit_django.access.api_keys import create_key

    return create_key("benchmark", tenant="org-1", scopes=["events:write"])[1]


@contextmanager
def _server() -> Iterator[str]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    command: Sequence[str] = [
        *(sys.executable, "-m", "gunicorn", "benchmarks.ingest_app:make_application()"),
        *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--log-level", "warning"),
    ]
    process = subprocess.Popen(command, env=dict(os.environ))
    try:
        _wait(port, process)
        yield f"http://127.0.0.1:{port}/v1/"
    finally:
        process.terminate()
        process.wait(30)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
