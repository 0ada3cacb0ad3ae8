"""
Failures and denials that survive the rollback that they caused (law 4).

Such an event is written in the caller's transaction like any other. If that transaction (or the savepoint it was
written in) rolls back, the event is written again when the context ends. Whether it rolled back is read from Django's
own list of commit callbacks: a rollback drops ours, a commit runs it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.transaction import get_connection

from auditkit_django.log.writing import is_broken, write_again
from auditkit_django.models import Event
from auditkit_django.signals import event_recorded

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper

    from auditkit_django.log.rows import EventRow

logger = logging.getLogger("auditkit_django")


class Survivor:
    """A failure or denial recorded inside an open transaction, until it is known what became of that."""

    __slots__ = ("has_committed", "is_told", "row", "test", "using")

    def __init__(self, row: EventRow, using: str, *, is_told: bool) -> None:
        self.row = row
        self.is_told = is_told
        self.using = using
        self.has_committed = False
        self.test = _test_around(using)

    def __call__(self) -> None:
        self.has_committed = True

    def is_waiting(self, connection: BaseDatabaseWrapper) -> bool:
        """Whether the transaction that holds the event is still open: neither committed nor rolled back."""
        return connection.in_atomic_block and any(callback[1] is self for callback in connection.run_on_commit)

    def has_ended_with_test(self: Survivor | Deferred, connection: BaseDatabaseWrapper) -> bool:
        """Whether it was recorded in a ``TestCase`` that is over: it must not turn up in the next test."""
        return self.test is not None and self.test not in connection.atomic_blocks


class Deferred:
    """Something still to be recorded, which the broken transaction cannot even be asked about (whose log? who?)."""

    __slots__ = ("test", "using", "write")

    def __init__(self, write: Callable[[Survivors], None], using: str) -> None:
        self.write = write
        self.using = using
        self.test = _test_around(using)

    def is_waiting(self, connection: BaseDatabaseWrapper) -> bool:
        """Never: what matters is whether the transaction takes statements again."""
        return False

    has_committed = False
    has_ended_with_test = Survivor.has_ended_with_test


class Survivors:
    """The survivors of one context."""

    def __init__(self) -> None:
        self._waiting: list[Survivor | Deferred] = []

    def watch(self, row: EventRow, using: str) -> None:
        """Remember ``row``, just written in the open transaction of ``using``."""
        survivor = Survivor(row, using, is_told=True)
        transaction.on_commit(survivor, using=using)
        self._waiting.append(survivor)

    def keep(self, row: EventRow, using: str) -> None:
        """Remember ``row``, which the broken transaction of ``using`` could not take."""
        self._waiting.append(Survivor(row, using, is_told=False))

    def defer(self, write: Callable[[Survivors], None], using: str) -> None:
        """Have ``write`` called, with whoever is to watch its event, once the transaction of ``using`` is over."""
        self._waiting.append(Deferred(write, using))

    def has_denial(self) -> bool:
        """Whether a denial waits, or something deferred, which is a failure or a denial too."""
        return any(isinstance(one, Deferred) or one.row.outcome == "denied" for one in self._waiting)

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def settle(self, outer: Survivors | None = None) -> None:
        """
        Write what was rolled back; what is still open is handed to ``outer``.

        Never raises: the exception that caused the rollback is already on its way and is the one to see.
        """
        waiting, self._waiting = self._waiting, []
        if waiting and _is_in_event_loop():
            # Their connection belongs to another thread, and this one may not wait for the database.
            (_LEFT if outer is None else outer._waiting).extend(waiting)
            return
        heir = ORPHANS if outer is None else outer
        for survivor in waiting:
            connection = get_connection(survivor.using)
            if survivor.has_committed or survivor.has_ended_with_test(connection):
                continue
            if survivor.is_waiting(connection) or is_broken(connection):
                heir._waiting.append(survivor)
                continue
            try:
                if isinstance(survivor, Deferred):
                    survivor.write(heir)
                    continue
                write_again(survivor.row, using=survivor.using)
                if not survivor.is_told:
                    tell(survivor.row)
                if connection.in_atomic_block:
                    # Only a savepoint was rolled back; the transaction around it may follow.
                    heir.watch(survivor.row, survivor.using)
            except Exception:
                what = "" if isinstance(survivor, Deferred) else f"{survivor.row.outcome} event {survivor.row.id} "
                logger.exception("auditkit: %swas lost", what or "a deferred event ")


#: What contexts of coroutines left: taken over by whichever thread settles its orphans next.
_LEFT: list[Survivor | Deferred] = []


class _Orphans(threading.local, Survivors):
    """Survivors that no context waits for, per thread as connections are."""

    def __bool__(self) -> bool:
        return bool(self._waiting or _LEFT)

    def settle(self, outer: Survivors | None = None) -> None:
        while _LEFT:
            self._waiting.append(_LEFT.pop(0))
        super().settle(outer)


def tell(row: EventRow) -> None:
    """Tell receivers of ``event_recorded`` that the event was written."""
    if event_recorded.has_listeners(Event):
        event_recorded.send(sender=Event, id=row.id, tenant=row.tenant, action=row.action, outcome=row.outcome)


def _test_around(using: str) -> object:
    """The transaction that a host's TestCase wraps around a test, if any: its rollback is no failure."""
    return next((block for block in reversed(get_connection(using).atomic_blocks) if block._from_testcase), None)


def _is_in_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


#: Settled at the next event of the thread, at the end of a request and at exit.
ORPHANS = _Orphans()
