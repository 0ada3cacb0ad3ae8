"""
Seal: make a signed checkpoint of what a log has now.

1. Read the newest checkpoint, and the entries after it, whose chain is checked again on the way: hash, link, no gap.
2. Fold their leaf hashes into the checkpoint's compact range, and note the tiles that become complete.
3. Have the checkpoint signed, by the keys that are in force at its size (:mod:`generations`); the guard, which remembers
   outside of the database what was signed last, may refuse.
4. Write tiles and checkpoint, in one transaction; with it the event in the log of checkpoints (:mod:`meta`).

Only committed entries are sealed. A crash anywhere leaves all or nothing in the database; what the guard let pass is signed
again with the same bytes when the same entries are sealed again, and a proof leads from it where more were added.
"""

from __future__ import annotations

import logging
from binascii import b2a_base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS, DatabaseError, IntegrityError, transaction
from django.db.models import F, OuterRef, Q, Subquery
from django.db.transaction import get_connection
from django.utils import timezone

from auditkit_django.conf import settings
from auditkit_django.crash import crash_point
from auditkit_django.environment import is_test_run
from auditkit_django.exceptions import GuardError, MalformedError, SealError, VerificationError
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import open_checkpoint
from auditkit_django.ledger.entry import ZERO_HASH, leaf_hash
from auditkit_django.ledger.merkle import HASH_BYTES
from auditkit_django.ledger.proofs import Reader, prove_consistency
from auditkit_django.ledger.ranges import CompactRange, Node
from auditkit_django.log import chores, keys, meta, signing
from auditkit_django.log.checkpoints import newest, sealed_at
from auditkit_django.log.generations import current, generations_of
from auditkit_django.log.generations import signing as signing_generations
from auditkit_django.log.halting import halt
from auditkit_django.log.keyring import check_new
from auditkit_django.log.keys import Signer
from auditkit_django.log.signing import SealGuard
from auditkit_django.log.tree import HEIGHT, reader
from auditkit_django.models import Checkpoint, Entry, Log, Tile
from auditkit_django.signals import log_sealed

logger = logging.getLogger("auditkit_django")

_CHUNK = 5_000


@dataclass(slots=True, kw_only=True)
class _Growth:
    """The tree as it grows from the last checkpoint, and the tiles that it completes."""

    range: CompactRange
    tiles: list[Tile] = field(default_factory=list)


def connect() -> None:
    """Have logs that are due sealed by whoever appends, looked at once a minute; called when Django starts."""
    chores.register("seal", _chore)


def _chore(using: str) -> bool:
    seal_due(using=using)
    return False


def compact_range(checkpoint: Checkpoint | None) -> CompactRange:
    """The compact range that ``checkpoint`` keeps."""
    if checkpoint is None:
        return CompactRange()
    data = bytes(checkpoint.hashes)
    return CompactRange(checkpoint.size, [data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES)])


def is_due(log: Log, last: Checkpoint | None, *, now: datetime) -> bool:
    """
    Whether ``log`` is to be sealed: enough is new, or something is and the last checkpoint is old enough. One of the future, of
    a clock that went back or of somebody's hand, keeps no log from its seal.
    """
    if last is None or log.size - last.size >= settings.SEAL_EVENTS:
        return True
    at = sealed_at(last)
    is_old = at is None or at > now or now - at >= timedelta(seconds=settings.SEAL_INTERVAL)
    return is_old and log.size > last.size


