"""
Export: the events of one tenant as a file, with their proof (``ledger.evidence``) or as a listing.

Everything that can be refused is refused, and the export recorded as ``audit.log.exported``, before the first byte. Then the file
is made as it is asked for, in constant memory. What cannot be finished ends without its last document, by which a file that was
cut off is recognised.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import partial
from importlib.metadata import version
from typing import Final
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from auditkit_django import actions
from auditkit_django.evidence.bundle import bundle
from auditkit_django.evidence.layouts import LAYOUTS, Content, blocks
from auditkit_django.evidence.listing import listing
from auditkit_django.evidence.order import Export, Order, Progress
from auditkit_django.evidence.report import render, render_pdf, require_pdf
from auditkit_django.evidence.tally import Tally
from auditkit_django.evidence.telling import facts_of
from auditkit_django.evidence.walk import Walk
from auditkit_django.exceptions import SealError, VerificationError
from auditkit_django.ledger.disclosure import from_json, split
from auditkit_django.ledger.entry import format_time
from auditkit_django.ledger.entry import parse as parse_entry
from auditkit_django.ledger.errors import AuditkitError
from auditkit_django.ledger.evidence.bundle import REPORT, REPORT_PDF
from auditkit_django.ledger.evidence.form import Control, Manifest, Proof
from auditkit_django.ledger.evidence.rows import CELLS, opened
from auditkit_django.ledger.licences import ERASED, PURGED, Licences
from auditkit_django.ledger.note import parse as parse_note
from auditkit_django.ledger.range_proof import ProvenRange
from auditkit_django.ledger.strict_json import decode
from auditkit_django.log import prove
from auditkit_django.log.checkpoints import newest_sealed
from auditkit_django.log.places import first_seq_from
from auditkit_django.models import Checkpoint, Entry, Event, Log
from auditkit_django.recording.context import current_actor
from auditkit_django.recording.record import record

_CHUNK: Final = 500


def export(order: Order, *, progress: Progress | None = None, using: str = DEFAULT_DB_ALIAS) -> Export:
    """
    The file that ``order`` asks for, of the tenant's newest log, up to its newest checkpoint; ``progress`` is told of entries.

    Raises:
        ImproperlyConfigured: The library of a copy, or of a report as PDF, is not installed.
        UnknownTenantError: The tenant has no log.
        SealError: The log was never sealed, or not since values were erased or pruned.
        VerificationError: An entry is missing.
    """
    if not order.proof:
        return listing(order, using=using)
    if order.pdf:
        require_pdf()
    log, checkpoint = newest_sealed(order.tenant, using=using)
    first, last = _window(log, checkpoint, order.start, order.end, using=using)
    controls = _control_events(order.tenant, using=using)
    _check_sealed(log, checkpoint, controls, using=using)
    said = order.described() | {"first": first, "last": last}
    export_event = record(action="audit.log.exported", tenant=order.tenant, metadata=said, using=using)
    manifest = _manifest(order, log, checkpoint, (first, last), export_event)
    proven = ProvenRange(
        start=first, end=last, proof=prove.range_(first, last, checkpoint, using=using), note=checkpoint.note
    )
    found = Export(order=order, blocks=iter(()), manifest=manifest)
    found.blocks = _made(found, log, checkpoint, proven, controls, progress=progress, using=using)
    return found


def _made(
    found: Export,
    log: Log,
    checkpoint: Checkpoint,
    proven: ProvenRange,
    control_events: dict[UUID, str | None],
    *,
    progress: Progress | None,
    using: str,
) -> Iterator[bytes]:
    order, manifest = found.order, found.manifest
    assert manifest is not None
    held = [size for size in order.held() if 0 < size < checkpoint.size]
    proof = Proof(
        range=proven,
        consistency={size: prove.consistency(size, checkpoint, using=using) for size in held},
        rotations=tuple(prove.rotations(log, using=using)),
    )
    controls = list(_controls(log, checkpoint, control_events, using=using))
    licences = _licences(controls, log.epoch)
    walk = Walk(order=order, manifest=manifest, licences=licences, using=using, progress=progress)
    finish = partial(_check_unchanged, order.tenant, control_events, using=using)
    content = Content(manifest=manifest, proof=proof, controls=controls, walk=walk, finish=finish)
    if order.format == "bundle":
        tally = Tally(sample=order.sample, seed=order.seed)
        again = Walk(order=order, manifest=manifest, licences=licences, using=using, tally=tally)

        def readable(digests: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
            html = render(facts_of(log, checkpoint, manifest, again.totals(), tally, digests), tally)
            yield REPORT, html.encode()
            if order.pdf:
                yield REPORT_PDF, render_pdf(html)

        counted, made = again, bundle(content, again, readable)
    else:
        counted, made = (
            walk,
            blocks(LAYOUTS[order.format](content)),
        )
    yield from made
    found.totals = counted.totals()
    found.events = found.totals.events


def _check_unchanged(tenant: str, control_events: dict[UUID, str | None], *, using: str) -> None:
    """Refuse where values were erased or pruned meanwhile: they would be missed as if by theft."""
    if _control_events(tenant, using=using).keys() != control_events.keys():
        raise VerificationError(
            f"export: values of tenant {tenant!r} were erased or pruned while it was made: seal the log, and export it again"
        )


def _manifest(
    order: Order, log: Log, checkpoint: Checkpoint, places: tuple[int, int], export_event: UUID | None
) -> Manifest:
    actor = current_actor()
    signatures = parse_note(checkpoint.note).signatures
    return Manifest(
        format=order.format,
        origin=log.origin,
        epoch=log.epoch,
        start=places[0],
        end=places[1],
        size=checkpoint.size,
        time_from=format_time(order.start) if order.start is not None else None,
        time_to=format_time(order.end) if order.end is not None else None,
        withheld=tuple(sorted(set(order.withheld))),
        filter=order.chosen.described(),
        tenant=order.tenant,
        exported_at=format_time(timezone.now()),
        exported_by=f"{actor.type}:{actor.id}" if actor.id is not None else actor.type,
        export_event=str(export_event or ""),
        software=f"auditkit-django {version('auditkit-django')}",
        signed_by=tuple(f"{one.name}+{one.key_id.hex()}" for one in signatures),
        cells=CELLS if order.format == "csv" else None,
        actions=tuple(sorted(action.name for action in actions.all_actions())),
    )


def _window(
    log: Log, checkpoint: Checkpoint, start: datetime | None, end: datetime | None, *, using: str
) -> tuple[int, int]:
    """The entries of the window, with one more on each side where there is one."""
    first = first_seq_from(log, start, using=using) if start is not None else log.first_seq
    last = first_seq_from(log, end, using=using) if end is not None else checkpoint.size
    first, last = min(first, checkpoint.size), min(last, checkpoint.size)
    before = first - 1 if start is not None and first > log.first_seq else first
    after = last + 1 if end is not None and last < checkpoint.size else last
    return before, max(before, after)


def _control_events(tenant: str, *, using: str) -> dict[UUID, str | None]:
    """The erasures and purges of the tenant's logs: their disclosures, by id."""
    events = Event.objects.using(using).filter(tenant=tenant, action__in=(ERASED, PURGED))
    return dict(events.order_by("id").values_list("id", "disclosures"))


