"""
The tree of RFC 9162 the slow way: the recursive definitions of sections 2.1.1, 2.1.3.1 and 2.1.4.1, word for word.

It shares no code with ``auditkit_django.ledger``, so that a mistake would have to be made twice to go unseen.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMIT = 70
LEAVES = tuple(hashlib.sha256(b"\x00" + b"leaf %d" % index).digest() for index in range(LIMIT + 2))


def split_point(count: int) -> int:
    """k: the largest power of two smaller than ``count``."""
    k = 1
    while k * 2 < count:
        k *= 2
    return k


@cache
def mth(start: int, end: int) -> bytes:
    """MTH(D[start:end]) over ``LEAVES``."""
    count = end - start
    if count == 0:
        return hashlib.sha256(b"").digest()
    if count == 1:
        return LEAVES[start]
    k = split_point(count)
    return hashlib.sha256(b"\x01" + mth(start, start + k) + mth(start + k, end)).digest()


def path(m: int, start: int, end: int) -> list[bytes]:
    """PATH(m, D[start:end])."""
    count = end - start
    if count == 1:
        return []
    k = split_point(count)
    if m < k:
        return [*path(m, start, start + k), mth(start + k, end)]
    return [*path(m - k, start + k, end), mth(start, start + k)]


def subproof(m: int, start: int, end: int, is_whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[start:end], b)."""
    count = end - start
    if m == count:
        return [] if is_whole else [mth(start, end)]
    k = split_point(count)
    if m <= k:
        return [*subproof(m, start, start + k, is_whole), mth(start + k, end)]
    return [*subproof(m - k, start + k, end, False), mth(start, start + k)]


def cover(start: int, end: int, low: int = 0, high: int = 128) -> list[tuple[int, int]]:
    """The largest complete subtrees inside [start, end), as leaf ranges, looked for from the top down."""
    if high <= start or end <= low:
        return []
    if start <= low and high <= end:
        return [(low, high)]
    middle = (low + high) // 2
    return [*cover(start, end, low, middle), *cover(start, end, middle, high)]


def cover_hashes(start: int, end: int) -> tuple[bytes, ...]:
    """The hashes of ``cover``."""
    return tuple(mth(low, high) for low, high in cover(start, end))


class Storage:
    """The complete subtrees of a tree of ``size`` leaves; remembers what it was asked for."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.requests: list[list[tuple[int, int]]] = []

    def __call__(self, nodes: Sequence[tuple[int, int]]) -> list[bytes]:
        self.requests.append(list(nodes))
        ranges = [(index << level, (index + 1) << level) for level, index in nodes]
        assert all(end <= self.size for _, end in ranges), f"a subtree that is not complete at {self.size}: {nodes}"
        return [mth(start, end) for start, end in ranges]
