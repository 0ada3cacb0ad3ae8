"""
Rotate: have the next generation of its key sign for a log; revoke: have the key before say nothing any more.

1. Append the control event, its entry and the :class:`KeyGeneration` row, in one transaction under the log's lock.
2. Seal: the first checkpoint over a rotation carries both signatures, over a revocation only the new one.

Killed before the commit there was nothing; killed after it, the next seal of anybody's completes it, and so does the same
call again: a rotation that no checkpoint covers yet is sealed and not done twice.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils import timezone

from auditkit_django.crash import crash_point
from auditkit_django.exceptions import SealError
from auditkit_django.ledger.note import format_vkey
from auditkit_django.log import keys
from auditkit_django.log.checkpoints import newest
from auditkit_django.log.control import append_control, locked_log, refuse_open_transaction
from auditkit_django.log.generations import generations_of, unconfirmed
from auditkit_django.log.keys import Signer
from auditkit_django.log.own import revocation_event, rotation_event
from auditkit_django.log.rows import EventRow
from auditkit_django.log.seal import seal
from auditkit_django.log.signing import SealGuard
from auditkit_django.models import KeyGeneration, Log

Clock = Callable[[], datetime]
#: Makes the control event for a log, from the number of the next generation and the verifier keys before and after.
_MakeEvent = Callable[[Log, int, str, str], EventRow]


def rotate(
    tenant: str,
    *,
    to: int | None = None,
    using: str = DEFAULT_DB_ALIAS,
    signer: Signer | None = None,
    guard: SealGuard | None = None,
    clock: Clock = timezone.now,
) -> int:
    """
    Have the next key sign for the newest log of ``tenant``, and seal it; the generation in force.

    ``to`` is the generation to be reached, which makes a second call harmless; None: one on from where the log is, unless
    it is there and no checkpoint says so yet.

    Raises:
        SealError: There is no signer, or the log could not be sealed: then it is rotated, and the next seal carries both
            signatures.
        UnknownTenantError: The tenant has no log.
    """

    def event(log: Log, generation: int, old: str, new: str) -> EventRow:
        return rotation_event(log.tenant, origin=log.origin, generation=generation, old=old, new=new, now=clock())

    signer = _signer(signer)
    row = _begun(tenant, event, to=to, is_revocation=False, using=using, signer=signer)
    crash_point("rotate.appended")
    seal(tenant, using=using, signer=signer, guard=guard, clock=clock)
    crash_point("rotate.sealed")
    return row.generation if row is not None else 0


def revoke(
    tenant: str,
    *,
    reason: str,
    since: datetime | None = None,
    using: str = DEFAULT_DB_ALIAS,
    signer: Signer | None = None,
    guard: SealGuard | None = None,
    clock: Clock = timezone.now,
) -> int:
    """
    Have the key of ``tenant``'s newest log say nothing any more, and the next one sign; the generation in force.

    ``since``: from when on it may have been in other hands; None: from now on. It is for those who read the log: what counts
    is which checkpoints were published, or are held by somebody, from before.

    Raises:
        SealError: There is no signer, or the log could not be sealed: then the key is revoked, and the next seal is by the
            next one.
        UnknownTenantError: The tenant has no log.
    """

    def event(log: Log, generation: int, old: str, new: str) -> EventRow:
        now = clock()
        return revocation_event(
            log.tenant,
            origin=log.origin,
            generation=generation,
            old=old,
            new=new,
            reason=reason,
            since=since or now,
            now=now,
        )

    signer = _signer(signer)
    row = _begun(tenant, event, to=None, is_revocation=True, using=using, signer=signer)
    crash_point("revoke.appended")
    seal(tenant, using=using, signer=signer, guard=guard, clock=clock)
    crash_point("revoke.sealed")
    return row.generation if row is not None else 0


def _begun(
    tenant: str, event: _MakeEvent, *, to: int | None, is_revocation: bool, using: str, signer: Signer
) -> KeyGeneration | None:
    """Step 1: the newest generation, made here unless it stands and waits for its checkpoint, or ``to`` is reached."""
    refuse_open_transaction("revoke" if is_revocation else "rotate", using=using)
    with transaction.atomic(using=using):
        log = locked_log(tenant, using=using)
        rows, last = generations_of(log, using=using), newest(log, using=using)
        standing = unconfirmed(rows, last.size if last is not None else 0)
        before = rows[-1].generation if rows else 0
        if standing is not None and standing.is_revocation == is_revocation:
            return standing
        if to is not None and before >= to:
            return rows[-1] if rows else None
        number = before + 1
        old, new = (format_vkey(keys.verifier_key(signer, log.origin, one)) for one in (before, number))
        if old == new:
            raise SealError(
                f"rotate: the signer has the same key for generations {before} and {number} of {log.origin}"
            )
        made = event(log, number, old, new)
        seq = append_control(log, made, now=made.recorded_at, using=using)
        row = KeyGeneration(
            tenant=tenant,
            epoch=log.epoch,
            generation=number,
            seq=seq,
            verifier_key=new,
            is_revocation=is_revocation,
        )
        KeyGeneration.objects.using(using).bulk_create([row])
        crash_point("revoke.written" if is_revocation else "rotate.written")
    return row


def _signer(signer: Signer | None) -> Signer:
    found = signer or keys.signer()
    if found is None:
        raise SealError("rotate: got neither KEY_FILE nor SIGNER, wanted a key: manage.py auditkit_keys init makes one")
    return found
