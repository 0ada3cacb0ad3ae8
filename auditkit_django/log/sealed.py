"""
Checkpoints verified: what was signed is what the entries say, from the first seal to the last.

1. Each stored checkpoint is a signed note of this log, by the key in force at its size (:mod:`keyring`), and its columns say
   what the note says.
2. The tree over the leaf hashes has, at each checkpoint's size, the root that was signed, and the compact range that is
   stored; every tile is the node that it stands for.
3. No checkpoint is larger than the log, and the guard, outside of the database, has not signed more than there is, nor with
   the key of a later generation.
4. A note that somebody kept elsewhere is of this log, and the log begins with what it says.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.exceptions import MalformedError, SealError, VerificationError
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import parse_checkpoint
from auditkit_django.ledger.note import VerifierKey, parse
from auditkit_django.ledger.ranges import CompactRange, Node
from auditkit_django.log import keys, signing
from auditkit_django.log.epochs import known_recovery, lost
from auditkit_django.log.findings import Finding
from auditkit_django.log.keyring import Keyring, keyring_of
from auditkit_django.log.keys import Signer
from auditkit_django.log.reading import MAX_SEQ, any_text
from auditkit_django.log.signing import SealGuard, Signed
from auditkit_django.log.tree import HEIGHT, is_stored_hash, leaf_hashes
from auditkit_django.models import Checkpoint, Log, Tile

#: Checkpoints of one query, some 1.4 KB each: a log has as many as minutes in which something happened.
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Seals:
    """
    What the checkpoints of a log are checked with.

    ``keys`` are pinned; without any, ``signer`` gives the key of each generation. With neither signatures cannot be checked,
    which is a gap; ``problem`` says why, where a key was to be there. ``since`` are notes that somebody kept elsewhere.
    """

    keys: Sequence[VerifierKey] = ()
    signer: Signer | None = None
    guard: SealGuard | None = None
    since: Sequence[str] = ()
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A checkpoint's columns, which are what anybody may have left there."""

    size: int
    root: bytes
    hashes: bytes
    note: str


def check(log: Log, seals: Seals, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[Finding]:
    """
    Findings of all four steps; those of them that are in ``findings.GAPS`` are no fault.

    Checkpoints are read in pages, twice: their notes, and then their roots while the tree grows past them.
    """
    # Logs grow and are sealed while we look. What was sealed is asked first and the size of the log after it, so that whatever
    # was sealed is there; the tiles in between, so that each belongs to a checkpoint that is read.
    until = _newest_size(log, using=using)
    tiles = list(_tiles(log, using=using))
    remembered = list(_remembered(log, seals))
    ring = keyring_of(log, pinned=seals.keys, signer=seals.signer, problem=seals.problem, using=using)
    size = _size_now(log, using=using)
    has_rows = False
    for row in _rows(log, until=until, using=using):
        has_rows = True
        yield from [row] if isinstance(row, Finding) else _check_note(row, log, ring, size=size)
    yield from _gaps(remembered, ring, seals, has_rows=has_rows)
    yield from (one for one in (*tiles, *remembered, *ring.found) if isinstance(one, Finding))
    signed = [one for one in remembered if isinstance(one, Signed)]
    yield from (*ring.gaps(), *_check_generation(signed, ring, size=size))
    held = list(_held(seals, ring))
    yield from (one for one in held if isinstance(one, Finding))
    kept = [*(one.checkpoint for one in signed), *(one for one in held if isinstance(one, Sealed))]
    recovery = known_recovery(log, seals.guard, using=using)
    if recovery is not None and any(size < one.size <= recovery.signed.size for one in kept):
        yield lost(recovery)
        kept = [one for one in kept if not size < one.size <= recovery.signed.size]
    found = dict(one for one in tiles if not isinstance(one, Finding))
    rows = (row for row in _rows(log, until=until, using=using) if isinstance(row, _Row))
    yield from _Tree(log=log, size=size, tiles=found, tiles_until=until, using=using).check(rows, kept)


def _newest_size(log: Log, *, using: str) -> int:
    # Bounded, so that SQLite leaves out what is no number, which would come first.
    rows = Checkpoint.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, size__lte=MAX_SEQ)
    size = rows.order_by("-size").values_list("size", flat=True).first()
    return int(size) if isinstance(size, int | float) else 0


