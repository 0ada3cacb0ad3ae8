"""Opening a log: its row and its genesis entry at seq 0, in one transaction of their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction
from django.db.transaction import get_connection
from django.utils import timezone

from auditkit_django.conf import settings
from auditkit_django.ledger.entry import ZERO_HASH
from auditkit_django.log.heads import Head, extend, ready
from auditkit_django.log.own import opening_event
from auditkit_django.log.rows import pending_event
from auditkit_django.log.writing import insert_own_event
from auditkit_django.models import Entry, Log


def open_logs(
    tenants: Sequence[str], *, using: str = DEFAULT_DB_ALIAS, clock: Callable[[], datetime] = timezone.now
) -> None:
    """Open the first log of each of ``tenants`` that has none. Two openers at once: one wins, the other goes on."""
    for tenant in tenants:
        try:
            with transaction.atomic(using=using):
                open_log(tenant, using=using, now=clock())
        except IntegrityError:
            # Unique (tenant, epoch): another appender opened it between our look and our insert.
            if not Log.objects.using(using).filter(tenant=tenant).exists():
                raise


def open_log(
    tenant: str,
    *,
    now: datetime,
    epoch: int = 0,
    log_id: uuid.UUID | None = None,
    facts: Mapping[str, object] | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> None:
    """Open the log of ``epoch`` in the transaction that is open; ``facts`` go into the metadata of its first event."""
    log_id = log_id or uuid.uuid4()
    origin = f"{settings.ORIGIN}/t/{log_id}"
    head = Head(tenant=tenant, epoch=epoch, origin=origin, size=0, hash=ZERO_HASH, time=now)
    genesis = opening_event(tenant, log_id=str(log_id), origin=origin, now=now, facts=facts)
    [entry] = extend(head, [ready(pending_event(genesis), is_own=True)], now=now)
    Log.objects.using(using).create(
        id=log_id,
        tenant=tenant,
        epoch=epoch,
        origin=origin,
        size=head.size,
        head_hash=head.hash,
        head_time=head.time,
    )
    insert_own_event(get_connection(using), genesis)
    Entry.objects.using(using).bulk_create([Entry(**entry._asdict())])
