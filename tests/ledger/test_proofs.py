from __future__ import annotations

import json
from dataclasses import replace
from itertools import repeat
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit_django.ledger.errors import VerificationError
from auditkit_django.ledger.proofs import (
    RangeProof,
    prove_consistency,
    prove_inclusion,
    prove_range,
    verify_consistency,
    verify_inclusion,
    verify_range,
)
from tests.ledger import reference, vectors
from tests.ledger.reference import LEAVES, Storage, mth

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

SIZES = range(1, reference.LIMIT + 1)
NO_SIZES = [-1, 2**63, True, 1.0, "1", None]
NO_HASHES = [b"", bytes(31), bytes(33), "a" * 32, None, bytearray(32)]


def corrupted(proof: Sequence[bytes]) -> Iterator[list[bytes]]:
    """The proof with one thing wrong: a hash dropped, doubled, swapped, shifted, flipped, or one too many."""
    hashes = list(proof)
    yield [*hashes, LEAVES[0]]
    yield [LEAVES[0], *hashes]
    for at, node in enumerate(hashes):
        yield hashes[:at] + hashes[at + 1 :]
        yield [*hashes[:at], node, *hashes[at:]]
        yield [*hashes[:at], bytes([node[0] ^ 1]) + node[1:], *hashes[at + 1 :]]
        yield [*hashes[:at], node[:-1], *hashes[at + 1 :]]
        yield [*hashes[:at], *hashes[at + 1 : at + 2], node, *hashes[at + 2 :]]
    yield hashes[1:] + hashes[:1]


def distinct(proof: Sequence[bytes]) -> list[list[bytes]]:
    """The corruptions that differ from the proof."""
    return [wrong for wrong in corrupted(proof) if wrong != list(proof)]


def is_accepted(verify: Any, *arguments: Any) -> bool:
    try:
        verify(*arguments)
    except VerificationError:
        return False
    return True


@pytest.mark.parametrize("file", vectors.files("merkle/transparency-dev/inclusion"))
def test_published_inclusion_proofs_get_the_published_verdict(file: Path) -> None:
    vector = json.loads(file.read_text())
    leaf, root = vectors.b64([vector["leafHash"], vector["root"]])
    proof = vectors.b64(vector["proof"])
    accepted = is_accepted(verify_inclusion, leaf, vector["leafIdx"], vector["treeSize"], proof, root)
    assert accepted is not vector["wantErr"]


@pytest.mark.parametrize("file", vectors.files("merkle/transparency-dev/consistency"))
def test_published_consistency_proofs_get_the_published_verdict(file: Path) -> None:
    vector = json.loads(file.read_text())
    root1, root2 = vectors.b64([vector["root1"], vector["root2"]])
    proof = vectors.b64(vector["proof"])
    accepted = is_accepted(verify_consistency, vector["size1"], vector["size2"], proof, root1, root2)
    assert accepted is not vector["wantErr"]


@pytest.mark.parametrize("size", SIZES)
def test_each_leaf_has_the_inclusion_proof_of_the_recursive_definition(size: int) -> None:
    for index in range(size):
        storage = Storage(size)
        proof = prove_inclusion(index, size, storage)
        assert list(proof) == reference.path(index, 0, size)
        assert len(storage.requests) == (1 if proof else 0)
        verify_inclusion(LEAVES[index], index, size, proof, mth(0, size))


@pytest.mark.parametrize("size", SIZES)
def test_a_corrupted_inclusion_proof_is_refused(size: int) -> None:
    for index in range(size):
        proof = reference.path(index, 0, size)
        for wrong in distinct(proof):
            with pytest.raises(VerificationError):
                verify_inclusion(LEAVES[index], index, size, wrong, mth(0, size))
        with pytest.raises(VerificationError):
            verify_inclusion(LEAVES[index], index, size, proof, mth(0, size + 1))
        with pytest.raises(VerificationError):
            verify_inclusion(LEAVES[index + 1], index, size, proof, mth(0, size))


@pytest.mark.parametrize("size", range(1, 34))
def test_a_leaf_is_included_at_its_own_index_only(size: int) -> None:
    for index in range(size):
        proof = reference.path(index, 0, size)
        accepted = [
            other
            for other in range(size)
            if is_accepted(verify_inclusion, LEAVES[index], other, size, proof, mth(0, size))
        ]
        assert accepted == [index]


@pytest.mark.parametrize("size2", SIZES)
def test_each_older_tree_has_the_consistency_proof_of_the_recursive_definition(size2: int) -> None:
    for size1 in range(1, size2 + 1):
        storage = Storage(size2)
        proof = prove_consistency(size1, size2, storage)
        assert list(proof) == reference.subproof(size1, 0, size2, True)
        assert len(storage.requests) == (1 if proof else 0)
        verify_consistency(size1, size2, proof, mth(0, size1), mth(0, size2))


