"""
Evidence bundles (``ledger.bundle``): what an auditor verifies without Django and without us.

A bundle holds every entry of its window, in the order of the log, and the disclosures of the events that match; what is left
out is proven to exist. The window is of the times at which entries were appended, which never fall: the entry before it and
the one after it show that none in it is missing.
"""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Final

from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger import bundle as bundles
from auditkit_django.ledger.checkpoint import parse_checkpoint
from auditkit_django.ledger.disclosure import from_json, split
from auditkit_django.ledger.entry import FIELDS, format_time, parse
from auditkit_django.ledger.licences import ERASED, PURGED
from auditkit_django.ledger.note import parse as parse_note
from auditkit_django.ledger.range_proof import ProvenRange, format_range
from auditkit_django.log import prove
from auditkit_django.log.checkpoints import newest_sealed
from auditkit_django.log.places import first_seq_from
from auditkit_django.log.reading import StoredEntry, stored_entries
from auditkit_django.models import Checkpoint, Entry, Event, Log
from auditkit_django.query.filters import EventFilter
from auditkit_django.recording.context import current_actor
from auditkit_django.recording.record import record

_CHUNK: Final = 500
_VERIFY: Final = """# How to verify this bundle

With Python and the package `auditkit-django` (Django is not needed):

    python -m auditkit_django.ledger verify BUNDLE.zip --key "VERIFIER KEY"

The verifier key is one line that the operator of the log gave you earlier, by another way than this bundle. A key that comes
along with what it is to prove proves nothing. A signed note that you kept of this log is given as `--since FILE`.

The verdict is VALID, VALID_WITH_GAPS (what was not shown, or cannot be checked, is listed), INVALID or INCOMPLETE.

It proves: these entries are exactly those of the log between the first and the last place named in manifest.json, unchanged since
they were sealed, and each value shown is the one that was recorded. It does not prove that every act was recorded, or that a
clock was right.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleExport:
    """What was written: the entries [``start``, ``end``) under a checkpoint of ``size``, ``disclosed`` of them with content."""

    origin: str
    start: int
    end: int
    size: int
    disclosed: int


def export(
    tenant: str,
    file: IO[bytes],
    *,
    start: datetime | None = None,
    end: datetime | None = None,
    chosen: EventFilter | None = None,
    withheld: Iterable[str] = (),
    since: Sequence[str] = (),
    using: str = DEFAULT_DB_ALIAS,
) -> BundleExport:
    """
    Write the bundle of the tenant's newest log, up to its newest checkpoint, to ``file``, which need not be seekable.

    ``start`` (included) and ``end`` (not), both aware, are of when entries were appended. ``chosen`` narrows whose content is
    disclosed, ``withheld`` are fields that are not; ``since`` are signed notes that the receiver holds. The export records
    itself as ``audit.log.exported`` before the first byte.

    Raises:
        MalformedError: A naive time, a field that no event has, a filter with times of its own, or a note that is none.
        UnknownTenantError: The tenant has no log.
        SealError: The log was never sealed.
    """
    hidden = tuple(sorted(set(withheld)))
    chosen = chosen or EventFilter()
    if unknown := set(hidden) - set(FIELDS):
        raise MalformedError(f"withheld: got {', '.join(sorted(unknown))}, wanted some of {', '.join(FIELDS)}")
    if chosen.start is not None or chosen.end is not None:
        raise MalformedError(
            "filter: got times of its own, wanted them as start and end: a bundle is a window of the log"
        )
    for name, moment in (("start", start), ("end", end)):
        if moment is not None and moment.utcoffset() is None:
            raise MalformedError(f"{name}: got the naive {moment}, wanted a datetime with a time zone")
    log, checkpoint = newest_sealed(tenant, using=using)
    held = sorted({parse_checkpoint(parse_note(note).text).size for note in since})
    first, last = _window(log, checkpoint, start, end, using=using)
    record(
        action="audit.log.exported",
        tenant=tenant,
        metadata={
            "format": "bundle",
            "first": first,
            "last": last,
            "filter": chosen.described(),
            "withheld": list(hidden),
        },
        using=using,
    )
    with bundles.writing(file) as writer:
        counts, disclosed = _write_entries(writer, log, first, last, chosen, hidden, using=using)
        _write_control(writer, log, checkpoint, using=using)
        proof = prove.range_(first, last, checkpoint, using=using)
        writer.text(bundles.RANGE, format_range(ProvenRange(start=first, end=last, proof=proof, note=checkpoint.note)))
        writer.text(bundles.NOTE, checkpoint.note)
        for size in held:
            if 0 < size < checkpoint.size:
                lines = [b64encode(one).decode() + "\n" for one in prove.consistency(size, checkpoint, using=using)]
                writer.text(f"consistency/{size}.txt", "".join(lines))
        writer.text("VERIFY.md", _VERIFY)
        actor = current_actor()
        writer.finish(
            bundles.Manifest(
                origin=log.origin,
                epoch=log.epoch,
                start=first,
                end=last,
                size=checkpoint.size,
                time_from=format_time(start) if start is not None else None,
                time_to=format_time(end) if end is not None else None,
                withheld=hidden,
                filter=chosen.described(),
                disclosed=disclosed,
                counts=counts,
                tenant=tenant,
                exported_at=format_time(timezone.now()),
                exported_by=f"{actor.type}:{actor.id}" if actor.id is not None else actor.type,
                files={},
            )
        )
    return BundleExport(origin=log.origin, start=first, end=last, size=checkpoint.size, disclosed=disclosed)


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


def _write_entries(
    writer: bundles.BundleWriter,
    log: Log,
    first: int,
    last: int,
    chosen: EventFilter,
    withheld: tuple[str, ...],
    *,
    using: str,
) -> tuple[dict[str, int], int]:
    """Entries, and then what they disclose: two passes, since a zip is written one file after the other."""
    counts: Counter[str] = Counter()
    with writer.member(bundles.ENTRIES) as write:
        for chunk in _chunks(log, first, last, using=using):
            for stored in chunk:
                counts[parse(stored.body).action] += 1
                write(stored.body + b"\n")
    disclosed = 0
    with writer.member(bundles.DISCLOSURES) as write:
        for chunk in _chunks(log, first, last, using=using):
            matching = _matching(log.tenant, chunk, chosen, using=using)
            for stored in chunk:
                if stored.event is None or not stored.event.disclosures or not matching(stored.event_id):
                    continue
                texts = split(stored.event.disclosures)
                shown = [from_json(text) for name, text in texts.items() if name not in withheld]
                if shown:
                    write(json.dumps({"d": shown, "seq": stored.seq}, separators=(",", ":")).encode() + b"\n")
                    disclosed += 1
    return dict(counts), disclosed


def _chunks(log: Log, first: int, last: int, *, using: str) -> Iterator[list[StoredEntry]]:
    for chunk in stored_entries(log.tenant, log.epoch, start=first, using=using):
        kept = [stored for stored in chunk if stored.seq < last]
        yield kept
        if len(kept) < len(chunk):
            return


def _matching(tenant: str, chunk: Sequence[StoredEntry], chosen: EventFilter, *, using: str) -> Callable[[str], bool]:
    """Whether the event with an id is disclosed."""
    if chosen == EventFilter():
        return lambda _id: True
    ids = [stored.event_id for stored in chunk]
    found: set[str] = set()
    for at in range(0, len(ids), _CHUNK):
        rows = chosen.apply(tenant).using(using).filter(id__in=ids[at : at + _CHUNK])
        found |= {str(key) for key in rows.values_list("id", flat=True)}
    return found.__contains__


def _write_control(writer: bundles.BundleWriter, log: Log, checkpoint: Checkpoint, *, using: str) -> None:
    """Erasures and purges, each with its proof."""
    events = Event.objects.using(using).filter(tenant=log.tenant, action__in=(ERASED, PURGED))
    bodies = dict(events.order_by("id").values_list("id", "disclosures"))
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, seq__lt=checkpoint.size)
    with writer.member(bundles.CONTROL) as write:
        for at in range(0, len(bodies), _CHUNK):
            some = entries.filter(event_id__in=list(bodies)[at : at + _CHUNK]).order_by("seq")
            for seq, event_id, body in some.values_list("seq", "event_id", "body"):
                shown = [
                    from_json(text) for name, text in split(bodies[event_id] or "{}").items() if name == "metadata"
                ]
                proof = prove.inclusion(checkpoint, seq, using=using)
                line = {"d": shown, "entry": bytes(body).decode("ascii"), "proof": proof}
                write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
