"""
Checkpoints verified: what was signed is what the entries say, from the first seal to the last.

1. Each stored checkpoint is a signed note of this log, by its key, and its columns say what the note says.
2. The tree over the leaf hashes has, at each checkpoint's size, the root that was signed, and the compact range that is
   stored; every tile is the node that it stands for.
3. No checkpoint is larger than the log, and the guard, outside of the database, has not signed more than there is.
4. A note that somebody kept elsewhere is of this log, and the log begins with what it says.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.exceptions import MalformedError, SealError, VerificationError
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import open_checkpoint, parse_checkpoint
from auditkit_django.ledger.note import VerifierKey, parse
from auditkit_django.ledger.ranges import CompactRange, Node
from auditkit_django.log import keys, signing
from auditkit_django.log.findings import Finding
from auditkit_django.log.signing import SealGuard
from auditkit_django.log.tree import HEIGHT, leaf_hashes
from auditkit_django.models import Checkpoint, Log, Tile


@dataclass(frozen=True, slots=True, kw_only=True)
class Seals:
    """What the checkpoints of a log are checked with. ``keys`` empty: signatures cannot be checked, which is a gap."""

    keys: Sequence[VerifierKey] = ()
    guard: SealGuard | None = None
    since: str | None = None


def check(log: Log, seals: Seals, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[Finding]:
    """Findings of all four steps; ``check.unsigned`` among them is a gap and no fault."""
    rows = list(Checkpoint.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch).order_by("size"))
    if rows and not seals.keys:
        yield Finding(code="check.unsigned", message="there is no key to check the checkpoints' signatures with")
    for row in rows:
        yield from _check_note(row, log, seals)
    held = list(_held(log, seals))
    yield from (finding for finding in held if isinstance(finding, Finding))
    kept = [one for one in held if isinstance(one, Sealed)]
    yield from _check_tree(log, rows, kept, using=using)


def _check_note(row: Checkpoint, log: Log, seals: Seals) -> Iterator[Finding]:
    """Step 1."""
    try:
        note = parse(row.note)
        said = open_checkpoint(note, seals.keys, origin=log.origin)[0] if seals.keys else parse_checkpoint(note.text)
    except MalformedError as exc:
        yield _finding("checkpoint.malformed", row, str(exc))
        return
    except VerificationError as exc:
        yield _finding("checkpoint.signature", row, str(exc))
        return
    if (said.origin, said.size, said.root) != (log.origin, row.size, bytes(row.root)):
        yield _finding("checkpoint.column", row, "its columns are not what its note says")
    if row.size > log.size:
        yield _finding("checkpoint.beyond", row, f"it was signed for {row.size} entries, the log has {log.size}")


def _held(log: Log, seals: Seals) -> Iterator[Sealed | Finding]:
    """Steps 3 and 4: what is known from outside of the database."""
    if seals.guard is not None:
        try:
            last = seals.guard.last(log.origin)
        except SealError as exc:
            yield Finding(code="guard.unreadable", message=str(exc))
            last = None
        if last is not None:
            yield last
    if seals.since is not None:
        try:
            yield open_checkpoint(seals.since, seals.keys, origin=log.origin)[0]
        except (MalformedError, VerificationError) as exc:
            yield Finding(code="since.signature", message=str(exc))


def _check_tree(log: Log, rows: Sequence[Checkpoint], kept: Sequence[Sealed], *, using: str) -> Iterator[Finding]:
    """Steps 2 to 4: one pass over the leaf hashes, stopping at every size that somebody signed."""
    sizes = sorted({row.size for row in rows} | {one.size for one in kept})
    by_size = {row.size: row for row in rows}
    tiles = {
        (tile.level * HEIGHT, tile.number): bytes(tile.hash)
        for tile in Tile.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch).iterator()
    }
    tree, wrong = CompactRange(), set[Node]()

    def closed(node: Node, value: bytes) -> None:
        if node in tiles and tiles.pop(node) != value:
            wrong.add(node)

    for size in sizes:
        tree.extend(leaf_hashes(log.tenant, log.epoch, tree.size, min(size, log.size), using=using), closed=closed)
        if tree.size == size and size in by_size:
            yield from _check_root(by_size[size], tree)
        for one in kept:
            if one.size == size:
                yield from _check_kept(one, tree)
    for level, number in sorted(wrong | tiles.keys()):
        yield Finding(code="tile.hash", message=f"tile {level // HEIGHT}/{number} is not the node that it stands for")


def _check_root(row: Checkpoint, tree: CompactRange) -> Iterator[Finding]:
    if tree.root() != bytes(row.root):
        yield _finding("checkpoint.root", row, "the entries have another root than the one that was signed")
    elif b"".join(tree.hashes) != bytes(row.hashes):
        yield _finding("checkpoint.column", row, "its compact range is not that of the entries")


def _check_kept(kept: Sealed, tree: CompactRange) -> Iterator[Finding]:
    if tree.size < kept.size:
        message = f"{kept.size} entries were signed, the log has {tree.size}: it was cut off, or restored from a backup"
        yield Finding(code="since.beyond", message=message, seq=tree.size)
    elif tree.root() != kept.root:
        message = f"the first {kept.size} entries have another root than the one that was signed: history was rewritten"
        yield Finding(code="since.root", message=message, seq=kept.size - 1)


def _finding(code: str, row: Checkpoint, message: str) -> Finding:
    return Finding(code=code, message=f"checkpoint at {row.size}: {message}", seq=max(0, row.size - 1))


def seals_of(log: Log, *, since: str | None = None) -> Seals:
    """What the project's settings give: the key that signs today, and the guard's memory."""
    try:
        signer = keys.signer()
        known = [signer.verifier_key(log.origin, 0)] if signer is not None else []
        guard = signing.guard() if known else None
    except SealError:
        # The key is not readable here: what it would prove is a gap, and said.
        known, guard = [], None
    return Seals(keys=known, guard=guard, since=since)
