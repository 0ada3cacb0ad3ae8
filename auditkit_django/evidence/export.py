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
from uuid import UUID

from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from auditkit_django import actions
from auditkit_django.evidence.bundle import bundle
from auditkit_django.evidence.control_events import (
    ControlEvents,
    check_sealed,
    check_unchanged,
    control_events,
    controls_of,
    licences_of,
)
from auditkit_django.evidence.layouts import LAYOUTS, Content, blocks
from auditkit_django.evidence.listing import listing
from auditkit_django.evidence.order import Export, Order, Progress
from auditkit_django.evidence.report import render, render_pdf, require_pdf
from auditkit_django.evidence.tally import Tally
from auditkit_django.evidence.telling import facts_of
from auditkit_django.evidence.walk import Walk
from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.entry import format_time
from auditkit_django.ledger.evidence.bundle import REPORT, REPORT_PDF
from auditkit_django.ledger.evidence.form import Manifest, Proof
from auditkit_django.ledger.evidence.rows import CELLS
from auditkit_django.ledger.note import parse as parse_note
from auditkit_django.ledger.range_proof import ProvenRange
from auditkit_django.ledger.standalone import package_version
from auditkit_django.log import prove
from auditkit_django.log.checkpoints import newest_sealed
from auditkit_django.log.places import first_seq_from
from auditkit_django.models import Checkpoint, Log
from auditkit_django.recording.context import current_actor
from auditkit_django.recording.record import record


def export(order: Order, *, progress: Progress | None = None, using: str = DEFAULT_DB_ALIAS) -> Export:
    """
    The file that ``order`` asks for, of the tenant's newest log, up to its newest checkpoint; ``progress`` is told of entries.

    Raises:
        MalformedError: A note is another log's.
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
    events = control_events(order.tenant, using=using)
    check_sealed(log, checkpoint, events, using=using)
    proof = _proof(order, log, checkpoint, first, last, using=using)
    said = order.described() | {"first": first, "last": last}
    export_event = record(action="audit.log.exported", tenant=order.tenant, metadata=said, using=using)
    manifest = _manifest(order, log, checkpoint, (first, last), export_event)
    found = Export(order=order, blocks=iter(()), manifest=manifest)
    found.blocks = _made(found, log, checkpoint, manifest, proof, events, progress=progress, using=using)
    return found


def _made(
    found: Export,
    log: Log,
    checkpoint: Checkpoint,
    manifest: Manifest,
    proof: Proof,
    events: ControlEvents,
    *,
    progress: Progress | None,
    using: str,
) -> Iterator[bytes]:
    order = found.order
    controls = list(controls_of(log, checkpoint, events, using=using))
    licences = licences_of(controls, log.epoch)
    walk = Walk(order=order, manifest=manifest, licences=licences, using=using, progress=progress)
    finish = partial(check_unchanged, order.tenant, events, using=using)
    content = Content(manifest=manifest, proof=proof, controls=controls, walk=walk, finish=finish)
    if order.format != "bundle":
        yield from blocks(LAYOUTS[order.format](content))
    else:
        tally = Tally(sample=order.sample, seed=order.seed)
        walk = Walk(order=order, manifest=manifest, licences=licences, using=using, tally=tally)

        def readable(digests: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
            html = render(facts_of(log, checkpoint, manifest, walk.totals(), tally, digests, name=order.name), tally)
            yield REPORT, html.encode()
            if order.pdf:
                yield REPORT_PDF, render_pdf(html)

        yield from bundle(content, walk, readable)
    found.totals = walk.totals()
    found.events = found.totals.events


def _proof(order: Order, log: Log, checkpoint: Checkpoint, first: int, last: int, *, using: str) -> Proof:
    """Of the entries [``first``, ``last``), from the checkpoints that the receiver holds, and by the keys of before."""
    if foreign := {origin for origin in order.held().values() if origin != log.origin}:
        raise MalformedError(f"since: got a note of {', '.join(sorted(foreign))}, wanted one of {log.origin}")
    held = [size for size in order.held() if 0 < size < checkpoint.size]
    around = prove.range_(first, last, checkpoint, using=using)
    return Proof(
        range=ProvenRange(start=first, end=last, proof=around, note=checkpoint.note),
        consistency={size: prove.consistency(size, checkpoint, using=using) for size in held},
        rotations=tuple(prove.rotations(log, using=using)),
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
        software=f"auditkit-django {package_version()}",
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
