"""
The Merkle tree of RFC 9162: leaf, node and root.

A tree over the leaf hashes ``d[0] … d[n-1]`` has the root::

    MTH({})   = SHA-256("")
    MTH({d0}) = d0 = SHA-256(0x00 || entry)
    MTH(D[n]) = SHA-256(0x01 || MTH(D[0:k]) || MTH(D[k:n]))      k = largest power of two < n

The first byte tells leaves from nodes, so that no entry can pose as an inner node (a second preimage). Nothing here
takes a hash where an entry is expected, or an entry where a hash is.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_BYTES = 32

#: Root of the tree without leaves: SHA-256 of no bytes at all.
EMPTY_ROOT = sha256(b"").digest()


def leaf_hash(data: bytes) -> bytes:
    """SHA-256(0x00 || ``data``), 32 bytes: the leaf hash of an entry (RFC 9162, section 2.1.1)."""
    return sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 || ``left`` || ``right``), 32 bytes: the parent of two 32-byte hashes (RFC 9162, section 2.1.1)."""
    return sha256(b"\x01" + left + right).digest()


def root(leaf_hashes: Iterable[bytes]) -> bytes:
    """
    The root of the tree over ``leaf_hashes``, 32 bytes; ``EMPTY_ROOT`` without any (RFC 9162, section 2.1.1).

    Reads the iterable once and holds one hash per level of the tree.
    """
    peaks: list[bytes] = []
    for index, leaf in enumerate(leaf_hashes):
        peaks.append(leaf)
        # A right child closes its parent: one more for each bit set at the low end of the index.
        for _ in range((~index & (index + 1)).bit_length() - 1):
            right = peaks.pop()
            peaks.append(node_hash(peaks.pop(), right))
    return fold(peaks)


def fold(hashes: Sequence[bytes]) -> bytes:
    """The root over complete subtrees of falling size, left to right; ``EMPTY_ROOT`` without any."""
    if not hashes:
        return EMPTY_ROOT
    top = hashes[-1]
    for left in reversed(hashes[:-1]):
        top = node_hash(left, top)
    return top
