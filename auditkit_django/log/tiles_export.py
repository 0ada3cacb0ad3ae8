"""
A sealed log as files that standard clients read (``ledger.tiles``), up to its newest checkpoint.

1. Read the checkpoint that the folder has; the log must have the same name, and not be shorter.
2. Compute the root of what the folder has, and then that of what is to be added, from the leaf hashes in the database.
   Where either is not the one that was signed nothing is written.
3. Write tiles and entries, each hashed again; those that are full already are not touched.
4. Write the checkpoint: from then on readers see the new size. Partial tiles go when a full one is there.

Every file is written beside its place and renamed. A run that is cut short leaves the folder as its checkpoint says, and the
next one goes on. Memory does not grow with the log. Of a log whose beginning was pruned a new folder has what is left: the
format lets tiles be absent that end before the log's first entry.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.exceptions import MalformedError, SealError, VerificationError
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import open_checkpoint, parse_checkpoint
from auditkit_django.ledger.entry import leaf_hash
from auditkit_django.ledger.note import parse
from auditkit_django.ledger.ranges import CompactRange, Node, is_hash
from auditkit_django.ledger.tiles import ENTRIES, HEIGHT, WIDTH, format_bundle, tile_path
from auditkit_django.log.checkpoints import newest_sealed
from auditkit_django.log.files import lock_alone, replacing, sync_folder
from auditkit_django.log.generations import current
from auditkit_django.log.keyring import Keyring, keyring_of
from auditkit_django.log.reading import any_text
from auditkit_django.log.sealed import seals_of
from auditkit_django.log.tree import leaf_hashes, reader
from auditkit_django.models import Checkpoint, Entry, Log

_CHECKPOINT: Final = "checkpoint"
#: Entries read at once: some full tiles.
_CHUNK: Final = 8 * WIDTH


@dataclass(frozen=True, slots=True, kw_only=True)
class TilesExport:
    """
    What a folder has now: the log ``origin`` up to ``size`` entries, ``added`` of them new, the first of which is at
    ``first_seq``.
    """

    origin: str
    size: int
    added: int
    first_seq: int


def newest_checkpoint(tenant: str, *, using: str = DEFAULT_DB_ALIAS) -> Checkpoint:
    """The newest checkpoint of the tenant's newest log; raises as :func:`checkpoints.newest_sealed`."""
    return newest_sealed(tenant, using=using)[1]


def export_tiles(checkpoint: Checkpoint, folder: Path, *, using: str = DEFAULT_DB_ALIAS) -> TilesExport:
    """
    Bring ``folder``, which is made where it is not there, up to ``checkpoint``; what it has then.

    Raises:
        SealError: The folder has another log, a longer one or another history; or the log in the database is not the one
            that was signed.
    """
    log = Log.objects.using(using).get(tenant=checkpoint.tenant, epoch=checkpoint.epoch)
    seals = seals_of(log)
    ring = keyring_of(log, signer=seals.signer, problem=seals.problem, using=using)
    new = _opened(checkpoint.note, ring)
    if new.size != checkpoint.size:
        raise SealError(
            f"tiles: the checkpoint at {checkpoint.size} of tenant {log.tenant!r} was altered: verify the log"
        )
    with _alone(folder):
        old = _standing(folder, ring, new)
        tree = _Tree(log=log, folder=folder, using=using)
        tree.resume(_start(log, old, folder))
        tree.check([one for one in (old, new) if one is not None])
        if old is None or old.size < new.size:
            tree.write(new)
        _write(folder / _CHECKPOINT, checkpoint.note.encode())
        sync_folder(folder)
        tree.remove_partial()
        first = old.size if old is not None else tree.start
        return TilesExport(origin=log.origin, size=new.size, added=new.size - first, first_seq=first)


