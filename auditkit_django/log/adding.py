"""The log's own events, appended at once: in one transaction with what they tell of, under the lock of the head."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet
from django.db.transaction import get_connection

from auditkit_django.environment import is_test_run
from auditkit_django.exceptions import AppendError, UnknownTenantError
from auditkit_django.log.append import store_of
from auditkit_django.log.heads import Head, extend, ready
from auditkit_django.log.rows import EventRow, pending_event
from auditkit_django.log.writing import insert_own_event
from auditkit_django.models import Log


def refuse_open_transaction(what: str, *, using: str) -> None:
    """``AppendError`` where the caller's transaction is open: the log's head would be locked until it ends."""
    if get_connection(using).in_atomic_block and not is_test_run():
        raise AppendError(f"{what}: got an open transaction, wanted none: it would hold the log until it ends")


def locked_head(tenant: str, *, using: str) -> Head:
    """
    The head of the tenant's open log, which nobody moves before the open transaction ends; waits for who holds it.

    Raises:
        UnknownTenantError: There is no open log.
    """
    log = _open_log(Log.objects.using(using).select_for_update(), tenant)
    return Head(
        tenant=log.tenant,
        epoch=log.epoch,
        origin=log.origin,
        size=log.size,
        hash=bytes(log.head_hash),
        time=log.head_time,
    )


def open_epoch(tenant: str, *, using: str) -> int:
    """
    The epoch of the tenant's open log.

    Raises:
        UnknownTenantError: There is none.
    """
    return _open_log(Log.objects.using(using).all(), tenant).epoch


def _open_log(logs: QuerySet[Log], tenant: str) -> Log:
    log = logs.filter(tenant=tenant, state=Log.State.OPEN).order_by("-epoch").first()
    if log is None:
        raise UnknownTenantError(f"tenant: got {tenant!r}, wanted one with an open log")
    return log


def add_own(head: Head, rows: Sequence[EventRow], *, now: datetime, using: str) -> None:
    """
    Write ``rows`` and their entries at the end of the log of ``head``, which the open transaction has locked.

    Raises:
        AppendError: The head moved all the same.
    """
    connection = get_connection(using)
    store, old_size = store_of(connection), head.size
    with transaction.atomic(using=using, savepoint=False):
        for row in rows:
            insert_own_event(connection, row)
        store.insert_entries(connection, extend(head, [ready(pending_event(row)) for row in rows], now=now))
        if store.update_heads(connection, [head], [old_size]) != 1:
            raise AppendError(f"append: the head of tenant {head.tenant!r} moved while it was locked")
