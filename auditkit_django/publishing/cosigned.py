"""What others added to a checkpoint: the cosigned note, and where it was published."""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.note import MAX_SIGNATURES, Note, Signature, format_note, parse
from auditkit_django.models import Checkpoint, Publication


def publications(checkpoint: Checkpoint, *, using: str = DEFAULT_DB_ALIAS) -> list[Publication]:
    """Where ``checkpoint`` was published, by the names of the publishers."""
    rows = Publication.objects.using(using).filter(
        tenant=checkpoint.tenant, epoch=checkpoint.epoch, size=checkpoint.size
    )
    return list(rows.order_by("publisher"))


def cosigned_note(checkpoint: Checkpoint, *, using: str = DEFAULT_DB_ALIAS) -> str:
    """
    The note of ``checkpoint`` with the cosignatures that witnesses gave for it, each once.

    The log's own signature comes first. Lines that somebody left in the rows and that are none are passed over: a note is
    checked by whoever gets it.
    """
    note = parse(checkpoint.note)
    found: dict[tuple[str, bytes], Signature] = {(one.name, one.key_id): one for one in note.signatures}
    for row in publications(checkpoint, using=using):
        if row.kind == "cosignatures":
            for signature in _signatures(note.text, row.receipt):
                found.setdefault((signature.name, signature.key_id), signature)
    return format_note(Note(text=note.text, signatures=tuple(found.values())[:MAX_SIGNATURES]))


def _signatures(text: str, lines: str) -> tuple[Signature, ...]:
    try:
        return parse(f"{text}\n{lines}").signatures
    except MalformedError:
        return ()
