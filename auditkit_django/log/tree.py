"""
The tree of a log as storage has it: leaf hashes in the entries, and tiles above them.

A node of tree level ``8 * l + r`` is made of ``2**r`` rows that stand side by side: entries for ``l`` = 0, tiles of level
``l`` above. A proof takes one query for each ``l`` that it touches: three for a million entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.exceptions import MalformedError, SealError
from auditkit_django.ledger import tiles
from auditkit_django.ledger.merkle import node_hash
from auditkit_django.ledger.proofs import Reader
from auditkit_django.ledger.ranges import CompactRange, Node, is_hash
from auditkit_django.log.reading import any_text
from auditkit_django.models import Entry, Tile

#: Levels of the tree in one tile: 256 rows stand under each node that is kept.
HEIGHT = tiles.HEIGHT
_CHUNK = 10_000


def reader(
    tenant: str, epoch: int, *, using: str = DEFAULT_DB_ALIAS, fresh: Mapping[Node, bytes] | None = None
) -> Reader:
    """Reads nodes for proofs (``ledger.proofs``). Tiles must be sealed, or be given: ``fresh``, by tree level and number."""

    def read(nodes: Sequence[Node]) -> list[bytes]:
        found: dict[Node, bytes] = {}
        for height, group in groupby(sorted(set(nodes)), key=lambda node: node[0] // HEIGHT):
            wanted = list(group)
            rows = _rows(tenant, epoch, height, wanted, using=using)
            rows |= {number: value for (level, number), value in (fresh or {}).items() if level == height * HEIGHT}
            try:
                found |= {node: _fold([rows[at] for at in _span(node)]) for node in wanted}
            except (KeyError, MalformedError) as exc:
                raise SealError(
                    f"proof: a node of level {height * HEIGHT} of tenant {tenant!r} is missing: it was pruned, or altered (verify"
                    " the log)"
                ) from exc
        return [found[node] for node in nodes]

    return read


def leaf_hashes(tenant: str, epoch: int, start: int, end: int, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[bytes]:
    """The leaf hashes of the entries [``start``, ``end``), in chunks of one query each; they end early where one is none."""
    while start < end:
        stop = min(end, start + _CHUNK)
        rows = Entry.objects.using(using).filter(tenant=tenant, epoch=epoch, seq__gte=start, seq__lt=stop)
        with any_text(using):
            chunk = list(rows.order_by("seq").values_list("seq", "leaf_hash"))
        for seq, leaf_hash in chunk:
            if seq != start or not is_stored_hash(leaf_hash):
                return
            yield bytes(leaf_hash)
            start += 1
        if start < stop:
            return


def range_of_tiles(tenant: str, epoch: int, until: int, *, using: str = DEFAULT_DB_ALIAS) -> CompactRange:
    """
    The compact range of the entries [0, ``until``), a whole number of tiles, from the tiles of level 1 alone: their hashes are
    nodes of tree level 8, and are folded as leaves are.

    Raises:
        MalformedError: A tile is missing, or is no hash.
    """
    tiles = Tile.objects.using(using).filter(tenant=tenant, epoch=epoch, level=1, number__lt=until >> HEIGHT)
    above = CompactRange()
    above.extend(bytes(value) for value in tiles.order_by("number").values_list("hash", flat=True))
    return CompactRange(until, above.hashes if above.size == until >> HEIGHT else ())


def is_stored_hash(value: object) -> bool:
    """Whether ``value``, of a column that somebody may have written to, is 32 bytes."""
    return isinstance(value, bytes | memoryview) and is_hash(bytes(value))


def _rows(tenant: str, epoch: int, height: int, nodes: Sequence[Node], *, using: str) -> dict[int, bytes]:
    # One plain range for each tile that is touched, united: no database finds its way through an OR of ranges.
    touched = groupby(sorted((_span(node) for node in nodes), key=lambda span: span.start), key=_tile_of)
    first, *rest = (_between(tenant, epoch, height, list(spans), using=using) for _tile, spans in touched)
    return {at: bytes(value) for at, value in (first.union(*rest, all=True) if rest else first)}


def _between(tenant: str, epoch: int, height: int, spans: list[range], *, using: str) -> Any:
    low, high = spans[0].start, max(span.stop for span in spans)
    if height:
        tiles = Tile.objects.using(using).filter(tenant=tenant, epoch=epoch, level=height)
        return tiles.filter(number__gte=low, number__lt=high).values_list("number", "hash")
    entries = Entry.objects.using(using).filter(tenant=tenant, epoch=epoch)
    return entries.filter(seq__gte=low, seq__lt=high).values_list("seq", "leaf_hash")


def _tile_of(span: range) -> int:
    return span.start >> HEIGHT


def _span(node: Node) -> range:
    """The rows under ``node``, by number or seq."""
    level, index = node
    shift = level % HEIGHT
    return range(index << shift, (index + 1) << shift)


def _fold(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
