"""What the report of a bundle is told: the facts of an export, gathered when its events were counted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Final

from auditkit_django.evidence.facts import Facts
from auditkit_django.evidence.tally import Tally
from auditkit_django.exceptions import AuditkitError
from auditkit_django.ledger.checkpoint import parse_checkpoint
from auditkit_django.ledger.evidence.form import Manifest, Totals
from auditkit_django.ledger.note import parse as parse_note
from auditkit_django.log.checkpoints import sealed_at
from auditkit_django.log.keys import signer, verifier_key
from auditkit_django.models import Checkpoint, Log

_GENERATIONS: Final = 100


def facts_of(
    log: Log,
    checkpoint: Checkpoint,
    manifest: Manifest,
    totals: Totals,
    tally: Tally,
    files: Mapping[str, str],
    *,
    name: str,
) -> Facts:
    """The facts of one export; ``files`` are those that were written so far, with their digests."""
    return Facts(
        tenant=manifest.tenant,
        tenant_label=name or manifest.tenant,
        origin=manifest.origin,
        epoch=manifest.epoch,
        start=manifest.start,
        end=manifest.end,
        size=manifest.size,
        time_from=manifest.time_from,
        time_to=manifest.time_to,
        first_time=tally.first_time,
        last_time=tally.last_time,
        filter=manifest.filter,
        withheld=manifest.withheld,
        events=totals.events,
        left_out=totals.left_out,
        withheld_values=totals.withheld,
        erased_values=totals.erased,
        pruned_events=totals.purged,
        gaps=(),
        checkpoint_note=checkpoint.note,
        checkpoint_root=parse_checkpoint(parse_note(checkpoint.note).text).root.hex(),
        sealed_at=sealed_at(checkpoint),
        key_fingerprints=tuple(_keys(checkpoint)),
        publications=(),
        exported_at=manifest.exported_at,
        exported_by=manifest.exported_by,
        export_event=manifest.export_event,
        software=manifest.software,
        files=files,
        verdict=log.verdict or None,
        verified_at=log.verified_at if isinstance(log.verified_at, datetime) else None,
        verified_size=log.verified_size if isinstance(log.verified_size, int) else None,
    )


def _keys(checkpoint: Checkpoint) -> Iterator[tuple[str, str, str]]:
    """Each key that signed the checkpoint: its name, its id, and the SHA-256 of its public half where we know it."""
    for signature in parse_note(checkpoint.note).signatures:
        public = _public_key(signature.name, signature.key_id)
        yield signature.name, signature.key_id.hex(), sha256(public).hexdigest() if public is not None else ""


def _public_key(name: str, key_id: bytes) -> bytes | None:
    """Of one generation of the log's keys. The process that exports need not have the signer's."""
    try:
        found = signer()
        keys = (verifier_key(found, name, number) for number in range(_GENERATIONS)) if found is not None else ()
        return next((key.public for key in keys if key.key_id == key_id), None)
    except (AuditkitError, OSError, LookupError):
        return None
