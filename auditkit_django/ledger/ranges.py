"""
Compact ranges: a run of leaves in as few hashes as can be.

The leaves [start, end) are covered by the largest complete subtrees that fit, from left to right. A subtree is a
*node* ``(level, index)``: it covers the leaves [index * 2**level, (index + 1) * 2**level), and its hash never changes
once these exist. The leaves [0, size) take one hash for each bit set in ``size``; any run takes at most 2 * 62.

A compact range takes more leaves on its right, or the compact range that begins where it ends; over [0, size) it
gives the root. That is all that a log needs to keep to go on growing its tree, and all that a proof needs of the
leaves that it does not show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Self

from auditkit_django.ledger.errors import MalformedError, excerpt
from auditkit_django.ledger.merkle import HASH_BYTES, fold, node_hash

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Node = tuple[int, int]
#: Told of a node of level 1 or more, and its hash, when its last leaf is there.
Closed = Callable[[Node, bytes], None]

#: Sizes fit a signed 64-bit integer everywhere: in databases, in Go, in the note.
SIZE_LIMIT = 2**63


def range_nodes(start: int, end: int) -> list[Node]:
    """The nodes of the compact range [``start``, ``end``), left to right; ``start`` <= ``end``."""
    nodes = []
    while start < end:
        level = (end - start).bit_length() - 1
        if start:
            # A subtree begins at a multiple of its size: no more levels than start has trailing zeros.
            level = min(level, (start & -start).bit_length() - 1)
        nodes.append((level, start >> level))
        start += 1 << level
    return nodes


def is_hash(value: object) -> bool:
    """Whether ``value`` is 32 bytes."""
    return type(value) is bytes and len(value) == HASH_BYTES


def is_size(value: object) -> bool:
    """Whether ``value`` can count leaves: an int (not a bool) from 0 to 2**63 - 1."""
    return type(value) is int and 0 <= value < SIZE_LIMIT


class CompactRange:
    """
    The compact range of ``size`` leaves from leaf ``start`` on.

    Empty when made without hashes; restored from the ``size`` and ``hashes`` of an earlier one.

    Raises:
        MalformedError: Not exactly one hash of 32 bytes for each node of [start, start + size).
    """

    __slots__ = ("_end", "_hashes", "_start")

    def __init__(self, size: int = 0, hashes: Sequence[bytes] = (), *, start: int = 0) -> None:
        if not is_size(size) or not is_size(start) or not is_size(start + size):
            raise MalformedError(f"range: got {excerpt(size)} leaves from {excerpt(start)}, wanted sizes below 2**63")
        wanted = len(range_nodes(start, start + size))
        if len(hashes) != wanted or not all(map(is_hash, hashes)):
            raise MalformedError(f"range: got {len(hashes)} hashes for {size} leaves, wanted {wanted} of 32 bytes")
        self._start = start
        self._end = start + size
        self._hashes = list(hashes)

    @property
    def start(self) -> int:
        """Index of the first leaf."""
        return self._start

    @property
    def end(self) -> int:
        """Index of the leaf that comes next."""
        return self._end

    @property
    def size(self) -> int:
        """How many leaves it stands for."""
        return self._end - self._start

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """The hashes of ``range_nodes(start, end)``, 32 bytes each."""
        return tuple(self._hashes)

    def append(self, leaf_hash: bytes) -> None:
        """
        Take the leaf after the last one.

        Raises:
            MalformedError: Not 32 bytes.
        """
        if not is_hash(leaf_hash):
            raise MalformedError(f"leaf hash: got {excerpt(leaf_hash)}, wanted 32 bytes")
        self._push(0, leaf_hash)

    def extend(self, leaf_hashes: Iterable[bytes], *, closed: Closed | None = None) -> None:
        """
        Take the leaves after the last one, one by one. ``closed`` is told each node that is complete by then, with its hash.

        Raises:
            MalformedError: One is not 32 bytes; those before it are taken.
        """
        for leaf_hash in leaf_hashes:
            if not is_hash(leaf_hash):
                raise MalformedError(f"leaf hash: got {excerpt(leaf_hash)}, wanted 32 bytes")
            self._push(0, leaf_hash, closed)

    def merge(self, right: CompactRange) -> None:
        """Take the leaves of ``right``, which begins where this one ends (otherwise ValueError)."""
        if right.start != self._end:
            raise ValueError(f"range: got one from {right.start}, wanted one from {self._end}")
        for (level, _), node in zip(range_nodes(right.start, right.end), right.hashes, strict=True):
            self._push(level, node)

    def root(self) -> bytes:
        """The root of the tree of ``size`` leaves, 32 bytes; of a range that does not begin at 0 a ValueError."""
        if self._start:
            raise ValueError(f"range: got one from {self._start}, wanted one from 0, which alone has a root")
        return fold(self._hashes)

    def copy(self) -> Self:
        """One that grows on its own."""
        return type(self)(self.size, self._hashes, start=self._start)

    def _push(self, level: int, node: bytes, closed: Closed | None = None) -> None:
        index = self._end >> level
        self._end += 1 << level
        # A right child closes its parent, if the left child is in the range as well.
        while index & 1 and (index - 1) << level >= self._start:
            node = node_hash(self._hashes.pop(), node)
            index >>= 1
            level += 1
            if closed is not None:
                closed((level, index), node)
        self._hashes.append(node)
