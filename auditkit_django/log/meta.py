"""
The log of checkpoints: each checkpoint of any other log is an event in it, written in the same transaction.

It is a log like any other: appended, sealed, published. Whoever has its checkpoint cosigned or timestamped has it for the
logs of all tenants at once, and tells nobody their names or how busy each is. Sealing it is no event in it.

Limit: it cannot by itself prove that no second, contradicting checkpoint of the same log stands in it; whoever may read all of
it can. A tenant who needs that has a witness of their own.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.db.transaction import get_connection

from auditkit_django.conf import settings
from auditkit_django.exceptions import SealError
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import parse_checkpoint
from auditkit_django.ledger.disclosure import from_json, split
from auditkit_django.ledger.logged import LoggedProof
from auditkit_django.ledger.note import parse
from auditkit_django.log import prove as proving
from auditkit_django.log.identity import id_of_key
from auditkit_django.log.own import SEALED, sealed_event
from auditkit_django.log.waking import wake_on_commit
from auditkit_django.log.writing import write_event
from auditkit_django.models import Checkpoint, Entry, Event, Log, Publication

#: Whose log it is. No key of a customer: neither a slug, a number nor a UUID has a colon.
META_TENANT: Final = "system:checkpoints"


def record(log: Log, checkpoint: Sealed, *, note: str, now: datetime, using: str = DEFAULT_DB_ALIAS) -> None:
    """Write the event that ``log`` was sealed, where ``META_LOG`` is set; in the open transaction, with the checkpoint."""
    if not settings.META_LOG or log.tenant == META_TENANT:
        return
    event_id = _event_id(checkpoint)
    row = sealed_event(META_TENANT, checkpoint, id=event_id, log_id=str(log.id), note=note, now=now)
    # Sealed again after somebody deleted the checkpoint: the first event stands, and says whether it is the same.
    write_event(row, using=using, is_new=False, wakes=False)


def wake(*, using: str = DEFAULT_DB_ALIAS) -> None:
    """
    Have the event appended, after a log was sealed. Not by its commit: whoever appends does chores, which seal, and the log
    that was sealed is still locked then.
    """
    if settings.META_LOG:
        wake_on_commit(get_connection(using))


def prove(checkpoint: Checkpoint, *, under: Checkpoint | None = None, using: str = DEFAULT_DB_ALIAS) -> LoggedProof:
    """
    The proof that ``checkpoint`` stands in the log of checkpoints, ``under`` a checkpoint of that log (the newest, where none
    is given); ``ledger.logged.verify_logged`` checks it.

    Raises:
        SealError: It does not stand there yet, or under no checkpoint of that log; or what opens its entry is gone.
    """
    event_id = _event_id(parse_checkpoint(parse(checkpoint.note).text))
    entry = Entry.objects.using(using).filter(tenant=META_TENANT, event_id=event_id).order_by("-epoch").first()
    event = Event.objects.using(using).filter(tenant=META_TENANT, id=event_id).first()
    if entry is None or event is None:
        raise SealError(
            f"proof: the checkpoint at {checkpoint.size} is not in the log of checkpoints: not yet, or never"
        )
    metadata = split(event.disclosures).get("metadata") if event.disclosures else None
    if metadata is None:
        raise SealError("proof: what opens the entry in the log of checkpoints is gone: verify that log")
    if under is None:
        rows = Checkpoint.objects.using(using).filter(tenant=META_TENANT, epoch=entry.epoch)
        under = rows.order_by("-size").first()
    if under is None or under.epoch != entry.epoch or under.size <= entry.seq:
        raise SealError(f"proof: the log of checkpoints is not sealed beyond #{entry.seq}: try again when it is")
    return LoggedProof(
        note=checkpoint.note,
        entry=bytes(entry.body),
        disclosure=from_json(metadata),
        proof=proving.inclusion(under, entry.seq, using=using),
    )


def published_size(log: Log, *, using: str = DEFAULT_DB_ALIAS) -> int:
    """The largest size of ``log`` that stands under a published checkpoint of the log of checkpoints; 0 where none does."""
    under = Publication.objects.using(using).filter(tenant=META_TENANT).order_by("-epoch", "-size").first()
    if under is None:
        return 0
    events = Event.objects.using(using).filter(tenant=META_TENANT, action=SEALED, target_id=str(log.id))
    entries = Entry.objects.using(using).filter(tenant=META_TENANT, epoch=under.epoch, seq__lt=under.size)
    for event in events.order_by("-occurred_at").iterator():
        size = (event.disclosed().get("metadata") or {}).get("size")
        if type(size) is int and entries.filter(event_id=event.id).exists():
            return size
    return 0


def _event_id(checkpoint: Sealed) -> UUID:
    # Of the log's name and the size: one event for each checkpoint, however often it is written.
    return id_of_key(META_TENANT, f"{checkpoint.origin}\n{checkpoint.size}")
