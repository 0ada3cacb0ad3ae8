"""
Control events: the erasures and purges of a tenant's log, which explain what is missing from an export, each with its proof.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final
from uuid import UUID

from auditkit_django.exceptions import AuditkitError, SealError, VerificationError
from auditkit_django.ledger.disclosure import from_json, split
from auditkit_django.ledger.entry import parse
from auditkit_django.ledger.evidence.form import Control
from auditkit_django.ledger.evidence.rows import opened
from auditkit_django.ledger.licences import ERASED, PURGED, Licences
from auditkit_django.ledger.strict_json import decode
from auditkit_django.log import prove
from auditkit_django.models import Checkpoint, Entry, Event, Log

_CHUNK: Final = 500

#: The disclosures of the events, by id.
ControlEvents = Mapping[UUID, str | None]


def control_events(tenant: str, *, using: str) -> ControlEvents:
    """The erasures and purges of the tenant's logs."""
    found = Event.objects.using(using).filter(tenant=tenant, action__in=(ERASED, PURGED))
    return dict(found.order_by("id").values_list("id", "disclosures"))


def check_sealed(log: Log, checkpoint: Checkpoint, events: ControlEvents, *, using: str) -> None:
    """
    Refuse a log of which values are gone by an event that no checkpoint covers: nothing could prove that it was allowed.

    Raises:
        SealError: There is one.
    """
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, seq__gte=checkpoint.size)
    newest = list(events)[-_CHUNK:]
    if newest and entries.filter(event_id__in=newest).exists():
        raise SealError(
            f"export: values of tenant {log.tenant!r} were erased or pruned after its newest checkpoint: manage.py auditkit_seal"
            " makes one"
        )


def controls_of(log: Log, checkpoint: Checkpoint, events: ControlEvents, *, using: str) -> Iterator[Control]:
    """Erasures and purges, each with its proof, in order of seq."""
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, seq__lt=checkpoint.size)
    ids = list(events)
    for at in range(0, len(ids), _CHUNK):
        some = entries.filter(event_id__in=ids[at : at + _CHUNK]).order_by("seq")
        for seq, event_id, body in some.values_list("seq", "event_id", "body"):
            texts = split(events[event_id] or "{}")
            shown = tuple(from_json(text) for name, text in texts.items() if name == "metadata")
            proof = prove.inclusion(checkpoint, seq, using=using)
            yield Control(d=shown, entry=bytes(body).decode("ascii"), proof=proof)


def licences_of(controls: Sequence[Control], epoch: int) -> Licences:
    """What the controls let be missing from the log of ``epoch``."""
    found = Licences()
    for control in controls:
        entry = parse(control.entry.encode())
        try:
            metadata = decode(opened(control.d, entry.sd).get("metadata", "null"))
        except AuditkitError:
            # Edited in the database: it allows nothing, as verification will say.
            continue
        if isinstance(metadata, dict):
            found.take(metadata, action=entry.action, epoch=epoch, seq=entry.seq)
    return found


def check_unchanged(tenant: str, events: ControlEvents, *, using: str) -> None:
    """
    Refuse where values were erased or pruned since ``events`` were read: they would be missed as if by theft.

    Raises:
        VerificationError: They were.
    """
    if control_events(tenant, using=using).keys() != events.keys():
        raise VerificationError(
            f"export: values of tenant {tenant!r} were erased or pruned while it was made: seal the log, and export it again"
        )
