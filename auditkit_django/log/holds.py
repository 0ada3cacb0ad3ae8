"""Legal holds: while one stands nothing of a tenant's is erased or pruned."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils import timezone

from auditkit_django.drafts import SYSTEM, Actor, Target
from auditkit_django.exceptions import RetentionError
from auditkit_django.log.control import append_control, check_reason, locked_log, refuse_open_transaction
from auditkit_django.log.own import RETENTION_CHANGED, own_event
from auditkit_django.models import LegalHold


def place_hold(
    tenant: str,
    *,
    reason: str,
    actor: Actor = SYSTEM,
    using: str = DEFAULT_DB_ALIAS,
    clock: Callable[[], datetime] = timezone.now,
) -> LegalHold:
    """
    Place a hold on ``tenant``, recorded as ``audit.retention.changed``.

    Raises:
        MalformedError: No reason, or more than 200 characters.
        RetentionError: One stands already.
        UnknownTenantError: The tenant has no log.
    """
    with _recorded(tenant, "legal hold placed", reason, actor=actor, using=using, clock=clock) as now:
        if (standing := hold_of(tenant, using=using)) is not None:
            raise RetentionError(f"hold: got a second one for tenant {tenant!r}, wanted none: {standing.reason}")
        return LegalHold.objects.using(using).create(tenant=tenant, reason=reason, placed_at=now)


def lift_hold(
    tenant: str,
    *,
    reason: str,
    actor: Actor = SYSTEM,
    using: str = DEFAULT_DB_ALIAS,
    clock: Callable[[], datetime] = timezone.now,
) -> None:
    """
    Lift the hold on ``tenant``, recorded as ``audit.retention.changed``.

    Raises:
        MalformedError: No reason, or more than 200 characters.
        RetentionError: None stands.
    """
    with _recorded(tenant, "legal hold lifted", reason, actor=actor, using=using, clock=clock):
        count, _by_model = LegalHold.objects.using(using).filter(tenant=tenant).delete()
        if not count:
            raise RetentionError(f"hold: got none of tenant {tenant!r}, wanted one to lift")


@contextmanager
def _recorded(
    tenant: str, what: str, reason: str, *, actor: Actor, using: str, clock: Callable[[], datetime]
) -> Iterator[datetime]:
    """A transaction that ends with the event that tells of it; nothing where the block raises."""
    check_reason(reason)
    refuse_open_transaction("hold", using=using)
    with transaction.atomic(using=using):
        log, now = locked_log(tenant, using=using), clock()
        yield now
        event = own_event(
            tenant,
            RETENTION_CHANGED,
            target=Target("tenant", tenant),
            metadata={"retention": what, "reason": reason},
            now=now,
            actor=actor,
        )
        append_control(log, event, now=now, using=using)


def hold_of(tenant: str, *, using: str = DEFAULT_DB_ALIAS) -> LegalHold | None:
    """The hold on ``tenant``, or None."""
    return LegalHold.objects.using(using).filter(tenant=tenant).first()


def refuse_held(tenant: str, *, using: str) -> None:
    """``RetentionError`` where a hold stands."""
    hold = hold_of(tenant, using=using)
    if hold is not None:
        raise RetentionError(f"tenant {tenant!r} is under a legal hold since {hold.placed_at:%Y-%m-%d}: {hold.reason}")
