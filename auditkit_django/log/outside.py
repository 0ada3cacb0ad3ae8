"""What stands outside of a log: events without an entry, pointers that wait for nothing, entries where no walk comes by."""

from __future__ import annotations

from collections.abc import Iterator

from django.db.models import Exists, OuterRef, Q
from django.db.transaction import get_connection

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.disclosure import split_with_values
from auditkit_django.log.findings import Finding, uuid_of
from auditkit_django.log.reading import MAX_SEQ, StoredEntry, StoredEvent, event_row
from auditkit_django.log.reconcile import unlogged_events
from auditkit_django.log.rows import row_digest
from auditkit_django.log.walk import MAX_FINDINGS
from auditkit_django.models import Entry, Event, Log, Pending


def check_outside(log: Log, *, using: str) -> Iterator[Finding]:
    """Step 6, of the newest log: an event is in one of them."""
    if Log.objects.using(using).filter(tenant=log.tenant, epoch__gt=log.epoch).exists():
        return
    for event_id in unlogged_events(log.tenant, using=using, limit=MAX_FINDINGS):
        yield Finding(
            code="event.unlogged", message="the event is neither in the log nor waiting for it", event_id=event_id
        )
    yield from _entries_of_no_log(log, using=using)
    pointers = Pending.objects.using(using).filter(tenant=log.tenant)
    same = {"tenant": OuterRef("tenant")}
    is_logged = Exists(Entry.objects.using(using).filter(**same, event_id=OuterRef("event_id")))
    has_event = Exists(Event.objects.using(using).filter(**same, id=OuterRef("event_id")))
    for pointer in pointers.filter(is_logged)[:MAX_FINDINGS]:
        yield Finding(code="pending.logged", message="the event waits and has an entry", event_id=pointer.event_id)
    for pointer in pointers.filter(~has_event)[:MAX_FINDINGS]:
        yield Finding(code="pending.orphan", message="a pointer waits for no event", event_id=pointer.event_id)


def _entries_of_no_log(log: Log, *, using: str) -> Iterator[Finding]:
    """Entries that no walk from seq 0 meets, which would pass their events off as logged."""
    epochs = list(Log.objects.using(using).filter(tenant=log.tenant).order_by("epoch").values_list("epoch", flat=True))
    outside = (
        Q(epoch__lt=epochs[0]) | Q(epoch__gt=epochs[-1]) | Q(seq__lt=0) | Q(epoch=log.epoch, seq__lt=log.first_seq)
    )
    if get_connection(using).vendor == "sqlite":
        outside |= Q(seq__gt=MAX_SEQ)  # Text stands behind all numbers.
    found = Entry.objects.using(using).filter(outside, tenant=log.tenant).values_list("epoch", "seq")
    for epoch, seq in found[:MAX_FINDINGS]:
        where = f"epoch {epoch}, seq {seq}: no log reaches there"
        yield Finding(code="entry.outside", message=where, seq=seq if type(seq) is int and seq >= 0 else None)


def check_quarantined(stored: StoredEntry, event: StoredEvent, *, using: str) -> Iterator[Finding]:
    """Step 6, for one quarantine entry: the poison event is still the one whose digest it carries."""
    poison = event_row(event.tenant, event.target_id, using=using)
    try:
        metadata = split_with_values(event.disclosures or "{}")["metadata"][1]
    except (MalformedError, KeyError):
        return
    wanted = metadata.get("sha256") if isinstance(metadata, dict) else None
    if poison is None or row_digest(poison) != wanted:
        yield Finding(
            code="quarantine.mismatch",
            message=f"quarantined event {event.target_id} is gone or changed",
            seq=stored.seq,
            event_id=uuid_of(stored.event_id),
        )
