"""
Inclusion, consistency and range proofs: each prover beside its verifier.

A prover plans which leaves each hash of the proof covers, asks storage once for all the complete subtrees that make
them up, and computes. Storage is one callable ``read(nodes) -> hashes``: a node is ``(level, index)`` as in
``ranges``, level 0 being the leaf hashes; the hashes come in the order of the nodes.

A verifier trusts nothing: it guards its own ranges, knows the exact length of the proof from indexes and sizes alone
and checks it before it hashes, and raises ``VerificationError`` and nothing else. Sizes and roots are to be taken from
a verified checkpoint, never from the data beside the proof.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from auditkit_django.ledger.errors import MalformedError, VerificationError, excerpt
from auditkit_django.ledger.merkle import fold, node_hash
from auditkit_django.ledger.ranges import CompactRange, Node, is_hash, is_size, range_nodes

Reader = Callable[[Sequence[Node]], Sequence[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class RangeProof:
    """
    What stands for the leaves around [start, end): the hashes of two compact ranges.

    ``left`` covers [0, start) and ``right`` covers [end, size); 32 bytes each, left to right.
    """

    left: tuple[bytes, ...]
    right: tuple[bytes, ...]


def prove_inclusion(index: int, size: int, read: Reader) -> tuple[bytes, ...]:
    """
    The proof that the leaf at ``index`` is in the tree of ``size`` leaves: siblings, lowest level first.

    Follows PATH of RFC 9162, section 2.1.3.1. A ValueError unless 0 <= ``index`` < ``size`` < 2**63.
    """
    if not is_size(size) or not is_size(index) or index >= size:
        raise ValueError(f"index: got {excerpt(index)} of size {excerpt(size)}, wanted 0 <= index < size < 2**63")
    start, end = 0, size
    siblings = []
    while end - start > 1:
        middle = _middle(start, end)
        if index < middle:
            siblings.append((middle, end))
            end = middle
        else:
            siblings.append((start, middle))
            start = middle
    return _roots(siblings[::-1], read)


def verify_inclusion(leaf_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """
    Check that ``leaf_hash`` is at ``index`` in the tree of ``size`` leaves with ``root``.

    ``leaf_hash`` and ``root`` are 32 bytes; ``proof`` lists siblings, lowest level first (RFC 9162, section 2.1.3.2).

    Raises:
        VerificationError: A hash is not 32 bytes, the proof has the wrong length, or it leads elsewhere.
    """
    if not is_size(size) or not is_size(index) or index >= size:
        raise VerificationError(f"index: got {excerpt(index)} of size {excerpt(size)}, wanted 0 <= index < size")
    _require_hashes((leaf_hash, root))
    inner, border = _path_lengths(index, size)
    _require_length(proof, inner + border)
    _require_root(_climb(leaf_hash, index, proof, inner), root, size)


def prove_consistency(size1: int, size2: int, read: Reader) -> tuple[bytes, ...]:
    """
    The proof that the tree of ``size2`` leaves begins with the tree of ``size1``; empty at equal sizes.

    Follows SUBPROOF of RFC 9162, section 2.1.4.1. A ValueError unless 0 < ``size1`` <= ``size2`` < 2**63.
    """
    if not is_size(size2) or not is_size(size1) or not 0 < size1 <= size2:
        raise ValueError(f"sizes: got {excerpt(size1)} and {excerpt(size2)}, wanted 0 < size1 <= size2 < 2**63")
    start, end = 0, size2
    covered = []
    while end != size1:
        middle = _middle(start, end)
        if size1 <= middle:
            covered.append((middle, end))
            end = middle
        else:
            covered.append((start, middle))
            start = middle
    if start:
        # Only a subtree that is not the whole old tree: the old root the verifier has.
        covered.append((start, end))
    return _roots(covered[::-1], read)


def verify_consistency(size1: int, size2: int, proof: Sequence[bytes], root1: bytes, root2: bytes) -> None:
    """
    Check that the tree of ``size2`` leaves with ``root2`` begins with the tree of ``size1`` leaves with ``root1``.

    ``proof`` is as ``prove_consistency`` gives it (RFC 9162, section 2.1.4.2). The empty tree is refused as ``size1``:
    every tree begins with it, so such a proof would say nothing. At equal sizes nothing is hashed: the proof must be
    empty and the roots the same bytes.

    Raises:
        VerificationError: The sizes are out of order, a hash is not 32 bytes, the proof has the wrong length, or it
            leads elsewhere.
    """
    if not is_size(size2) or not is_size(size1) or not 0 < size1 <= size2:
        raise VerificationError(f"sizes: got {excerpt(size1)} and {excerpt(size2)}, wanted 0 < size1 <= size2")
    if size1 == size2:
        _require_length(proof, 0)
        _require_root(root2, root1, size1)
        return
    _require_hashes((root1, root2))
    # 1. The climb starts at the last complete subtree of the old tree: the root itself, if that is the whole.
    shift = (size1 & -size1).bit_length() - 1
    is_complete = size1 == 1 << shift
    inner, border = _path_lengths(size1 - 1, size2)
    inner -= shift
    _require_length(proof, inner + border + (not is_complete))
    seed, path = (root1, proof) if is_complete else (proof[0], proof[1:])
    # 2. Only the siblings on its left lead to the old root; 3. all of them lead to the new one.
    index = (size1 - 1) >> shift
    lefts = [sibling for level, sibling in enumerate(path) if level >= inner or index >> level & 1]
    _require_root(_climb(seed, 0, lefts, 0), root1, size1)
    _require_root(_climb(seed, index, path, inner), root2, size2)


def prove_range(start: int, end: int, size: int, read: Reader) -> RangeProof:
    """
    The proof that goes with the leaves [``start``, ``end``) of the tree of ``size`` leaves; the range may be empty.

    A ValueError unless 0 <= ``start`` <= ``end`` <= ``size`` < 2**63.
    """
    if not _is_range(start, end, size):
        raise ValueError(f"range: got {excerpt((start, end))} of size {excerpt(size)}, wanted a part of the tree")
    left, right = range_nodes(0, start), range_nodes(end, size)
    hashes = _fetch([*left, *right], read)
    return RangeProof(left=tuple(hashes[: len(left)]), right=tuple(hashes[len(left) :]))


def verify_range(leaf_hashes: Iterable[bytes], start: int, end: int, size: int, proof: RangeProof, root: bytes) -> None:
    """
    Check that ``leaf_hashes`` are the leaves [``start``, ``end``) of the tree of ``size`` leaves with ``root``.

    All of them, in order and none besides: inclusion and completeness at once. The iterable is read once and no more
    than one hash per level is held.

    Raises:
        VerificationError: The range is not in the tree, a hash is not 32 bytes, the proof or the leaves have the wrong
            length, or they lead elsewhere.
    """
    if not _is_range(start, end, size):
        raise VerificationError(f"range: got {excerpt((start, end))} of size {excerpt(size)}, wanted a part of it")
    _require_hashes((root,))
    _require_length(proof.left, len(range_nodes(0, start)))
    _require_length(proof.right, len(range_nodes(end, size)))
    tree = CompactRange(start, proof.left)
    for leaf_hash in leaf_hashes:
        if tree.end == end:
            raise VerificationError(f"leaves: got more than {end - start}, wanted just these")
        try:
            tree.append(leaf_hash)
        except MalformedError as exc:
            raise VerificationError(str(exc)) from exc
    if tree.end != end:
        raise VerificationError(f"leaves: got {tree.end - start}, wanted {end - start}")
    tree.merge(CompactRange(size - end, proof.right, start=end))
    _require_root(tree.root(), root, size)


def _middle(start: int, end: int) -> int:
    """Where [start, end), of two leaves or more, splits: k of RFC 9162, the largest power of two below its size."""
    return start + (1 << ((end - start - 1).bit_length() - 1))


def _roots(ranges: Sequence[tuple[int, int]], read: Reader) -> tuple[bytes, ...]:
    """The roots over the given leaves, each range beginning at a multiple of the power of two not below its size."""
    plans = [range_nodes(start, end) for start, end in ranges]
    hashes = iter(_fetch([node for plan in plans for node in plan], read))
    return tuple(fold([next(hashes) for _ in plan]) for plan in plans)


def _fetch(nodes: Sequence[Node], read: Reader) -> Sequence[bytes]:
    hashes = read(nodes) if nodes else ()
    if len(hashes) != len(nodes) or not all(map(is_hash, hashes)):
        raise ValueError(f"storage: got {len(hashes)} hashes, wanted {len(nodes)} of 32 bytes")
    return hashes


def _path_lengths(index: int, size: int) -> tuple[int, int]:
    """
    The two parts of the path from leaf ``index`` to the root of ``size`` leaves.

    On the lower levels, the inner part, a sibling may be on either side; from where the path has met the path of the
    last leaf, the border, there are only siblings on the left, one for each bit set in the index.
    """
    inner = (index ^ (size - 1)).bit_length()
    return inner, (index >> inner).bit_count()


def _climb(node: bytes, index: int, siblings: Sequence[bytes], inner: int) -> bytes:
    for level, sibling in enumerate(siblings):
        is_left_child = level < inner and not index >> level & 1
        node = node_hash(node, sibling) if is_left_child else node_hash(sibling, node)
    return node


def _is_range(start: object, end: object, size: object) -> bool:
    if type(start) is not int or type(end) is not int or type(size) is not int:
        return False
    return 0 <= start <= end <= size and is_size(size)


def _require_hashes(hashes: Iterable[object]) -> None:
    for value in hashes:
        if not is_hash(value):
            raise VerificationError(f"hash: got {excerpt(value)}, wanted 32 bytes")


def _require_length(proof: Sequence[bytes], wanted: int) -> None:
    if len(proof) != wanted:
        raise VerificationError(f"proof: got {len(proof)} hashes, wanted {wanted}")
    _require_hashes(proof)


def _require_root(got: bytes, wanted: bytes, size: int) -> None:
    if type(got) is not bytes or got != wanted:
        raise VerificationError(f"root of size {size}: got {excerpt(_hex(got))}, wanted {excerpt(_hex(wanted))}")


def _hex(value: object) -> object:
    return value.hex() if isinstance(value, bytes) else value
