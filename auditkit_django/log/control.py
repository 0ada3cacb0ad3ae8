"""
Control events: what a log records about itself in the middle of its life, with their entry in the same transaction.

They do not wait as pending: what follows from them (another key signs) holds from their entry on, or not at all.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from django.db import DEFAULT_DB_ALIAS
from django.db.transaction import get_connection

from auditkit_django.environment import is_test_run
from auditkit_django.exceptions import AppendError, MalformedError, UnknownTenantError
from auditkit_django.log.heads import Head, extend, ready
from auditkit_django.log.rows import EventRow, pending_event
from auditkit_django.log.writing import insert_own_event
from auditkit_django.models import Entry, Log

MAX_REASON: Final = 200


def refuse_open_transaction(what: str, *, using: str = DEFAULT_DB_ALIAS) -> None:
    """
    Raise in a transaction: control events are committed when their command says so, and are signed right after.

    Raises:
        AppendError: A transaction is open, and this is no test.
    """
    if get_connection(using).in_atomic_block and not is_test_run():
        raise AppendError(f"{what}: got an open transaction, wanted none")


def check_reason(reason: str) -> None:
    """
    Refuse a ``reason``, why somebody holds, lifts or erases, that cannot be recorded.

    Raises:
        MalformedError: None, or more than 200 characters.
    """
    if not 0 < len(reason) <= MAX_REASON:
        raise MalformedError(f"reason: got {len(reason)} characters, wanted 1 to {MAX_REASON}")


def locked_log(tenant: str, *, using: str = DEFAULT_DB_ALIAS) -> Log:
    """
    The newest log of ``tenant``, its head locked to the end of the transaction, which has to be open.

    Raises:
        UnknownTenantError: There is none.
    """
    connection = get_connection(using)
    if connection.vendor == "postgresql" and not is_test_run():
        # A host may run with another default; then a head that moved while we waited for it would end the transaction.
        with connection.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
    log = Log.objects.using(using).select_for_update().filter(tenant=tenant).order_by("-epoch").first()
    if log is None:
        raise UnknownTenantError(f"tenant: got {tenant!r}, wanted one with a log")
    return log


def append_control(log: Log, event: EventRow, *, now: datetime, using: str = DEFAULT_DB_ALIAS) -> int:
    """
    Write ``event`` and its entry at the end of ``log``, which is locked; the entry's seq. ``log`` moves along.

    Raises:
        AppendError: The log takes no entries, or its head moved under the lock.
    """
    if log.state != Log.State.OPEN:
        raise AppendError(f"append: the log of tenant {log.tenant!r} is {log.state}, wanted an open one")
    old_size = log.size
    head = Head(
        tenant=log.tenant,
        epoch=log.epoch,
        origin=log.origin,
        size=old_size,
        hash=bytes(log.head_hash),
        time=log.head_time,
    )
    [entry] = extend(head, [ready(pending_event(event), is_own=True)], now=now)
    insert_own_event(get_connection(using), event)
    Entry.objects.using(using).bulk_create([Entry(**entry._asdict())])
    log.size, log.head_hash, log.head_time = head.size, head.hash, head.time
    moved = Log.objects.using(using).filter(pk=log.pk, size=old_size, state=Log.State.OPEN)
    if not moved.update(size=head.size, head_hash=head.hash, head_time=head.time):
        raise AppendError(f"append: the head of tenant {log.tenant!r} moved under its lock")
    return entry.seq