def seal(
    tenant: str,
    *,
    using: str = DEFAULT_DB_ALIAS,
    signer: Signer | None = None,
    guard: SealGuard | None = None,
    clock: Callable[[], datetime] = timezone.now,
) -> Checkpoint | None:
    """
    Seal the newest log of ``tenant``: its new checkpoint, the one that stands where nothing is new, None without a log.

    Raises:
        GuardError: The guard refused: from now on the log is halted (:mod:`halting`).
        SealError: No signer is set, the entries are not the chain that they were, or a transaction is
            open, whose rollback would leave a signature for entries that are not there.
    """
    if get_connection(using).in_atomic_block and not is_test_run():
        raise SealError("seal: got an open transaction, wanted none: what is signed cannot be rolled back")
    log = Log.objects.using(using).filter(tenant=tenant).order_by("-epoch").first()
    if log is None:
        return None
    signer = signer or keys.signer()
    if signer is None:
        raise SealError("seal: got neither KEY_FILE nor SIGNER, wanted a key: manage.py auditkit_keys init makes one")
    guard = guard or signing.guard()
    try:
        with guard.alone(log.origin):
            log.refresh_from_db(using=using)
            _check_not_behind(log, guard)
            sealed = _sealed(log, signer=signer, guard=guard, using=using, clock=clock)
    except GuardError:
        # Not what was signed: what is appended to it now would be a second history under the same name.
        halt(log, using=using)
        raise
    except (MalformedError, VerificationError, LookupError, TypeError, ValueError, OSError, DatabaseError) as exc:
        raise SealError(f"seal: the log of tenant {tenant!r} was not sealed: {type(exc).__name__}: {exc}") from exc
    meta.wake(using=using)
    return sealed


def _check_not_behind(log: Log, guard: SealGuard) -> None:
    """Also where nothing would be signed: a backup may have been restored to where a checkpoint stands."""
    signed = guard.last(log.origin)
    if signed is not None and signed.size > log.size:
        raise GuardError(
            f"guard: got {log.size} entries of {log.origin}, but {signed.size} were signed: the log was cut off, or restored from"
            " a backup: manage.py auditkit_recover"
        )


def _sealed(log: Log, *, signer: Signer, guard: SealGuard, using: str, clock: Callable[[], datetime]) -> Checkpoint:
    last = newest(log, using=using)
    if last is not None and last.size == log.size:
        return last
    growth = _grown(log, last, using=using)
    checkpoint = Sealed(origin=log.origin, size=log.size, root=growth.range.root())
    rows, signed = generations_of(log, using=using), guard.signed(log.origin)
    check_new(log, rows, since=signed.generation if signed is not None else 0, signer=signer, using=using)
    last_size = last.size if last is not None else 0
    if last is not None:
        _check_signer(last, log, signer, current(rows, last.size))
    *also, generation = signing_generations(rows, last_size=last_size, size=log.size)
    read = _reader_with(growth.tiles, log, using=using)
    note = signing.signed_note(
        checkpoint,
        signer=signer,
        guard=guard,
        prove=lambda size: prove_consistency(size, checkpoint.size, read),
        generation=generation,
        also=also,
    )
    crash_point("seal.signed")
    row = Checkpoint(
        tenant=log.tenant,
        epoch=log.epoch,
        size=log.size,
        root=checkpoint.root,
        hashes=b"".join(growth.range.hashes),
        note=note,
        sealed_at=clock(),
    )
    try:
        with transaction.atomic(using=using):
            Tile.objects.using(using).bulk_create(growth.tiles)
            crash_point("seal.tiles")
            Checkpoint.objects.using(using).bulk_create([row])
            meta.record(log, checkpoint, note=note, using=using, now=row.sealed_at)
    except IntegrityError:
        # A sealer with a guard of its own was here: what it wrote is what we would have written.
        standing = newest(log, using=using)
        if standing is None or standing.size < log.size:
            raise
        return standing
    crash_point("seal.written")
    log_sealed.send_robust(sender=Log, tenant=log.tenant, note=note)
    return row


def _check_signer(last: Checkpoint, log: Log, signer: Signer, generation: int) -> None:
    """Refuse to sign with another key than the last checkpoint has: a key file that was mixed up, which nothing would undo."""
    key = keys.verifier_key(signer, log.origin, generation)
    try:
        open_checkpoint(last.note, [key], origin=log.origin)
    except (MalformedError, VerificationError) as exc:
        raise SealError(
            f"seal: the checkpoint at {last.size} of tenant {log.tenant!r} is not signed by the key of generation {generation}"
            " that is here now: got another KEY_FILE or SIGNER, or the row was altered; see docs/keys.md"
        ) from exc


