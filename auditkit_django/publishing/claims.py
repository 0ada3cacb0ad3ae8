"""
Who is at it: one process at a time brings one log's checkpoints to one publisher.

A claim is a time in the ``Delivery`` row, not a lock: deliveries wait for strangers, and no transaction is held open for
that. A process that was killed leaves its claim, which ends by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q

from auditkit_django.models import Delivery, Log

#: How long a claim stands: longer than any delivery, whose timeouts are shorter.
LEASE_SECONDS = 120.0
FIRST_PAUSE_SECONDS: Final = 30.0
LONGEST_PAUSE_SECONDS: Final = 3600.0
_MAX_ERROR: Final = 500


def claim(log: Log, publisher: str, *, using: str, clock: Callable[[], datetime]) -> bool:
    """Take the delivery of ``log`` to ``publisher``; False where another process has it."""
    key: dict[str, Any] = {"tenant": log.tenant, "epoch": log.epoch, "publisher": publisher}
    Delivery.objects.using(using).get_or_create(**key)
    now = clock()
    free = Delivery.objects.using(using).filter(Q(claimed_until=None) | Q(claimed_until__lte=now), **key)
    return bool(free.update(claimed_until=now + timedelta(seconds=LEASE_SECONDS)))


def keep(log: Log, publisher: str, *, using: str, clock: Callable[[], datetime]) -> None:
    """Have the claim stand for as long again: one more delivery begins."""
    _update(log, publisher, using, claimed_until=clock() + timedelta(seconds=LEASE_SECONDS))


def done(log: Log, publisher: str, *, using: str, next_at: datetime) -> None:
    """Nothing failed; not before ``next_at`` again."""
    _update(log, publisher, using, attempts=0, last_error="", next_at=next_at)


def failed(log: Log, publisher: str, error: str, *, using: str, clock: Callable[[], datetime]) -> int:
    """A delivery failed: the next comes after a pause that grows with each; how many failed in a row."""
    row = Delivery.objects.using(using).get(tenant=log.tenant, epoch=log.epoch, publisher=publisher)
    attempts = row.attempts + 1
    pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 16), LONGEST_PAUSE_SECONDS)
    next_at = clock() + timedelta(seconds=pause)
    _update(log, publisher, using, attempts=attempts, last_error=error[:_MAX_ERROR], next_at=next_at)
    return attempts


def release(log: Log, publisher: str, *, using: str) -> None:
    """Let others have it."""
    _update(log, publisher, using, claimed_until=None)


def _update(log: Log, publisher: str, using: str, **values: object) -> None:
    rows = Delivery.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, publisher=publisher)
    rows.update(**values)