def _check_sealed(log: Log, checkpoint: Checkpoint, control_events: dict[UUID, str | None], *, using: str) -> None:
    """Refuse a log of which values are gone by an event that no checkpoint covers: nothing could prove that it was allowed."""
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, seq__gte=checkpoint.size)
    newest = list(control_events)[-_CHUNK:]
    if newest and entries.filter(event_id__in=newest).exists():
        raise SealError(
            f"export: values of tenant {log.tenant!r} were erased or pruned after its newest checkpoint: manage.py auditkit_seal"
            " makes one"
        )


def _controls(
    log: Log, checkpoint: Checkpoint, control_events: dict[UUID, str | None], *, using: str
) -> Iterator[Control]:
    """Erasures and purges, each with its proof, in order of seq."""
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, seq__lt=checkpoint.size)
    ids = list(control_events)
    for at in range(0, len(ids), _CHUNK):
        some = entries.filter(event_id__in=ids[at : at + _CHUNK]).order_by("seq")
        for seq, event_id, body in some.values_list("seq", "event_id", "body"):
            texts = split(control_events[event_id] or "{}")
            shown = tuple(from_json(text) for name, text in texts.items() if name == "metadata")
            proof = prove.inclusion(checkpoint, seq, using=using)
            yield Control(d=shown, entry=bytes(body).decode("ascii"), proof=proof)


def _licences(controls: list[Control], epoch: int) -> Licences:
    found = Licences()
    for control in controls:
        entry = parse_entry(control.entry.encode())
        try:
            metadata = decode(opened(control.d, entry.sd).get("metadata", "null"))
        except AuditkitError:
            # Edited in the database: it allows nothing, as verification will say.
            continue
        if isinstance(metadata, dict):
            found.take(metadata, action=entry.action, epoch=epoch, seq=entry.seq)
    return found
