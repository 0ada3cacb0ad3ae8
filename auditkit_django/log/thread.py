"""The appender thread: one daemon thread per process and database, woken by commits."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time

from django.db import connections

from auditkit_django.log.append import append_sweep

logger = logging.getLogger("auditkit_django")

#: After this long without an event the thread gives its database connection back.
IDLE_SECONDS = 5.0
#: Pause before another look at logs that another process holds.
CONTENDED_SECONDS = 0.05
_CONTENDED_LONGEST_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0
_EXIT_SECONDS = 5.0


class Appender(threading.Thread):
    """Runs passes until nothing is pending, then sleeps until :meth:`wake`."""

    def __init__(self, alias: str) -> None:
        super().__init__(name=f"auditkit-append-{alias}", daemon=True)
        self.alias = alias
        self._awake = threading.Event()
        self._is_stopping = False

    def wake(self) -> None:
        """There may be something pending."""
        self._awake.set()

    def stop(self, timeout_seconds: float = _EXIT_SECONDS) -> None:
        """Append what is pending and end; waits at most ``timeout_seconds``."""
        self._is_stopping = True
        self._awake.set()
        self.join(timeout_seconds)

    def run(self) -> None:
        """Loop until stopped. An error is logged and tried again with growing pauses: nothing pending is ever dropped."""
        pause = CONTENDED_SECONDS
        while not self._is_stopping:
            if not self._awake.wait(IDLE_SECONDS):
                connections[self.alias].close()
                self._awake.wait()
            self._awake.clear()
            try:
                self._drain()
                pause = CONTENDED_SECONDS
            except Exception:
                logger.exception("auditkit: appending failed; the events stay pending, next try in %.1f s", pause)
                connections[self.alias].close()
                self._awake.set()
                if not self._is_stopping:
                    time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        try:
            self._drain()
        except Exception:
            logger.exception("auditkit: appending failed at exit; the events stay pending")
        finally:
            connections[self.alias].close()

    def _drain(self) -> None:
        pause = CONTENDED_SECONDS
        while (result := append_sweep(using=self.alias)).has_left:
            if result.total:
                pause = CONTENDED_SECONDS
                continue
            if self._is_stopping:
                return
            # Held by another process. Its pass may have read before our commit, so look again.
            time.sleep(pause)
            pause = min(2 * pause, _CONTENDED_LONGEST_SECONDS)


_appenders: dict[str, Appender] = {}
_lock = threading.Lock()


def wake(alias: str) -> None:
    """Wake this process's appender of database ``alias``, starting it at the first event."""
    appender = _appenders.get(alias)
    if appender is None or not appender.is_alive():
        with _lock:
            appender = _appenders.get(alias)
            if appender is None or not appender.is_alive():
                appender = _appenders[alias] = Appender(alias)
                appender.start()
    appender.wake()


def stop_all() -> None:
    """Stop every appender of this process, appending what is pending first."""
    while _appenders:
        _alias, appender = _appenders.popitem()
        appender.stop()


def _forget_after_fork() -> None:
    # Threads do not survive a fork: a pre-forking server's children start their own.
    _appenders.clear()
    _lock.release()


if hasattr(os, "register_at_fork"):
    # Held across the fork, so that no child inherits it locked by a thread that is gone.
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_forget_after_fork)
atexit.register(stop_all)
