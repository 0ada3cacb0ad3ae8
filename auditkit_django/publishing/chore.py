"""
Publishing as a chore of whoever appends: each publisher in a thread of its own, so that one that hangs holds up nobody.
"""

from __future__ import annotations

import logging
import threading
from typing import Final

from django.core.exceptions import ImproperlyConfigured
from django.db import connections

from auditkit_django.log import chores
from auditkit_django.publishing.configured import destination, names
from auditkit_django.publishing.run import publish

logger = logging.getLogger("auditkit_django")

_running: Final[dict[tuple[str, str], threading.Thread]] = {}
_lock: Final = threading.Lock()


def connect() -> None:
    """Have checkpoints published once a minute by whoever appends; called when Django starts."""
    chores.register("publish", publish_all, due=start)


def publish_all(using: str) -> bool:
    """Bring every publisher up to date, one after the other; nothing is left of it."""
    for name in names():
        _publish(name, using)
    return False


def start(using: str) -> bool:
    """Begin to bring every publisher up to date that is not at it yet, and wait for none."""
    with _lock:
        for name in names():
            thread = _running.get((name, using))
            if thread is None or not thread.is_alive():
                # A daemon: a process that ends waits for no stranger, and what was cut off is delivered again.
                thread = threading.Thread(
                    target=_publish_apart, args=(name, using), name=f"auditkit-publish-{name}", daemon=True
                )
                _running[name, using] = thread
                thread.start()
    return False


def _publish_apart(name: str, using: str) -> None:
    try:
        _publish(name, using)
    finally:
        connections[using].close()


def _publish(name: str, using: str) -> None:
    try:
        for _outcome in publish(destination(name), using=using):
            pass
    except ImproperlyConfigured as exc:
        logger.error("auditkit: nothing is published to %s: %s", name, exc)  # noqa: TRY400
    except Exception:
        logger.exception("auditkit: publishing to %s ended early; it goes on with the next run", name)
