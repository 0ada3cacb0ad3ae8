"""
Recover: end a log that is not what was signed of it any more, and open the next one, which says so.

1. What is known from outside of the database, of the guard and of a note that somebody kept: the larger one counts.
2. The log that follows from it is whole, and goes on. Else the guard remembers which log comes after it.
3. Close the old log and open the new one, whose first entry names what was signed and what was lost; one transaction.
4. Append what waits to the new one, and seal it.

Killed before the commit nothing was closed; killed after it the new log is there, and the same call again seals it. The old
log is read as before, and never written again. What waits as pending goes into the new one.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.transaction import get_connection
from django.utils import timezone

from auditkit_django.conf import settings
from auditkit_django.crash import crash_point
from auditkit_django.exceptions import MalformedError, SealError, UnknownTenantError, VerificationError
from auditkit_django.ledger.checkpoint import Checkpoint, open_checkpoint
from auditkit_django.log import keys, signing
from auditkit_django.log.append import append_all
from auditkit_django.log.control import locked_log, refuse_open_transaction
from auditkit_django.log.epochs import Reason, Recovery
from auditkit_django.log.generations import generations_of
from auditkit_django.log.keys import Signer
from auditkit_django.log.opening import open_log
from auditkit_django.log.seal import seal
from auditkit_django.log.signing import SealGuard, Signed
from auditkit_django.log.tree import leaf_hashes, range_of_tiles
from auditkit_django.models import Log, Pending

Clock = Callable[[], datetime]
#: Rotations that neither the restored database nor the guard knows of, after which a note is still recognised.
_AHEAD: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    What is to be done for ``log``. ``recovery`` None: it is what was signed, and goes on (opened again if it is halted).

    ``signed`` is what is known from outside of the database, None where nothing is; ``pending`` counts what waits.
    """

    log: Log
    signed: Signed | None
    recovery: Recovery | None
    pending: int


def plan(
    tenant: str,
    *,
    note: str | None = None,
    using: str = DEFAULT_DB_ALIAS,
    signer: Signer | None = None,
    guard: SealGuard | None = None,
) -> Plan:
    """
    Steps 1 and 2, which change nothing; ``note`` is a signed note of the log that somebody kept.

    Raises:
        SealError: The note is not of this log, or not signed by its keys; or two checkpoints of one size differ.
        UnknownTenantError: The tenant has no log.
    """
    log = Log.objects.using(using).filter(tenant=tenant).order_by("-epoch").first()
    if log is None:
        raise UnknownTenantError(f"tenant: got {tenant!r}, wanted one with a log")
    guard = guard or signing.guard_or_none()
    remembered = guard.signed(log.origin) if guard is not None else None
    signed = remembered
    if note is not None:
        kept = _kept(note, log, remembered, signer or keys.signer(), using=using)
        if remembered is None or kept.checkpoint.size > remembered.checkpoint.size:
            signed = kept
        elif kept.checkpoint.size == remembered.checkpoint.size and kept.checkpoint != remembered.checkpoint:
            raise SealError(
                "recover: the note and the guard have two roots of one size: somebody signed past the guard"
            )
    reason = _reason(log, signed.checkpoint, using=using) if signed is not None else None
    recovery = None
    if signed is not None and reason is not None:
        recovery = Recovery(
            epoch=log.epoch,
            size=log.size,
            head_hash=bytes(log.head_hash),
            signed=signed.checkpoint,
            reason=reason,
        )
    pending = Pending.objects.using(using).filter(tenant=tenant).count()
    return Plan(log=log, signed=signed, recovery=recovery, pending=pending)


