"""Licences, as the database has them: control events that stand in the log (``ledger.licences``)."""

from __future__ import annotations

from typing import Any

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.disclosure import split_with_values
from auditkit_django.ledger.licences import ERASED, MAX, PURGED, Licences
from auditkit_django.log.reading import any_text
from auditkit_django.models import Entry, Event

_CHUNK = 500


def licences_of(tenant: str, epoch: int, *, using: str) -> Licences:
    """
    What the logs of ``tenant`` say may be missing from that of ``epoch``. Events that are in no log, that cannot be read or
    that speak of what comes after them give none; whether those that do are what was recorded, the walk over the entries tells.
    """
    found = Licences()
    events = Event.objects.using(using).filter(tenant=tenant, action__in=(ERASED, PURGED))
    with any_text(using):
        rows = list(events.order_by("id").values_list("id", "action", "disclosures"))
    for start in range(0, len(rows), _CHUNK):
        some = rows[start : start + _CHUNK]
        ids = [row[0] for row in some]
        entries = Entry.objects.using(using).filter(tenant=tenant, epoch__gte=epoch, event_id__in=ids)
        # A log that was closed is spoken of in a later one, and all of it came before.
        seqs = {
            event_id: seq if at == epoch else MAX
            for event_id, at, seq in entries.values_list("event_id", "epoch", "seq")
        }
        for event_id, action, disclosures in some:
            seq = seqs.get(event_id)
            if type(seq) is int:
                found.take(_metadata(disclosures), action=action, epoch=epoch, seq=seq)
    return found


def _metadata(disclosures: object) -> dict[str, Any]:
    try:
        value = split_with_values(disclosures)["metadata"][1] if isinstance(disclosures, str) else None
    except (MalformedError, KeyError):
        return {}
    return value if isinstance(value, dict) else {}
