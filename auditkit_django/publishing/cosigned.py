"""What others added to a checkpoint: where it is, the cosigned note, and the proof by way of the log of checkpoints."""

from __future__ import annotations

from base64 import b64decode
from dataclasses import replace

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import parse_checkpoint
from auditkit_django.ledger.logged import LoggedProof
from auditkit_django.ledger.note import MAX_SIGNATURES, Note, Signature, format_note, parse
from auditkit_django.ledger.tlog_proof import format_proof, parse_proof
from auditkit_django.log import meta
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

    The log's own signature comes first. What somebody left in the rows and is no note or line of one is passed over, or given
    as it is: a note is checked by whoever gets it.
    """
    try:
        note = parse(checkpoint.note)
    except MalformedError:
        return checkpoint.note
    found: dict[tuple[str, bytes], Signature] = {(one.name, one.key_id): one for one in note.signatures}
    for row in publications(checkpoint, using=using):
        if row.kind == "cosignatures":
            for signature in _signatures(note.text, row.receipt):
                found.setdefault((signature.name, signature.key_id), signature)
    return format_note(Note(text=note.text, signatures=tuple(found.values())[:MAX_SIGNATURES]))


def timestamps(checkpoint: Checkpoint, *, using: str = DEFAULT_DB_ALIAS) -> list[bytes]:
    """The timestamp responses (RFC 3161, DER) over the note of ``checkpoint``, by the names of the publishers."""
    return [b64decode(row.receipt) for row in publications(checkpoint, using=using) if row.kind == "timestamp"]


def logged_proof(checkpoint: Checkpoint, *, using: str = DEFAULT_DB_ALIAS) -> LoggedProof:
    """
    The proof that ``checkpoint`` stands in the log of checkpoints, under the newest checkpoint of that log that witnesses
    signed, with their signatures; under its newest, where none is signed yet that has it.

    Raises:
        SealError: There is no such proof (:func:`log.meta.prove`).
    """
    proof = meta.prove(checkpoint, using=using)
    parsed = parse_proof(proof.proof)
    under = _cosigned_meta(parsed.index, parse_checkpoint(parse(parsed.note).text), using=using)
    if under is None:
        return proof
    proof = meta.prove(checkpoint, under=under, using=using)
    parsed = replace(parse_proof(proof.proof), note=cosigned_note(under, using=using))
    return replace(proof, proof=format_proof(parsed))


def _cosigned_meta(seq: int, newest: Sealed, *, using: str) -> Checkpoint | None:
    signed = Publication.objects.using(using).filter(tenant=meta.META_TENANT, kind="cosignatures", size__gt=seq)
    found = signed.filter(size__lte=newest.size).order_by("-epoch", "-size").first()
    if found is None:
        return None
    rows = Checkpoint.objects.using(using).filter(tenant=found.tenant, epoch=found.epoch, size=found.size)
    return rows.first()


def _signatures(text: str, lines: str) -> tuple[Signature, ...]:
    try:
        return parse(f"{text}\n{lines}").signatures
    except MalformedError:
        return ()
