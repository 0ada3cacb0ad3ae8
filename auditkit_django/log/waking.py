"""Who appends after a commit, and how it is woken (``AUDITKIT["APPEND"]``)."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from django.db import transaction

from auditkit_django.conf import AppendMode, settings
from auditkit_django.environment import is_test_run

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper


def append_mode(connection: BaseDatabaseWrapper) -> AppendMode:
    """
    The mode in force: the setting, else thread on PostgreSQL and inline on SQLite.

    In a test run a thread is never started (it would outlive the test and hold its database): inline instead.
    """
    mode = settings.APPEND or ("thread" if connection.vendor == "postgresql" else "inline")
    return "inline" if mode == "thread" and is_test_run() else mode


def wake_on_commit(connection: BaseDatabaseWrapper) -> None:
    """Have what was just written appended once it is committed; at most one callback in a row per transaction."""
    mode = append_mode(connection)
    if mode == "worker":
        return
    callback = _callback(mode, connection.alias)
    waiting = connection.run_on_commit
    if waiting and waiting[-1][1] is callback and waiting[-1][0] == set(connection.savepoint_ids):
        return
    transaction.on_commit(callback, using=connection.alias, robust=True)


@lru_cache(maxsize=32)
def _callback(mode: AppendMode, alias: str) -> Callable[[], object]:
    wake = _append_inline if mode == "inline" else _wake_thread

    # Not a partial: Django names a callback that failed by its __qualname__.
    def append_after_commit() -> None:
        wake(alias)

    return append_after_commit


def _append_inline(alias: str) -> None:
    from auditkit_django.log.append import append_all

    append_all(using=alias)


def _wake_thread(alias: str) -> None:
    from auditkit_django.log.thread import wake

    wake(alias)