@pytest.mark.parametrize("size2", SIZES)
def test_a_corrupted_consistency_proof_is_refused(size2: int) -> None:
    for size1 in range(1, size2 + 1):
        proof, root1, root2 = reference.subproof(size1, 0, size2, True), mth(0, size1), mth(0, size2)
        for wrong in distinct(proof):
            with pytest.raises(VerificationError):
                verify_consistency(size1, size2, wrong, root1, root2)
        stranger = reference.LEAVES[-1]
        for roots in ((stranger, root2), (root1, stranger)) + (((root2, root1),) if size1 != size2 else ()):
            with pytest.raises(VerificationError):
                verify_consistency(size1, size2, proof, *roots)


def test_a_log_that_rewrote_an_old_leaf_has_no_consistency_proof() -> None:
    fork = mth(0, 6)
    for size2 in range(8, reference.LIMIT):
        # The fork's own root cannot be reached with the hashes of the honest tree.
        proof = prove_consistency(7, size2, Storage(size2))
        with pytest.raises(VerificationError, match="root of size 7"):
            verify_consistency(7, size2, proof, fork, mth(0, size2))


def test_the_empty_tree_is_consistent_with_nothing() -> None:
    empty = mth(0, 0)
    for size2 in (0, 1, 5):
        with pytest.raises(VerificationError, match="0 < size1"):
            verify_consistency(0, size2, [], empty, mth(0, size2))
        with pytest.raises(ValueError, match="0 < size1"):
            prove_consistency(0, size2, Storage(size2))


@pytest.mark.parametrize("size", range(reference.LIMIT + 1))
def test_every_range_is_proved_by_the_compact_ranges_beside_it(size: int) -> None:
    for end in range(size + 1):
        for start in range(end + 1):
            storage = Storage(size)
            proof = prove_range(start, end, size, storage)
            assert proof.left == reference.cover_hashes(0, start)
            assert proof.right == reference.cover_hashes(end, size)
            assert len(storage.requests) <= 1
            verify_range(iter(LEAVES[start:end]), start, end, size, proof, mth(0, size))


@pytest.mark.parametrize("size", range(1, 25))
def test_a_corrupted_range_proof_is_refused(size: int) -> None:
    for end in range(size + 1):
        for start in range(end + 1):
            left, right = reference.cover_hashes(0, start), reference.cover_hashes(end, size)
            proofs = [RangeProof(left=tuple(wrong), right=right) for wrong in distinct(left)]
            proofs += [RangeProof(left=left, right=tuple(wrong)) for wrong in distinct(right)]
            if left != right:
                proofs.append(RangeProof(left=right, right=left))
            for proof in proofs:
                with pytest.raises(VerificationError):
                    verify_range(LEAVES[start:end], start, end, size, proof, mth(0, size))


def rearranged(proof: RangeProof) -> Iterator[RangeProof]:
    """The proof with a hash dropped, swapped with its neighbour, or shifted: along its side or over to the other."""
    for name in ("left", "right"):
        hashes = getattr(proof, name)
        for at in range(len(hashes)):
            yield replace(proof, **{name: hashes[:at] + hashes[at + 1 :]})
        for at in range(1, len(hashes)):
            swapped = (*hashes[: at - 1], hashes[at], hashes[at - 1], *hashes[at + 1 :])
            yield replace(proof, **{name: swapped})
        if len(hashes) > 2:
            yield replace(proof, **{name: hashes[1:] + hashes[:1]})
    if proof.left:
        yield RangeProof(left=proof.left[:-1], right=(proof.left[-1], *proof.right))
    if proof.right:
        yield RangeProof(left=(*proof.left, proof.right[0]), right=proof.right[1:])


@pytest.mark.parametrize("size", SIZES)
def test_every_range_proof_with_a_hash_dropped_swapped_or_shifted_is_refused(size: int) -> None:
    root, lefts = mth(0, size), [reference.cover_hashes(0, start) for start in range(size + 1)]
    for end in range(size + 1):
        right = reference.cover_hashes(end, size)
        for start in range(end + 1):
            proof, leaves = RangeProof(left=lefts[start], right=right), LEAVES[start:end]
            for wrong in rearranged(proof):
                assert not is_accepted(verify_range, leaves, start, end, size, wrong, root), (start, end, wrong)


@pytest.mark.parametrize("size", range(1, 25))
def test_a_range_with_a_leaf_dropped_added_or_changed_is_refused(size: int) -> None:
    for end in range(size + 1):
        for start in range(end + 1):
            proof, root = prove_range(start, end, size, Storage(size)), mth(0, size)
            for leaves in distinct(LEAVES[start:end]):
                with pytest.raises(VerificationError):
                    verify_range(leaves, start, end, size, proof, root)


@pytest.mark.parametrize("size", range(1, 25))
def test_leaves_do_not_pass_for_another_range(size: int) -> None:
    for end in range(size + 1):
        for start in range(end):
            proof = prove_range(start, end, size, Storage(size))
            for shift in (-1, 1):
                with pytest.raises(VerificationError):
                    verify_range(LEAVES[start:end], start + shift, end + shift, size, proof, mth(0, size))


def test_an_endless_stream_of_leaves_is_refused_at_the_first_too_many() -> None:
    proof = prove_range(0, 3, 7, Storage(7))
    with pytest.raises(VerificationError, match="got more than 3"):
        verify_range(repeat(LEAVES[0]), 0, 3, 7, proof, mth(0, 7))


