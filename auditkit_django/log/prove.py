"""
Prove: this entry is in the log, this checkpoint extends that one, these entries are all there are between two places.

Every proof leads to a checkpoint that was sealed; none reads more than one query for each 256-fold of the log's size.
"""

from __future__ import annotations

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.exceptions import SealError
from auditkit_django.ledger.disclosure import from_json, split
from auditkit_django.ledger.proofs import RangeProof, Reader, prove_consistency, prove_inclusion, prove_range
from auditkit_django.ledger.tlog_proof import TlogProof, format_proof
from auditkit_django.ledger.trust import Rotation
from auditkit_django.log.generations import generations_of
from auditkit_django.log.reading import event_row
from auditkit_django.log.tree import reader
from auditkit_django.models import Checkpoint, Entry, Log


def inclusion(checkpoint: Checkpoint, seq: int, *, using: str = DEFAULT_DB_ALIAS) -> str:
    """
    The proof that the entry at ``seq`` is under ``checkpoint``, as C2SP tlog-proof text.

    Raises:
        SealError: The entry came after the checkpoint.
    """
    if not 0 <= seq < checkpoint.size:
        raise SealError(f"proof: got seq {seq}, wanted one below {checkpoint.size}: it is not under this checkpoint")
    hashes = prove_inclusion(seq, checkpoint.size, _reader(checkpoint, using))
    return format_proof(TlogProof(index=seq, hashes=hashes, note=checkpoint.note))


def consistency(old_size: int, checkpoint: Checkpoint, *, using: str = DEFAULT_DB_ALIAS) -> tuple[bytes, ...]:
    """
    The proof that ``checkpoint`` extends the log of ``old_size`` entries, 32 bytes each (RFC 9162, section 2.1.4).

    Raises:
        SealError: The old size is not between 1 and the checkpoint's.
    """
    if not 0 < old_size <= checkpoint.size:
        raise SealError(f"proof: got the size {old_size}, wanted 1 to {checkpoint.size}")
    return prove_consistency(old_size, checkpoint.size, _reader(checkpoint, using))


def range_(start: int, end: int, checkpoint: Checkpoint, *, using: str = DEFAULT_DB_ALIAS) -> RangeProof:
    """
    The proof that the entries [``start``, ``end``) are all there are there, under ``checkpoint``.

    Raises:
        SealError: They are not under the checkpoint.
    """
    if not 0 <= start <= end <= checkpoint.size:
        raise SealError(f"proof: got the entries {start} to {end}, wanted a part of {checkpoint.size}")
    return prove_range(start, end, checkpoint.size, _reader(checkpoint, using))


def rotations(log: Log, *, using: str = DEFAULT_DB_ALIAS) -> list[Rotation]:
    """
    The path from the log's first key to the one that signs now, for whoever pinned an older one (``ledger.trust.follow``).

    It ends before a revocation, which no path leads over, and before a rotation that no checkpoint covers yet.

    Raises:
        SealError: An entry or its event is gone.
    """
    found: list[Rotation] = []
    for row in generations_of(log, using=using):
        rows = Checkpoint.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, size__gt=row.seq)
        checkpoint = rows.order_by("size").first()
        if row.is_revocation or checkpoint is None:
            break
        entry = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, seq=row.seq).first()
        event = event_row(log.tenant, entry.event_id, using=using) if entry is not None else None
        opened = split(event.disclosures) if event is not None and event.disclosures else {}
        if entry is None or "metadata" not in opened:
            raise SealError(f"proof: the rotation at seq {row.seq} of tenant {log.tenant!r} is gone: verify the log")
        proof = inclusion(checkpoint, row.seq, using=using)
        found.append(Rotation(entry=bytes(entry.body), metadata=from_json(opened["metadata"]), proof=proof))
    return found


def _reader(checkpoint: Checkpoint, using: str) -> Reader:
    return reader(checkpoint.tenant, checkpoint.epoch, using=using)