def _rows(log: Log, *, until: int, using: str) -> Iterator[_Row | Finding]:
    """The checkpoints in order of size, those beyond ``until`` left out: they were sealed while we look."""
    for size, root, hashes, note in _pages(log, using=using):
        if type(size) is int and size > until:
            continue
        if type(size) is int and size >= 0 and is_stored_hash(root) and _are_bytes(hashes) and isinstance(note, str):
            yield _Row(size=size, root=bytes(root), hashes=bytes(hashes), note=note)
        else:
            message = f"checkpoint at {size!r:.40}: its columns are none of a checkpoint"
            yield Finding(code="checkpoint.column", message=message)


def _pages(log: Log, *, using: str) -> Iterator[tuple[Any, Any, Any, Any]]:
    # Without ``sealed_at``, which nothing here is decided by and which PostgreSQL may hold and Python may not.
    rows = Checkpoint.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch).order_by("size")
    page = rows.values_list("size", "root", "hashes", "note")
    while True:
        with any_text(using):
            values = list(page[:_PAGE])
        yield from values
        # SQLite sorts what is no number last: from there on everything is a finding, and one page of them is enough.
        if len(values) < _PAGE or type(values[-1][0]) is not int:
            return
        page = rows.filter(size__gt=values[-1][0]).values_list("size", "root", "hashes", "note")


def _tiles(log: Log, *, using: str) -> Iterator[tuple[Node, bytes] | Finding]:
    rows = Tile.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    with any_text(using):
        values = list(rows.values_list("level", "number", "hash"))
    for level, number, value in values:
        if type(level) is int and type(number) is int and is_stored_hash(value):
            yield (level * HEIGHT, number), bytes(value)
        else:
            yield Finding(
                code="tile.hash", message=f"tile {level!r:.40}/{number!r:.40}: its columns are none of a tile"
            )


def _size_now(log: Log, *, using: str) -> int:
    size = Log.objects.using(using).filter(pk=log.pk).values_list("size", flat=True).first()
    return size if type(size) is int else log.size


def _are_bytes(value: object) -> bool:
    return isinstance(value, bytes | memoryview)


def _gaps(remembered: Sequence[Signed | Finding], ring: Keyring, seals: Seals, *, has_rows: bool) -> Iterator[Finding]:
    if not ring:
        if has_rows or seals.since or ring.problem is not None:
            why = f": {ring.problem}" if ring.problem else ""
            yield Finding(code="check.unsigned", message=f"there is no key to check the signatures with{why}")
    elif not has_rows:
        yield Finding(
            code="check.unsealed", message="the log has no checkpoint: who owns the database can rewrite all of it"
        )
    elif seals.guard is not None and not seals.since and not remembered:
        message = "the guard knows nothing of this log: checkpoints that were dropped are not missed"
        yield Finding(code="check.unguarded", message=message)


def _check_note(row: _Row, log: Log, ring: Keyring, *, size: int) -> Iterator[Finding]:
    """Step 1."""
    try:
        note = parse(row.note)
        said = parse_checkpoint(note.text)
        refused = list(ring.check(note)) if ring else []
    except MalformedError as exc:
        yield _finding("checkpoint.malformed", row, str(exc))
        return
    yield from refused
    if any(one.code == "checkpoint.signature" for one in refused):
        return
    if (said.origin, said.size, said.root) != (log.origin, row.size, row.root):
        yield _finding("checkpoint.column", row, "its columns are not what its note says")
    if row.size > size:
        yield _finding("checkpoint.beyond", row, f"it was signed for {row.size} entries, the log has {size}")


def _remembered(log: Log, seals: Seals) -> Iterator[Signed | Finding]:
    """What the guard remembers outside of the database, if anything."""
    if seals.guard is None:
        return
    try:
        signed = seals.guard.signed(log.origin)
    except SealError as exc:
        yield Finding(code="guard.unreadable", message=str(exc))
        return
    if signed is not None:
        yield signed


def _check_generation(signed: Sequence[Signed], ring: Keyring, *, size: int) -> Iterator[Finding]:
    """Step 3, of keys."""
    for row in ring.rows:
        if row.seq >= size:
            message = f"generation {row.generation}: there is no entry at seq {row.seq}, the log has {size}"
            yield Finding(code="key.generation", message=message, seq=row.seq)
    newest = ring.rows[-1].generation if ring.rows else 0
    for one in signed:
        if one.generation > newest:
            message = (
                f"the key of generation {one.generation} has signed, the log knows {newest}: a rotation was taken out"
            )
            yield Finding(code="key.generation", message=message)


def _held(seals: Seals, ring: Keyring) -> Iterator[Sealed | Finding]:
    """Step 4: what is known from outside."""
    for note in seals.since:
        try:
            yield ring.open(parse(note))
        except (MalformedError, VerificationError) as exc:
            yield Finding(code="since.signature", message=str(exc))