def recover(
    planned: Plan,
    *,
    using: str = DEFAULT_DB_ALIAS,
    signer: Signer | None = None,
    guard: SealGuard | None = None,
    clock: Clock = timezone.now,
) -> Log:
    """
    Steps 2 to 4; the log that goes on, the new one or the old.

    Raises:
        SealError: The log is halted and nothing is known from outside of the database; it changed since it was planned for;
            or the new log could not be sealed, and is open all the same.
    """
    refuse_open_transaction("recover", using=using)
    log, guard = planned.log, guard or signing.guard_or_none()
    if planned.recovery is None:
        _reopen(planned, guard, using=using)
    else:
        _replace(planned, planned.recovery, guard, using=using, clock=clock)
    crash_point("recover.committed")
    signer = signer or keys.signer()
    append_all(using=using, may_nest=get_connection(using).in_atomic_block)
    if signer is not None:
        seal(log.tenant, using=using, signer=signer, guard=guard, clock=clock)
        crash_point("recover.sealed")
    return Log.objects.using(using).filter(tenant=log.tenant).latest("epoch")


def _reopen(planned: Plan, guard: SealGuard | None, *, using: str) -> None:
    log = planned.log
    if log.state != Log.State.HALTED:
        return
    if planned.signed is None:
        raise SealError(
            f"recover: the log of tenant {log.tenant!r} is halted and nothing is known of what was signed: give a note"
        )
    if guard is not None and planned.signed.successor is not None:
        with guard.alone(log.origin):
            guard.end(planned.signed, successor=None)
    Log.objects.using(using).filter(pk=log.pk, state=Log.State.HALTED).update(state=Log.State.OPEN)


def _replace(planned: Plan, recovery: Recovery, guard: SealGuard | None, *, using: str, clock: Clock) -> None:
    assert planned.signed is not None
    old, log_id = planned.log, uuid.uuid4()
    origin = f"{settings.ORIGIN}/t/{log_id}"
    if guard is not None:
        # First, so that no log comes after another that the guard does not know of; again with every new try.
        with guard.alone(old.origin):
            guard.end(planned.signed, successor=origin)
    crash_point("recover.remembered")
    with transaction.atomic(using=using):
        log = locked_log(old.tenant, using=using)
        if (log.pk, log.size, bytes(log.head_hash)) != (old.pk, old.size, bytes(old.head_hash)):
            raise SealError(f"recover: the log of tenant {old.tenant!r} changed meanwhile: run it again")
        Log.objects.using(using).filter(pk=log.pk).update(state=Log.State.CLOSED)
        open_log(
            old.tenant,
            epoch=old.epoch + 1,
            log_id=log_id,
            facts=recovery.as_metadata(),
            using=using,
            # Entries of one tenant do not go back in time because its log was replaced.
            now=max(clock(), log.head_time),
        )
        crash_point("recover.opened")


def _kept(note: str, log: Log, remembered: Signed | None, signer: Signer | None, *, using: str) -> Signed:
    """The checkpoint in ``note``, and the newest generation that signed it. The database may be older than the rotation."""
    if signer is None:
        raise SealError("recover: got a note and neither KEY_FILE nor SIGNER, wanted the key to check it with")
    known = len(generations_of(log, using=using))
    newest = _AHEAD + max(known, remembered.generation if remembered is not None else 0)
    found: VerificationError | None = None
    for generation in range(newest, -1, -1):
        try:
            key = keys.verifier_key(signer, log.origin, generation)
            return Signed(checkpoint=open_checkpoint(note, [key], origin=log.origin)[0], generation=generation)
        except MalformedError as exc:
            raise SealError(f"recover: the note is none: {exc}") from exc
        except VerificationError as exc:
            found = exc
    raise SealError(f"recover: the note is not one of the log {log.origin}: {found}") from found


def _reason(log: Log, signed: Checkpoint, *, using: str) -> Reason | None:
    """Why ``log`` cannot go on from what was signed; None where it can."""
    if signed.size > log.size:
        return "restored"
    if signed.size < log.first_seq:
        # Its beginning was pruned below a checkpoint that was signed after this one.
        return None
    try:
        tree = range_of_tiles(log.tenant, log.epoch, log.first_seq, using=using)
    except MalformedError:
        return "rewritten"
    tree.extend(leaf_hashes(log.tenant, log.epoch, log.first_seq, signed.size, using=using))
    return None if tree.size == signed.size and tree.root() == signed.root else "rewritten"