def test_the_proof_has_its_exact_length_before_a_leaf_is_read() -> None:
    def unread() -> Iterator[bytes]:
        raise AssertionError("read before the length of the proof was checked")
        yield b""

    proof = RangeProof(left=(LEAVES[0],) * 3, right=())
    with pytest.raises(VerificationError, match="got 3 hashes, wanted 1"):
        verify_range(unread(), 4, 7, 7, proof, mth(0, 7))


@pytest.mark.parametrize("bad", NO_SIZES, ids=repr)
def test_what_is_no_size_is_refused_by_provers_and_verifiers(bad: Any) -> None:
    empty = RangeProof(left=(), right=())
    for index, size in ((bad, 1), (0, bad)):
        with pytest.raises(ValueError, match="wanted"):
            prove_inclusion(index, size, Storage(1))
        with pytest.raises(VerificationError, match="wanted"):
            verify_inclusion(LEAVES[0], index, size, [], LEAVES[0])
    for size1, size2 in ((bad, 1), (1, bad)):
        with pytest.raises(ValueError, match="wanted"):
            prove_consistency(size1, size2, Storage(1))
        with pytest.raises(VerificationError, match="wanted"):
            verify_consistency(size1, size2, [], LEAVES[0], LEAVES[0])
    for start, end, size in ((bad, 1, 1), (0, bad, 1), (0, 1, bad)):
        with pytest.raises(ValueError, match="wanted"):
            prove_range(start, end, size, Storage(1))
        with pytest.raises(VerificationError, match="wanted"):
            verify_range([LEAVES[0]], start, end, size, empty, LEAVES[0])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (8, 7)])
def test_an_index_beyond_the_tree_is_refused(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="0 <= index < size"):
        prove_inclusion(index, size, Storage(size))
    with pytest.raises(VerificationError, match="0 <= index < size"):
        verify_inclusion(LEAVES[0], index, size, [], mth(0, size))


@pytest.mark.parametrize(("start", "end", "size"), [(2, 1, 3), (0, 4, 3), (4, 4, 3), (-1, 1, 3)])
def test_a_range_beyond_the_tree_is_refused(start: int, end: int, size: int) -> None:
    with pytest.raises(ValueError, match="a part of"):
        prove_range(start, end, size, Storage(size))
    with pytest.raises(VerificationError, match="a part of"):
        verify_range([], start, end, size, RangeProof(left=(), right=()), mth(0, size))


@pytest.mark.parametrize("bad", NO_HASHES, ids=repr)
def test_what_is_not_32_bytes_is_refused_as_hash_root_and_leaf(bad: Any) -> None:
    good, root = LEAVES[1], mth(0, 2)
    empty = RangeProof(left=(), right=())
    for leaf, proof, wanted in (
        (bad, [good], root),
        (LEAVES[0], [bad], root),
        (LEAVES[0], [good], bad),
        (bad, [], bad),
    ):
        with pytest.raises(VerificationError):
            verify_inclusion(leaf, 0, len(proof) + 1, proof, wanted)
    for root1, proof, root2 in ((bad, [good], root), (LEAVES[0], [bad], root), (LEAVES[0], [good], bad)):
        with pytest.raises(VerificationError):
            verify_consistency(1, 2, proof, root1, root2)
    for leaves, wanted in (([LEAVES[0], bad], root), (LEAVES[:2], bad)):
        with pytest.raises(VerificationError, match="wanted 32 bytes"):
            verify_range(leaves, 0, 2, 2, empty, wanted)


def test_roots_at_equal_sizes_must_be_the_same_bytes() -> None:
    verify_consistency(3, 3, [], mth(0, 3), mth(0, 3))
    nothing: Any = None
    for root1, root2 in ((mth(0, 3), mth(0, 4)), (nothing, nothing)):
        with pytest.raises(VerificationError, match="root of size 3"):
            verify_consistency(3, 3, [], root1, root2)
    with pytest.raises(VerificationError, match="wanted 0"):
        verify_consistency(3, 3, [LEAVES[0]], mth(0, 3), mth(0, 3))


def test_storage_that_gives_too_few_hashes_is_not_believed() -> None:
    with pytest.raises(ValueError, match="storage: got 1 hashes, wanted 2"):
        prove_inclusion(0, 3, lambda nodes: [LEAVES[0]])


@given(st.integers(1, 2**63 - 1), st.data())
def test_proofs_of_huge_trees_are_planned_with_few_nodes(size: int, data: st.DataObject) -> None:
    asked: list[tuple[int, int]] = []

    def read(nodes: Sequence[tuple[int, int]]) -> list[bytes]:
        asked.extend(nodes)
        return [bytes(32)] * len(nodes)

    index = data.draw(st.integers(0, size - 1))
    assert len(prove_inclusion(index, size, read)) <= 63
    assert len(prove_consistency(index + 1, size, read)) <= 64
    assert all((index + 1) << level <= size for level, index in asked)
    assert len(asked) <= 4 * 64
