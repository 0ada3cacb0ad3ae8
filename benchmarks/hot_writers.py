"""The writers of the hot tenant: forked processes with one connection each, that run turns together."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import TracebackType
from typing import Self

TENANT = "org-1"
WORK_SECONDS = 0.005
#: Between the order and the start of a turn: every writer has read its order by then.
_LEAD_SECONDS = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """One turn: transactions per second, the duration of each in milliseconds, and what was pending right after it."""

    rate: float
    milliseconds: list[float]
    pending: int


class Writers:
    """``count`` writer processes; in a ``with`` block."""

    def __init__(self, count: int) -> None:
        from django.db import connections

        connections.close_all()
        context = multiprocessing.get_context("fork")
        self._ends: list[Connection] = []
        self._processes: list[BaseProcess] = []
        for number in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_write, args=(theirs, number), daemon=True)
            process.start()
            self._ends.append(ours)
            self._processes.append(process)
        for end in self._ends:
            end.recv()

    def turn(self, variant: str, *, seconds: float) -> Outcome:
        """All writers run ``variant`` at the same time for ``seconds``."""
        from auditkit_django.models import Pending

        start = time.monotonic() + _LEAD_SECONDS
        for end in self._ends:
            end.send((variant, start, seconds))
        milliseconds = [sample for end in self._ends for sample in end.recv()]
        return Outcome(rate=len(milliseconds) / seconds, milliseconds=milliseconds, pending=Pending.objects.count())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for end in self._ends:
            end.send(None)
        for process in self._processes:
            process.join(10)
            if process.is_alive():
                process.terminate()


def _write(end: Connection, number: int) -> None:
    """A writer's life: open its connection, then one turn per order until the order is None."""
    for variant in VARIANTS:
        _transaction(f"warm-up {number}", _AUDITS[variant])
    end.send("ready")
    while (order := end.recv()) is not None:
        variant, start, seconds = order
        time.sleep(max(0.0, start - time.monotonic()))
        end.send(_turn(number, _AUDITS[variant], until=start + seconds))


def _turn(number: int, audit: Callable[[int], None], *, until: float) -> list[float]:
    samples = []
    while (start := time.monotonic()) < until:
        _transaction(f"customer {number}", audit)
        samples.append(1000 * (time.monotonic() - start))
    return samples


def _transaction(customer: str, audit: Callable[[int], None]) -> None:
    from django.db import transaction

    from benchmarks.host.models import Order

    with transaction.atomic():
        order = Order.objects.create(customer=customer, amount=7)
        # In the middle, as in a service that records and goes on: what it locks is held while business code runs.
        audit(order.pk)
        time.sleep(WORK_SECONDS)


def _no_audit(order: int) -> None:
    """Nothing."""


def _event(order: int) -> None:
    from auditkit_django import auditlog

    auditlog.event(
        "data.record.created", resource=f"order:{order}", tenant=TENANT, actor="user:7", metadata={"amount": 7}
    )


def _chain(order: int) -> None:
    """The textbook chain: read and lock the head, hash, insert, move the head."""
    from django.db import connection

    body = json.dumps({"action": "data.record.created", "order": order, "actor": "user:7", "metadata": {"amount": 7}})
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO host_chainhead (tenant, seq, hash) VALUES (%s, 0, %s) ON CONFLICT DO NOTHING",
            [TENANT, bytes(32)],
        )
        cursor.execute("SELECT seq, hash FROM host_chainhead WHERE tenant = %s FOR UPDATE", [TENANT])
        seq, prev = cursor.fetchone()
        digest = hashlib.sha256(bytes(prev) + body.encode()).digest()
        cursor.execute(
            "INSERT INTO host_chainentry (tenant, seq, body, hash) VALUES (%s, %s, %s, %s)", [TENANT, seq, body, digest]
        )
        cursor.execute("UPDATE host_chainhead SET seq = %s, hash = %s WHERE tenant = %s", [seq + 1, digest, TENANT])


_AUDITS: dict[str, Callable[[int], None]] = {"none": _no_audit, "event": _event, "chain": _chain}
VARIANTS = tuple(_AUDITS)
