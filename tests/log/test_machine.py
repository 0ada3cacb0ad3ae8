"""
The log under any order of events: hypothesis drives sessions, appenders and the clock, and a list is the model.

On PostgreSQL three sessions and a second appender are threads with connections of their own. On SQLite there is one
session, on the connection that appends: with ``BEGIN IMMEDIATE`` a second writer waits until the first is done, so
transactions do not interleave, and no pass runs while one is open.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import combinations, count
from typing import TYPE_CHECKING, TypeVar
from uuid import UUID, uuid4

import hypothesis
import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from auditkit_django import auditlog
from auditkit_django.log.append import PassResult, append_pass
from auditkit_django.models import Entry, Log, Pending
from tests.log import naive

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

T = TypeVar("T")

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
PATIENCE_SECONDS = 30
#: Under its name of Django 6.1, where there is one.
SAVEPOINT: Callable[..., str] = getattr(transaction, "savepoint_create", None) or transaction.savepoint
PICKS = st.integers(0, 5)
LIMITS = st.integers(1, 5)


@dataclass(slots=True, kw_only=True)
class Recorded:
    """An event of the model. ``recorded`` and ``committed`` number the steps of all sessions."""

    id: UUID
    tenant: str
    transaction: int
    recorded: int
    committed: int = -1


@dataclass(slots=True, kw_only=True)
class Session:
    """A connection and its open transaction: what it recorded, and how much of that at each savepoint."""

    pool: ThreadPoolExecutor | None
    atomic: transaction.Atomic | None = None
    transaction: int = -1
    events: list[Recorded] = field(default_factory=list)
    savepoints: list[tuple[str, int]] = field(default_factory=list)

    def do(self, deed: Callable[..., T], *args: object) -> T:
        return deed(*args) if self.pool is None else self.pool.submit(deed, *args).result(PATIENCE_SECONDS)

    def begin(self, number: int) -> None:
        self.atomic, self.transaction = transaction.atomic(), number
        self.do(self.atomic.__enter__)

    def end(self, exc: Exception | None = None) -> list[Recorded]:
        """Commit, or roll back because of ``exc``; what was recorded."""
        assert self.atomic is not None
        atomic, events = self.atomic, self.events
        self.atomic, self.events, self.savepoints = None, [], []
        self.do(atomic.__exit__, exc and type(exc), exc, None)
        return events

    def close(self) -> None:
        if self.atomic is not None:
            self.end(RuntimeError())
        if self.pool is not None:
            # Looked up in the thread: each has its own.
            self.do(lambda: connection.close())
            self.pool.shutdown()


@dataclass(slots=True, kw_only=True)
class HeldPass:
    """
    A pass of the second appender that waits where it first asks for the time: under the heads' locks with its events
    taken, or, where a log is still to be opened, before that. ``tenants`` had pending events when it started.
    """

    tenants: list[str]
    limit: int
    now: datetime
    expected: dict[str, int] | None = None
    has_stopped: threading.Event = field(default_factory=threading.Event)
    may_go: threading.Event = field(default_factory=threading.Event)

    def clock(self) -> datetime:
        self.has_stopped.set()
        assert self.may_go.wait(PATIENCE_SECONDS)
        return self.now

    def run(self) -> PassResult:
        try:
            return append_pass(limit=self.limit, clock=self.clock)
        finally:
            self.has_stopped.set()

    @property
    def locked(self) -> list[str]:
        return self.tenants if self.expected is not None else []


class LogMachine(RuleBasedStateMachine):
    """Two tenants of each example's own; the model is the list of their committed events."""

    def __init__(self) -> None:
        super().__init__()
        self.is_postgresql = connection.vendor == "postgresql"
        example = uuid4().hex
        self.tenants = [f"acme-{example}", f"globex-{example}"]
        pools = [ThreadPoolExecutor(1) if self.is_postgresql else None for _ in range(3 if self.is_postgresql else 1)]
        self.sessions = [Session(pool=pool) for pool in pools]
        self.appender = Session(pool=ThreadPoolExecutor(1) if self.is_postgresql else None)
        self.committed: list[Recorded] = []
        self.logged: dict[str, list[UUID]] = {tenant: [] for tenant in self.tenants}
        self.steps, self.now = count(), NOON
        self.held: HeldPass | None = None
        self.holding: Future[PassResult] | None = None

    @precondition(lambda self: self._with(is_open=False))
    @rule(pick=PICKS)
    def begin(self, pick: int) -> None:
        self._picked(pick, is_open=False).begin(next(self.steps))

    @rule(pick=PICKS, tenants=st.lists(st.integers(0, 1), min_size=1, max_size=3))
    def record(self, pick: int, tenants: list[int]) -> None:
        """In the open transaction, or each event in one of its own."""
        session = self.sessions[pick % len(self.sessions)]
        for tenant in tenants:
            name, step = self.tenants[tenant], next(self.steps)
            id = session.do(lambda name=name: auditlog.event("member.invited", tenant=name))  # type: ignore[misc]
            is_open = session.atomic is not None
            event = Recorded(id=id, tenant=name, transaction=session.transaction if is_open else step, recorded=step)
            if is_open:
                session.events.append(event)
            else:
                self._commit([event])

    @precondition(lambda self: self._with(is_open=True))
    @rule(pick=PICKS)
    def savepoint(self, pick: int) -> None:
        session = self._picked(pick, is_open=True)
        session.savepoints.append((session.do(SAVEPOINT), len(session.events)))

    @precondition(lambda self: any(session.savepoints for session in self.sessions))
    @rule(pick=PICKS, back=PICKS)
    def roll_back_to_a_savepoint(self, pick: int, back: int) -> None:
        """To any savepoint, not only the last: it stays, those after it are gone."""
        having = [session for session in self.sessions if session.savepoints]
        session = having[pick % len(having)]
        at = back % len(session.savepoints)
        savepoint, size = session.savepoints[at]
        session.do(transaction.savepoint_rollback, savepoint)
        del session.savepoints[at + 1 :], session.events[size:]

    @precondition(lambda self: self._with(is_open=True))
    @rule(pick=PICKS)
    def commit(self, pick: int) -> None:
        self._commit(self._picked(pick, is_open=True).end())

    @precondition(lambda self: self._with(is_open=True))
    @rule(pick=PICKS)
    def roll_back(self, pick: int) -> None:
        self._picked(pick, is_open=True).end(RuntimeError())

    @rule(hours=st.integers(-48, 48))
    def jump_with_the_clock(self, hours: int) -> None:
        self.now += timedelta(hours=hours)

    @precondition(lambda self: self.is_postgresql or not self._with(is_open=True))
    @rule(limit=LIMITS)
    def append(self, limit: int) -> None:
        """The appender of this connection; what the second one holds is skipped."""
        waiting = self._waiting()
        expected = self._takes(limit, [tenant for tenant in waiting if not (self.held and tenant in self.held.locked)])
        self._check_pass(append_pass(limit=limit, clock=lambda: self.now), expected, waiting)

    @precondition(lambda self: self.is_postgresql and self.held is None and self._waiting())
    @rule(limit=LIMITS)
    def start_a_second_append(self, limit: int) -> None:
        self.held = held = HeldPass(tenants=list(self._waiting()), limit=limit, now=self.now)
        if Log.objects.filter(tenant__in=held.tenants).count() == len(held.tenants):
            held.expected = self._takes(limit, held.tenants)
        assert self.appender.pool is not None
        self.holding = self.appender.pool.submit(held.run)
        assert held.has_stopped.wait(PATIENCE_SECONDS)

    @precondition(lambda self: self.held)
    @rule()
    def finish_the_second_append(self) -> None:
        assert self.held is not None
        assert self.holding is not None
        held, self.held = self.held, None
        waiting = {tenant: size for tenant, size in self._waiting().items() if tenant in held.tenants}
        held.may_go.set()
        result = self.holding.result(PATIENCE_SECONDS)
        taken = self._takes(held.limit, held.tenants) if held.expected is None else held.expected
        # What came while it held the locks is behind what it took, and none of its business.
        self._check_pass(result, taken, waiting if held.expected is None else {})

    def teardown(self) -> None:
        """What is open is rolled back; the rest is appended to the last event, and nothing is left."""
        try:
            if self.held:
                self.finish_the_second_append()
            for session in self._with(is_open=True):
                session.end(RuntimeError())
            while self._waiting():
                self.append(limit=3)
        finally:
            if self.held:
                self.held.may_go.set()
            for session in (*self.sessions, self.appender):
                session.close()
            Pending.objects.all().delete()

    def _with(self, *, is_open: bool) -> list[Session]:
        return [session for session in self.sessions if (session.atomic is not None) == is_open]

    def _picked(self, pick: int, *, is_open: bool) -> Session:
        eligible = self._with(is_open=is_open)
        return eligible[pick % len(eligible)]

    def _commit(self, events: list[Recorded]) -> None:
        step = next(self.steps)
        for event in events:
            event.committed = step
        self.committed += events

    def _waiting(self) -> dict[str, int]:
        """How many committed events of each tenant are not in its log yet, where there are any."""
        committed = Counter(event.tenant for event in self.committed)
        sizes = {tenant: committed[tenant] - len(self.logged[tenant]) for tenant in self.tenants}
        return {tenant: size for tenant, size in sizes.items() if size}

    def _takes(self, limit: int, tenants: list[str]) -> dict[str, int]:
        return {tenant: min(limit, size) for tenant, size in self._waiting().items() if tenant in tenants}

    def _check_pass(self, result: PassResult, expected: dict[str, int], waiting: dict[str, int]) -> None:
        assert result.appended == expected
        is_left = any(size > expected.get(tenant, 0) for tenant, size in waiting.items())
        assert result.has_left or not is_left, "events were seen and left, and nobody is told to come again"
        for tenant in self.tenants:
            self._check_log(tenant)

    def _check_log(self, tenant: str) -> None:
        """The guarantees of ``docs/way.md``, by their numbers there."""
        rows = list(Entry.objects.filter(tenant=tenant).order_by("seq").values_list("seq", "event_id"))
        before, logged = self.logged[tenant], [event for _seq, event in rows[1:]]
        self.logged[tenant] = logged
        events = {event.id: event for event in self.committed if event.tenant == tenant}
        pointers = list(Pending.objects.filter(tenant=tenant).values_list("event_id", flat=True))
        # G1, G2: what was committed, nothing else, each once; every seq from 0.
        assert Counter([*logged, *pointers]) == Counter(list(events))
        assert [seq for seq, _event in rows] == list(range(len(rows)))
        # G3: what once stood in the log stands there.
        assert logged[: len(before)] == before
        for one, other in combinations([events[event] for event in logged], 2):
            # G4 and G5: the one with the lower seq was not recorded after the other.
            assert one.transaction != other.transaction or one.recorded < other.recorded
            assert not other.committed < one.recorded
        # G7 and the chain. A verification leaves its verdict in the log's row and would wait for who holds it.
        if rows:
            assert not list(naive.faults(*naive.stored_rows(tenant)))
            if not (self.held and tenant in self.held.locked):
                report = auditlog.verify(tenant)
                assert (report.verdict, report.size, report.pending) == ("VALID", len(rows), len(pointers)), report


@pytest.mark.django_db(transaction=True)
def test_whatever_sessions_appenders_and_clocks_do_the_log_keeps_its_guarantees(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": "worker"}
    run_state_machine_as_test(
        LogMachine,
        settings=hypothesis.settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )
