"""
Halt a log that is shorter than what was signed of it: it was cut off, or its database restored from a backup.

Going on under the same name would be a fork: two histories of one log, both signed. So nothing is appended to it until
somebody decides (:mod:`recover`). Events are recorded as before and wait as pending; nothing of them is lost.

What was signed is asked of the guard: by every process before it first appends to a log, by the worker when it starts and
every five minutes, and before anything is signed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.environment import is_test_run
from auditkit_django.exceptions import SealError
from auditkit_django.log import signing
from auditkit_django.log.signing import SealGuard
from auditkit_django.models import Log

logger = logging.getLogger("auditkit_django")

#: Tenants, by database, whose logs this process has looked at before it appended.
_seen: set[tuple[str, str]] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Halted:
    """A log that takes no entries. ``signed``: how many entries the guard knows were signed, None where it knows nothing."""

    tenant: str
    origin: str
    size: int
    signed: int | None

    def __str__(self) -> str:
        signed = (
            f"{self.signed} were signed" if self.signed is not None else "it was found to be another than was signed"
        )
        return (
            f"the log of tenant {self.tenant!r} has {self.size} entries, {signed}: it was cut off, rewritten, or restored from a"
            " backup. Events are recorded and wait; they are appended after manage.py auditkit_recover"
        )


def halt_first_seen(tenants: Sequence[str], *, using: str = DEFAULT_DB_ALIAS) -> None:
    """:func:`halt_behind` for those of ``tenants`` that this process has not looked at yet."""
    fresh = [tenant for tenant in tenants if is_test_run() or (using, tenant) not in _seen]
    guard = signing.guard_or_none()
    if not fresh or guard is None:
        return
    _halt(Log.objects.using(using).filter(tenant__in=fresh, state=Log.State.OPEN), guard, using=using)
    _seen.update((using, tenant) for tenant in fresh)


def halt_behind(*, using: str = DEFAULT_DB_ALIAS) -> list[Halted]:
    """Halt every open log that is shorter than what was signed of it; those, each said in an error line."""
    guard = signing.guard_or_none()
    if guard is None or not guard.folder.is_dir():
        return []
    logs = Log.objects.using(using).filter(state=Log.State.OPEN).order_by("tenant", "epoch")
    return _halt(logs.iterator(), guard, using=using)


def halted(*, using: str = DEFAULT_DB_ALIAS) -> Iterator[Halted]:
    """The logs that are halted, and those that would be if somebody appended."""
    guard = signing.guard_or_none()
    for log in Log.objects.using(using).exclude(state=Log.State.CLOSED).order_by("tenant", "epoch").iterator():
        signed = _signed(log, guard)
        if log.state == Log.State.HALTED or (signed is not None and signed > _size_now(log, using=using)):
            yield Halted(tenant=log.tenant, origin=log.origin, size=log.size, signed=signed)


def halt(log: Log, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """Have nothing appended to ``log`` from now on."""
    Log.objects.using(using).filter(pk=log.pk, state=Log.State.OPEN).update(state=Log.State.HALTED)


def _halt(logs: Iterable[Log], guard: SealGuard, *, using: str) -> list[Halted]:
    found: list[Halted] = []
    for log in logs:
        signed = _signed(log, guard)
        # Read again: it may have grown and been sealed between our look at the row and at the guard.
        if signed is not None and signed > log.size and signed > (size := _size_now(log, using=using)):
            halt(log, using=using)
            found.append(Halted(tenant=log.tenant, origin=log.origin, size=size, signed=signed))
            logger.error("auditkit: %s", found[-1])
    return found


def _signed(log: Log, guard: SealGuard | None) -> int | None:
    try:
        last = guard.last(log.origin) if guard is not None else None
    except SealError:
        # Nothing is signed until it can be read; that somebody's events are appended does not depend on it.
        logger.exception("auditkit: what was signed of the log of tenant %s cannot be read", log.tenant)
        return None
    return last.size if last is not None else None


def _size_now(log: Log, *, using: str) -> int:
    size = Log.objects.using(using).filter(pk=log.pk).values_list("size", flat=True).first()
    return log.size if size is None else size
