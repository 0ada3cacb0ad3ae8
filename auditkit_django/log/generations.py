"""
Generations of a log's key: which of them sign a checkpoint, by what the log says of itself.

Generation 0 signs from the start. Each :class:`KeyGeneration` stands for an entry of the log, a rotation or a revocation,
and its key signs every checkpoint that covers that entry. The first checkpoint over a rotation is signed by the key before
too; over a revocation it is not, since whoever stole the key could have signed with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.ledger.trust import TrustedKey
from auditkit_django.log.keys import Signer, verifier_key
from auditkit_django.models import Checkpoint, KeyGeneration, Log


def generations_of(log: Log, *, using: str = DEFAULT_DB_ALIAS) -> list[KeyGeneration]:
    """The generations of ``log`` after the first, oldest first; few, whatever the log's size."""
    rows = KeyGeneration.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    return list(rows.order_by("generation"))


def current(rows: Sequence[KeyGeneration], size: int) -> int:
    """The generation whose key signs a checkpoint of ``size`` entries."""
    return max((row.generation for row in rows if row.seq < size), default=0)


def signing(rows: Sequence[KeyGeneration], *, last_size: int, size: int) -> tuple[int, ...]:
    """
    The generations that sign the checkpoint of ``size`` entries after that of ``last_size``, oldest first.

    More than one where it is the first that covers a rotation; the last of them is the one in force.
    """
    found = [current(rows, last_size)]
    for row in rows:
        if last_size <= row.seq < size:
            found = [row.generation] if row.is_revocation else [*found, row.generation]
    return tuple(found)


def unconfirmed(rows: Sequence[KeyGeneration], last_size: int) -> KeyGeneration | None:
    """The newest generation, where no checkpoint covers its entry yet: ``last_size`` is that of the newest."""
    return rows[-1] if rows and rows[-1].seq >= last_size else None


def trusted_keys(log: Log, signer: Signer, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[TrustedKey]:
    """The keys of ``log`` as whoever verifies pins them, oldest first, each with the sizes that it signs for."""
    rows = generations_of(log, using=using)
    starts = [0, *(row.seq + 1 for row in rows)]
    for number, start in enumerate(starts):
        after = rows[number] if number < len(rows) else None
        end = _last_size(log, after, using=using) if after is not None else None
        yield TrustedKey(key=verifier_key(signer, log.origin, number), from_size=start, to_size=end)


def _last_size(log: Log, after: KeyGeneration, *, using: str) -> int:
    """The largest size that the key before ``after`` signs: that of the checkpoint with both signatures."""
    if after.is_revocation:
        return after.seq
    first = first_size_over(log, after.seq, using=using)
    return first if first is not None else after.seq


def first_size_over(log: Log, seq: int, *, using: str = DEFAULT_DB_ALIAS) -> int | None:
    """The size of the first checkpoint of ``log`` that covers the entry at ``seq``; None where none does."""
    rows = Checkpoint.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, size__gt=seq)
    return rows.order_by("size").values_list("size", flat=True).first()