@dataclass(slots=True, kw_only=True)
class _Tree:
    """
    The tree as it is written: ``rows`` has, by level, the nodes of the last tile, which is not full yet.

    Level 0 is left out: writing begins at a full tile of it.
    """

    log: Log
    folder: Path
    using: str
    start: int = 0
    rows: dict[int, list[bytes]] = field(default_factory=dict)
    touched: set[Path] = field(default_factory=set)
    outgrown: list[Path] = field(default_factory=list)

    def resume(self, start: int) -> None:
        """Go on from ``start`` entries, a multiple of 256."""
        self.start, count, level = start, start // WIDTH, 1
        read = reader(self.log.tenant, self.log.epoch, using=self.using)
        while count:
            nodes = [(level * HEIGHT, at) for at in range(count - count % WIDTH, count)]
            self.rows[level] = list(read(nodes))
            if not all(map(is_hash, self.rows[level])):
                raise SealError(f"tiles: a tile of tenant {self.log.tenant!r} was altered: verify the log")
            count, level = count // WIDTH, level + 1

    def check(self, signed: Sequence[Sealed]) -> None:
        """Step 2, by the leaf hashes; ``signed``, smallest first, begin at ``start`` or later."""
        tree = self._range()
        for one in signed:
            tree.extend(leaf_hashes(self.log.tenant, self.log.epoch, tree.size, one.size, using=self.using))
            if tree.size != one.size:
                raise SealError(
                    f"tiles: the entry at seq {tree.size} of tenant {self.log.tenant!r} is missing: it was pruned, or deleted"
                    " (verify the log). Nothing was written"
                )
            if tree.root() != one.root:
                raise SealError(
                    f"tiles: the first {one.size} entries of tenant {self.log.tenant!r} have another root than the one that was"
                    " signed: verify the log. Nothing was written"
                )

    def write(self, new: Sealed) -> None:
        """Step 3."""
        tree = self._range()
        for number, entries in enumerate(self._bundles(new.size), start=self.start // WIDTH):
            hashes = [leaf_hash(entry) for entry in entries]
            self._put(ENTRIES, number, len(entries), format_bundle(entries))
            self._put(0, number, len(entries), b"".join(hashes))
            tree.extend(hashes, closed=self._closed)
        for level, row in self.rows.items():
            if row:
                self._put(level, (new.size >> HEIGHT * level) // WIDTH, len(row), b"".join(row))
        if tree.size != new.size or tree.root() != new.root:
            raise SealError(
                f"tiles: the log of tenant {self.log.tenant!r} changed while it was read: run the export again"
            )
        for parent in self.touched:
            sync_folder(parent)

    def remove_partial(self) -> None:
        """Remove the partial tiles that a full one stands for now; those of older checkpoints stay until then."""
        for folder in self.outgrown:
            shutil.rmtree(folder)

    def _range(self) -> CompactRange:
        """The compact range of the first ``start`` entries, from the nodes of the tiles that are not full."""
        tree = CompactRange()
        for level in sorted(self.rows, reverse=True):
            for node in self.rows[level]:
                tree.merge(CompactRange(1 << HEIGHT * level, [node], start=tree.end))
        return tree

    def _closed(self, node: Node, value: bytes) -> None:
        level, number = node
        if level % HEIGHT:
            return
        row = self.rows.setdefault(level // HEIGHT, [])
        row.append(value)
        if len(row) == WIDTH:
            self._put(level // HEIGHT, number // WIDTH, WIDTH, b"".join(row))
            row.clear()

    def _bundles(self, size: int) -> Iterator[list[bytes]]:
        """The entries from ``start`` on, 256 at a time."""
        rows = Entry.objects.using(self.using).filter(tenant=self.log.tenant, epoch=self.log.epoch)
        for start in range(self.start, size, _CHUNK):
            seqs = range(start, min(size, start + _CHUNK))
            chunk = rows.filter(seq__gte=seqs.start, seq__lt=seqs.stop).order_by("seq")
            with any_text(self.using):
                found = list(chunk.values_list("seq", "body", "leaf_hash"))
            if [row[0] for row in found] != list(seqs):
                raise SealError(f"tiles: entries of tenant {self.log.tenant!r} are missing: verify the log")
            entries = [self._entry(*row) for row in found]
            yield from (entries[at : at + WIDTH] for at in range(0, len(entries), WIDTH))

    def _entry(self, seq: int, body: object, stored: object) -> bytes:
        data = bytes(body) if isinstance(body, bytes | memoryview) else b""
        # The stored leaf hash is one of those under the signed root.
        if not isinstance(stored, bytes | memoryview) or bytes(stored) != leaf_hash(data):
            raise SealError(f"tiles: the entry at seq {seq} of tenant {self.log.tenant!r} was altered: verify the log")
        return data

    def _put(self, level: int | str, number: int, width: int, data: bytes) -> None:
        path = self.folder / tile_path(level, number, width=width)
        self.touched |= _make_folder(path.parent)
        if not path.exists() or path.read_bytes() != data:
            _write(path, data)
        partial = path.with_name(f"{path.name}.p")
        if width == WIDTH and partial.is_dir():
            self.outgrown.append(partial)


def _start(log: Log, old: Sealed | None, folder: Path) -> int:
    """The seq of the first entry to read: a multiple of 256."""
    first = log.first_seq
    if type(first) is not int or first < 0 or first % WIDTH:
        raise SealError(f"tiles: the log of tenant {log.tenant!r} begins at seq {first!r:.40}: verify the log")
    if old is None:
        return first
    if old.size < first:
        raise SealError(
            f"tiles: {folder} has {old.size} entries, the log begins at seq {first}: what is between was pruned. Export to a new"
            " directory"
        )
    return old.size // WIDTH * WIDTH


def _standing(folder: Path, ring: Keyring, new: Sealed) -> Sealed | None:
    """Step 1."""
    try:
        note = (folder / _CHECKPOINT).read_bytes()
    except FileNotFoundError:
        return None
    old = _opened(note, ring)
    if old.size > new.size:
        raise SealError(f"tiles: {folder} has {old.size} entries, the log was sealed at {new.size}: it was cut off")
    if old.size == new.size and old.root != new.root:
        raise SealError(f"tiles: {folder} has another history than the log, of the same size")
    return old


def _opened(note: str | bytes, ring: Keyring) -> Sealed:
    """The checkpoint in ``note``, by the key that is in force at its size; where there is no key, by whomever."""
    origin = ring.log.origin
    try:
        said = parse_checkpoint(parse(note).text)
        if ring:
            return open_checkpoint(note, ring.keys.get(current(ring.rows, said.size), ()), origin=origin)[0]
    except (MalformedError, VerificationError) as exc:
        raise SealError(f"tiles: the checkpoint is none of this log: {exc}") from exc
    if said.origin != origin:
        raise SealError(f"tiles: got a checkpoint of {said.origin!r}, wanted one of {origin!r}")
    return said


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Inside, no other export writes to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        lock_alone(descriptor, what="tiles")
        yield
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> set[Path]:
    """Make ``folder``; itself, and each above it that got a new name."""
    above = {folder}
    at = folder
    while not at.exists():
        at = at.parent
        above.add(at)
    folder.mkdir(parents=True, exist_ok=True)
    return above


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as file:
        file.write(data)
