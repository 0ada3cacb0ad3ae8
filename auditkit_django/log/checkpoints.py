"""The newest checkpoint of a log, and when it was sealed, whatever somebody left in that column."""

from __future__ import annotations

from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, DataError

from auditkit_django.exceptions import SealError, UnknownTenantError
from auditkit_django.models import Checkpoint, Log


def newest(log: Log, *, using: str = DEFAULT_DB_ALIAS) -> Checkpoint | None:
    """
    The newest checkpoint of ``log``; None where it was never sealed. When that was, :func:`sealed_at` says.
    """
    rows = Checkpoint.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch).order_by("-size")
    try:
        return rows.first()
    except (DataError, ValueError):
        # PostgreSQL holds times, infinity among them, that Python has no value for. Nothing is decided by it but when to seal.
        return rows.defer("sealed_at").first()


def newest_sealed(tenant: str, *, using: str = DEFAULT_DB_ALIAS) -> tuple[Log, Checkpoint]:
    """
    The tenant's newest log with its newest checkpoint.

    Raises:
        UnknownTenantError: The tenant has no log.
        SealError: The log was never sealed.
    """
    log = Log.objects.using(using).filter(tenant=tenant).order_by("-epoch").first()
    if log is None:
        raise UnknownTenantError(f"tenant: got {tenant!r}, wanted one with a log")
    checkpoint = newest(log, using=using)
    if checkpoint is None:
        raise SealError(f"export: the log of tenant {tenant!r} has no checkpoint: manage.py auditkit_seal makes one")
    return log, checkpoint


def sealed_at(checkpoint: Checkpoint) -> datetime | None:
    """When ``checkpoint`` was sealed (UTC); None where the column holds no such time."""
    if "sealed_at" in checkpoint.get_deferred_fields():
        return None
    moment = checkpoint.sealed_at
    return moment if isinstance(moment, datetime) else None
