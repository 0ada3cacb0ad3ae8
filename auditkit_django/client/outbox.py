"""
What stands between ``event()`` and the server: a store, one thread that empties it, and the end of the process.

No thread runs before the first event. A fork's child starts with an empty outbox of its own; what was taken before stays
with its parent.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from auditkit_django.client.errors import ClosedError, QueueFullError, SettingsError
from auditkit_django.client.events import EncodedEvent
from auditkit_django.client.http import Connection
from auditkit_django.client.pace import Seldom
from auditkit_django.client.queue import MemoryQueue, Store
from auditkit_django.client.sender import Counts, Sender
from auditkit_django.client.settings import Settings

logger = logging.getLogger(__name__)

#: How often an idle sender looks into the spool for what processes that are gone have left.
LOOK_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """
    Events of this process: ``queued`` wait, ``sent`` were recorded, ``repeated`` the server had already, ``refused`` it refused,
    ``dropped`` found no room. ``retries`` counts attempts that failed; ``trouble`` is why the last one did, or None.
    """

    queued: int
    sent: int
    repeated: int
    refused: int
    dropped: int
    retries: int
    trouble: str | None


class Outbox:
    """Takes encoded events, and has them sent."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(settings)
        self._is_closed = False
        self._begin()
        _living.add(self)
        atexit.register(self._at_exit)

    def _begin(self) -> None:
        """Start with nothing: in the constructor, and in a fork's child."""
        self._changed = threading.Condition(threading.RLock())
        self._store = _store_of(self._settings)
        self._counts = Counts()
        self._sender = Sender(
            self._settings, self._store, self._connection.post_events, counts=self._counts, changed=self._changed
        )
        self._thread: threading.Thread | None = None
        self._accepted_bytes = 0
        self._dropped = 0
        self._drops = Seldom()
        #: Since when the oldest event waits that was not in an attempt yet.
        self._since: float | None = None
        self._flushing = 0
        self._is_hurried = False
        self._is_stopped = False
        self._looked_at: float | None = None

    # Taking

    def put(self, events: Sequence[EncodedEvent], *, may_wait: bool = True) -> None:
        """
        Take ``events``, all or none; what a full store means is the settings' ``on_full``.

        Without ``may_wait``, ``"block"`` is ``"raise"``.

        Raises:
            QueueFullError: There is no room.
            ClosedError: The outbox was closed.
        """
        lines = [event.data for event in events]
        with self._changed:
            if self._is_closed:
                raise ClosedError("the client was closed, wanted one that is open")
            self._accepted_bytes += self._store.put(lines) or self._put_late(lines, may_wait=may_wait)
            if self._since is None:
                self._since = time.monotonic()
                self._start()
                self._changed.notify_all()
            elif self._is_batch_full():
                self._changed.notify_all()

    def _put_late(self, lines: Sequence[bytes], *, may_wait: bool) -> int:
        """What is done where there is no room: the bytes that were taken after all, 0 where ``lines`` are dropped."""
        policy = self._settings.on_full
        # The sender's own thread (on_refused) would wait for itself.
        if policy == "block" and may_wait and not self.is_own_thread():
            deadline = time.monotonic() + self._settings.block_seconds
            while (left := deadline - time.monotonic()) > 0 and not self._is_closed:
                self._changed.wait(left)
                if taken := self._store.put(lines):
                    return taken
        if policy != "drop":
            raise QueueFullError(f"there is no room: {self._store.why_full()}")
        self._dropped += len(lines)
        if self._drops.is_due():
            logger.error("%s dropped so far: %s", _counted(self._dropped), self._store.why_full())
        return 0

    def _is_batch_full(self) -> bool:
        store, settings = self._store, self._settings
        return len(store) >= settings.batch_events or store.waiting_bytes >= settings.batch_bytes

    # Sending, in a thread

    def is_own_thread(self) -> bool:
        """Whether the caller is the thread that sends."""
        return threading.current_thread() is self._thread

    def _start(self) -> None:
        if self._thread is not None:
            return
        thread = threading.Thread(target=self._run, name="auditkit-client", daemon=True)
        try:
            thread.start()
        except RuntimeError as exc:
            # The interpreter ends; what waits is told of when the outbox is closed.
            logger.warning("events are not sent: %s", exc)
            return
        self._thread = thread
        _end_with_multiprocessing(self)

    def _run(self) -> None:
        try:
            while self._await_work():
                self._turn()
        finally:
            with self._changed:
                self._store.close()
                self._changed.notify_all()
            self._connection.close()

    def _await_work(self) -> bool:
        """Wait until a batch is due, or a look into the spool; False when it is over."""
        with self._changed:
            while not self._is_stopped:
                seconds = self._seconds_until_due()
                if seconds <= 0:
                    return True
                self._changed.wait(seconds)
        return False

    def _seconds_until_due(self) -> float:
        now = time.monotonic()
        if self._is_look_due() or (self._since is not None and (self._flushing or self._is_batch_full())):
            return 0.0
        look = (self._looked_at or now) + LOOK_SECONDS - now
        return look if self._since is None else min(look, self._since + self._settings.linger_seconds - now)

    def _is_look_due(self) -> bool:
        return self._looked_at is None or time.monotonic() - self._looked_at >= LOOK_SECONDS

    def _turn(self) -> None:
        try:
            if self._is_look_due():
                self._look()
                return
            self._is_hurried = False
            seconds, is_asked = self._sender.attempt()
        except Exception:
            # Whatever it was, it must not end the thread: nothing would be sent any more, and nobody would know.
            logger.exception("an attempt to send failed in an unforeseen way, and is repeated")
            seconds, is_asked = self._settings.max_retry_seconds, False
        if seconds:
            self._pause(seconds, is_asked=is_asked)
        with self._changed:
            self._since = time.monotonic() if self._store.waiting_bytes else None

    def _look(self) -> None:
        found = self._store.adopt(self._changed)
        with self._changed:
            self._accepted_bytes += found
            if found and self._since is None:
                self._since = time.monotonic()
            self._looked_at = time.monotonic()
            self._changed.notify_all()
        if found:
            logger.info("%d bytes of events that another process left in the spool are sent", found)

    def _pause(self, seconds: float, *, is_asked: bool) -> None:
        """Wait; a flush has the next attempt made at once, but where the server asked to be left alone."""
        if self._settings.pause is not None:
            self._settings.pause(seconds)
            return
        with self._changed:
            self._changed.wait_for(lambda: self._is_stopped or (self._is_hurried and not is_asked), seconds)

    # Ending

    def flush(self, timeout: float | None) -> bool:
        """
        Wait until all that was taken before was recorded or refused; False where ``timeout`` seconds were not enough.

        What earlier processes left in the spool is part of it.
        """
        if self.is_own_thread():
            return False
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            if self._store.waiting_bytes or self._settings.spool is not None:
                self._start()
            if self._thread is None:
                return not self._store.waiting_bytes
            self._flushing += 1
            self._is_hurried = True
            self._changed.notify_all()
            try:
                return self._is_settled_by(deadline)
            finally:
                self._flushing -= 1

    def _is_settled_by(self, deadline: float | None) -> bool:
        thread, counts = self._thread, self._counts
        if not self._changed.wait_for(lambda: self._looked_at is not None or _is_over(thread), _left(deadline)):
            return False
        wanted = self._accepted_bytes
        self._changed.wait_for(lambda: counts.settled_bytes >= wanted or _is_over(thread), _left(deadline))
        return counts.settled_bytes >= wanted

    def close(self, timeout: float | None) -> bool:
        """Take no more, flush, and end the thread; whether everything was recorded or refused. What was not is logged."""
        with self._changed:
            if self._is_closed:
                return not self._store.waiting_bytes
            self._is_closed = True
            self._changed.notify_all()
        _living.discard(self)
        atexit.unregister(self._at_exit)
        deadline = None if timeout is None else time.monotonic() + timeout
        has_thread = self._thread is not None
        is_all_sent = self.flush(timeout) if has_thread or self._store.waiting_bytes else True
        with self._changed:
            left, whereabouts = len(self._store), self._store.whereabouts()
            self._is_stopped = True
            self._changed.notify_all()
            if self._thread is None:
                self._store.close()
        if self._thread is not None and not self.is_own_thread():
            # One that waits for an answer ends by itself when that comes, or with the process.
            self._thread.join(_left(deadline))
        if left:
            trouble = f" (last: {self._counts.trouble})" if self._counts.trouble else ""
            logger.warning("%s not sent before the client was closed%s: %s", _counted(left), trouble, whereabouts)
        return is_all_sent

    def _at_exit(self) -> None:
        self.close(self._settings.exit_timeout_seconds)

    @property
    def stats(self) -> Stats:
        """What happened so far."""
        with self._changed:
            counts = self._counts
            return Stats(
                queued=len(self._store),
                sent=counts.recorded,
                repeated=counts.repeated,
                refused=counts.refused,
                dropped=self._dropped,
                retries=counts.retries,
                trouble=counts.trouble,
            )

    # Forking

    def before_fork(self) -> None:
        """Nobody may be in the middle of anything: a file opened just now would stay open, and locked, in the child."""
        self._changed.acquire()

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._changed.release()

    def after_fork_in_child(self) -> None:
        """Start with nothing. The parent's files are let go of; its locks on them stay its own."""
        self._store.close()
        self._begin()


