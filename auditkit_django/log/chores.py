"""
Chores: bounded work that rooms above have done by whoever appends (closing the windows of repeated reads).

This room may not know them, so they register themselves. The worker runs them once a minute and at ``--once``; in the
modes "inline" and "thread" they follow an append, at most once a minute.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.environment import is_test_run
from auditkit_django.signals import events_appended

logger = logging.getLogger("auditkit_django")

#: Does a part of its work in a transaction of its own on the database that it is given; whether some is left.
Chore = Callable[[str], bool]

SECONDS = 60.0

_chores: dict[str, Chore] = {}
_due: dict[str, Chore] = {}
_due_at: dict[str, float] = {}
_lock = threading.Lock()


def register(name: str, chore: Chore, *, due: Chore | None = None) -> None:
    """
    Have ``chore`` done from now on; the same ``name`` again replaces it.

    ``due`` is done in its place where it follows an append or the worker's pass: a chore that waits for others begins its
    work there and does not hold them up.
    """
    _chores[name] = chore
    _due[name] = due or chore
    events_appended.connect(_follow_append, dispatch_uid="auditkit_django.chores")


def run(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """Do every chore until nothing of it is left. One that fails is logged, and keeps no other from its turn."""
    for name, chore in tuple(_chores.items()):
        while _is_left(name, chore, using):
            pass


def run_due(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """
    Do one part of every chore, at most once a minute per process and database; sooner again where some is left.

    Does nothing in a test run: what a test sees, and how many queries it counts, must not depend on the clock.
    """
    if not _chores or is_test_run():
        return
    now = time.monotonic()
    with _lock:
        if now < _due_at.get(using, now):
            return
        # Set before the work: chores write events, whose appending leads here again.
        _due_at[using] = now + SECONDS
    for name, chore in tuple(_due.items()):
        if _is_left(name, chore, using):
            _due_at[using] = now


def _is_left(name: str, chore: Chore, using: str) -> bool:
    try:
        return chore(using)
    except Exception:
        logger.exception("auditkit: the chore %s failed; it is tried again with the next run", name)
        return False


def _follow_append(*, using: str, **_signal: object) -> None:
    run_due(using=using)