@dataclass(slots=True, kw_only=True)
class _Tree:
    """Steps 2 to 4: one pass over the leaf hashes, stopping at every size that somebody signed."""

    log: Log
    size: int
    tiles: dict[Node, bytes]
    tiles_until: int
    using: str
    range: CompactRange = field(default_factory=CompactRange)
    wrong: set[Node] = field(default_factory=set)

    def check(self, rows: Iterable[_Row], kept: Sequence[Sealed]) -> Iterator[Finding]:
        """
        The findings; ``rows`` come in order of size. Where the entries end before their time, which the walk over them tells, the
        rest is left out.
        """
        for one in kept:
            if one.size > self.size:
                message = f"{one.size} entries were signed, the log has {self.size}: it was cut off, or restored from a backup"
                yield Finding(code="since.beyond", message=message, seq=self.size)
        is_whole = self._begin()
        for one in kept:
            if one.size < self.log.first_seq:
                message = f"{one.size} entries were signed, the log begins at seq {self.log.first_seq}"
                yield Finding(code="check.before_start", message=message, seq=0)
        signed: Iterable[_Row | Sealed] = heapq.merge(rows, sorted(kept, key=_size_of), key=_size_of)
        for claim in signed:
            if claim.size > self.size:
                break
            if not is_whole or claim.size < self.log.first_seq:
                continue
            leaves = leaf_hashes(self.log.tenant, self.log.epoch, self.range.size, claim.size, using=self.using)
            self.range.extend(leaves, closed=self._closed)
            if self.range.size < claim.size:
                is_whole = False
                break
            yield from _check_root(claim, self.range) if isinstance(claim, _Row) else _check_kept(claim, self.range)
        left = self.tiles.keys() if is_whole else ()
        for level, number in sorted(self.wrong.union(left)):
            message = f"tile {level // HEIGHT}/{number} is not the node that it stands for, or is missing"
            yield Finding(code="tile.hash", message=message)

    def _begin(self) -> bool:
        """Begin at the log's first entry, on the tiles that stand for what was pruned; False where they do not lead there."""
        first = self.log.first_seq
        if not first:
            return True
        if first < 0:
            return False
        tiles = [self.tiles.pop((HEIGHT, number), None) for number in range(first >> HEIGHT)]
        if first % (1 << HEIGHT) or None in tiles:
            self.wrong |= {(HEIGHT, number) for number, value in enumerate(tiles) if value is None}
            return False
        above = CompactRange()
        above.extend(
            (value for value in tiles if value is not None),
            closed=lambda node, value: self._closed((node[0] + HEIGHT, node[1]), value),
        )
        self.range = CompactRange(first, above.hashes)
        return True

    def _closed(self, node: Node, value: bytes) -> None:
        level, number = node
        stored = self.tiles.pop(node, None)
        is_tile = level > 0 and level % HEIGHT == 0 and (number + 1) << level <= self.tiles_until
        if stored != value and (stored is not None or is_tile):
            self.wrong.add(node)


def _size_of(one: _Row | Sealed) -> int:
    return one.size


def _check_root(row: _Row, tree: CompactRange) -> Iterator[Finding]:
    if tree.root() != row.root:
        yield _finding("checkpoint.root", row, "the entries have another root than the one that was signed")
    elif b"".join(tree.hashes) != row.hashes:
        yield _finding("checkpoint.column", row, "its compact range is not that of the entries")


def _check_kept(kept: Sealed, tree: CompactRange) -> Iterator[Finding]:
    if tree.root() != kept.root:
        message = f"the first {kept.size} entries have another root than the one that was signed: history was rewritten"
        yield Finding(code="since.root", message=message, seq=kept.size - 1)


def _finding(code: str, row: _Row, message: str) -> Finding:
    return Finding(code=code, message=f"checkpoint at {row.size}: {message}", seq=max(0, row.size - 1))


def seals_of(log: Log, *, pinned: Sequence[VerifierKey] = ()) -> Seals:
    """What the project's settings give: who signs, and the guard's memory. ``pinned`` keys stand in for who signs."""
    try:
        signer = None if pinned else keys.signer()
        if signer is None and not pinned:
            return Seals()
        return Seals(keys=pinned, signer=signer, guard=_guard(is_needed=not pinned))
    except (SealError, ImportError) as exc:
        # The key is not readable here: what it would prove is a gap, and said.
        return Seals(problem=str(exc))


def _guard(*, is_needed: bool) -> SealGuard | None:
    try:
        return signing.guard()
    except SealError:
        # An auditor with keys of his own has no guard, and needs none.
        if is_needed:
            raise
        return None