def seal_due(*, using: str = DEFAULT_DB_ALIAS, clock: Callable[[], datetime] = timezone.now) -> int:
    """Seal every log that is due; how many. A log that cannot be sealed is logged and keeps no other from its seal."""
    signer = keys.signer()
    if signer is None or (get_connection(using).in_atomic_block and not is_test_run()):
        return 0
    count = 0
    of_log = Checkpoint.objects.filter(tenant=OuterRef("tenant"), epoch=OuterRef("epoch")).order_by("-size")
    logs = Log.objects.using(using).filter(state=Log.State.OPEN).alias(sealed=Subquery(of_log.values("size")[:1]))
    for log in logs.filter(Q(sealed=None) | Q(sealed__lt=F("size"))).order_by("tenant", "epoch").iterator():
        try:
            if is_due(log, newest(log, using=using), now=clock()):
                count += seal(log.tenant, using=using, signer=signer, clock=clock) is not None
        except Exception:
            # Whatever it is, a signer that cannot be reached or a row that somebody wrote to: the other tenants go on.
            logger.exception("auditkit: the log of tenant %s was not sealed", log.tenant)
    return count


def _grown(log: Log, last: Checkpoint | None, *, using: str) -> _Growth:
    growth = _Growth(range=compact_range(last))
    if last is not None and growth.range.root() != bytes(last.root):
        raise SealError(f"seal: the checkpoint at {last.size} of tenant {log.tenant!r} was altered: verify the log")

    def closed(node: Node, value: bytes) -> None:
        level, number = node
        if level % HEIGHT == 0:
            growth.tiles.append(
                Tile(tenant=log.tenant, epoch=log.epoch, level=level // HEIGHT, number=number, hash=value)
            )

    growth.range.extend(_checked_leaves(log, growth.range.size, using=using), closed=closed)
    return growth


def _checked_leaves(log: Log, start: int, *, using: str) -> Iterator[bytes]:
    """The leaf hashes of the entries from ``start`` to the head, each computed from its bytes and linked to the one before."""
    rows = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    before = rows.filter(seq=start - 1).values_list("leaf_hash", flat=True).first() if start else ZERO_HASH
    prev, seq = bytes(before) if before is not None else b"", start
    # What stood before the first was pruned; the first names its hash, and no other entry would have the root signed.
    is_linked = start == 0 or start > log.first_seq
    while seq < log.size:
        chunk = rows.filter(seq__gte=seq, seq__lt=min(log.size, seq + _CHUNK)).order_by("seq")
        for found, data, stored in chunk.values_list("seq", "body", "leaf_hash"):
            body, link = bytes(data), b2a_base64(prev, newline=False)
            computed = leaf_hash(body)
            is_next = b'"prev":"' + link + b'"' in body or not (is_linked or seq > start)
            if found != seq or computed != bytes(stored) or not is_next:
                raise SealError(
                    f"seal: the entry at seq {seq} of tenant {log.tenant!r} is not what was appended: verify it"
                )
            yield computed
            prev, seq = computed, seq + 1
        if seq < log.size and not chunk.exists():
            raise SealError(f"seal: there is no entry at seq {seq} of tenant {log.tenant!r}: verify it")
    if prev != bytes(log.head_hash):
        raise SealError(f"seal: the head of tenant {log.tenant!r} is not its last entry: verify it")


def _reader_with(tiles: list[Tile], log: Log, *, using: str) -> Reader:
    """A reader that knows ``tiles``, which are not written yet."""
    fresh = {(tile.level * HEIGHT, tile.number): bytes(tile.hash) for tile in tiles}
    return reader(log.tenant, log.epoch, using=using, fresh=fresh)