def _store_of(settings: Settings) -> Store:
    folder = settings.spool_folder
    if folder is None:
        return MemoryQueue(max_events=settings.max_events, max_bytes=settings.max_bytes)
    try:
        from auditkit_django.client.spool import Spool
    except ImportError as exc:
        raise SettingsError("spool: got one on a system without file locks (fcntl), wanted none there") from exc
    return Spool(folder, max_bytes=settings.max_spool_bytes, fsync=settings.fsync)


def _counted(number: int) -> str:
    return f"{number} event was" if number == 1 else f"{number} events were"


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _is_over(thread: threading.Thread | None) -> bool:
    return thread is None or not thread.is_alive()


def _end_with_multiprocessing(outbox: Outbox) -> None:
    """A child of multiprocessing ends without ``atexit``: it has a list of its own of what to do then."""
    util: Any = sys.modules.get("multiprocessing.util")
    process: Any = sys.modules.get("multiprocessing.process")
    if util is not None and process is not None and process.parent_process() is not None:
        util.Finalize(None, outbox._at_exit, exitpriority=10)


_living: weakref.WeakSet[Outbox] = weakref.WeakSet()


class _Held(threading.local):
    """The outboxes that this thread, which forks, holds."""

    outboxes: tuple[Outbox, ...] = ()


_held = _Held()


def _before_fork() -> None:
    # In one order, so that two threads that fork do not wait for each other.
    _held.outboxes = tuple(sorted(_living, key=id))
    for outbox in _held.outboxes:
        outbox.before_fork()


def _after_fork_in_parent() -> None:
    for outbox in _held.outboxes:
        outbox.after_fork_in_parent()
    _held.outboxes = ()


def _after_fork_in_child() -> None:
    for outbox in _held.outboxes:
        outbox.after_fork_in_child()
    _held.outboxes = ()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
