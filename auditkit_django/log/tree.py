"""
The tree of a log as storage has it: leaf hashes in the entries, and tiles above them.

A node of tree level ``8 * l + r`` is made of ``2**r`` rows that stand side by side: entries for ``l`` = 0, tiles of level
``l`` above. A proof takes one query for each ``l`` that it touches: three for a million entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import groupby
from operator import or_

from django.db import DEFAULT_DB_ALIAS
from django.db.models import Q

from auditkit_django.ledger.merkle import node_hash
from auditkit_django.ledger.proofs import Reader
from auditkit_django.ledger.ranges import Node
from auditkit_django.models import Entry, Tile

#: Levels of the tree in one tile: 256 rows stand under each node that is kept.
HEIGHT = 8
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
            found |= {node: _fold([rows[at] for at in _span(node)]) for node in wanted}
        return [found[node] for node in nodes]

    return read


def leaf_hashes(tenant: str, epoch: int, start: int, end: int, *, using: str = DEFAULT_DB_ALIAS) -> Iterator[bytes]:
    """The leaf hashes of the entries [``start``, ``end``), in chunks of one query each; they end early where one is missing."""
    while start < end:
        stop = min(end, start + _CHUNK)
        rows = Entry.objects.using(using).filter(tenant=tenant, epoch=epoch, seq__gte=start, seq__lt=stop)
        for seq, leaf_hash in rows.order_by("seq").values_list("seq", "leaf_hash"):
            if seq != start:
                return
            yield bytes(leaf_hash)
            start += 1
        if start < stop:
            return


def _rows(tenant: str, epoch: int, height: int, nodes: Sequence[Node], *, using: str) -> dict[int, bytes]:
    spans = [_span(node) for node in nodes]
    name = "number" if height else "seq"
    among = reduce(or_, (Q(**{f"{name}__gte": span.start, f"{name}__lt": span.stop}) for span in spans))
    rows = (
        Tile.objects.using(using).filter(among, tenant=tenant, epoch=epoch, level=height).values_list("number", "hash")
        if height
        else Entry.objects.using(using).filter(among, tenant=tenant, epoch=epoch).values_list("seq", "leaf_hash")
    )
    return {at: bytes(value) for at, value in rows}


def _span(node: Node) -> range:
    """The rows under ``node``, by number or seq."""
    level, index = node
    shift = level % HEIGHT
    return range(index << shift, (index + 1) << shift)


def _fold(hashes: list[bytes]) -> bytes:
    while len(hashes) > 1:
        hashes = [node_hash(left, right) for left, right in zip(hashes[::2], hashes[1::2], strict=True)]
    return hashes[0]
