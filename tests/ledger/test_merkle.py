from __future__ import annotations

from itertools import pairwise

import pytest

from auditkit_django.ledger import merkle
from auditkit_django.ledger.ranges import CompactRange
from tests.ledger import reference, vectors


def test_the_hasher_gives_the_published_hashes() -> None:
    seen = set()
    for vector in vectors.load("merkle/rfc6962-hasher.json"):
        seen.add(vector["desc"])
        if vector["desc"] == "empty tree":
            got = merkle.EMPTY_ROOT
        elif vector["desc"] == "leaf":
            got = merkle.leaf_hash(vector["data_utf8"].encode())
        else:
            got = merkle.node_hash(vector["left_utf8"].encode(), vector["right_utf8"].encode())
        assert got.hex() == vector["want"], vector
    assert seen == {"empty tree", "leaf", "node"}


def test_the_certificate_transparency_tree_has_the_published_hashes() -> None:
    tree = vectors.load("merkle/ct-reference-tree.json")
    level = [merkle.leaf_hash(bytes.fromhex(leaf)) for leaf in tree["leaf_inputs_hex"]]
    leaves = level
    for published in tree["node_hashes_hex_by_level"]:
        assert [node.hex() for node in level] == published
        level = [merkle.node_hash(left, right) for left, right in list(pairwise(level))[::2]]
    for size, published_root in enumerate(tree["root_hashes_hex_by_size"]):
        assert merkle.root(leaves[:size]).hex() == published_root
    for size, published_range in enumerate(tree["compact_range_0_n_hex"]):
        grown = CompactRange()
        grown.extend(leaves[:size])
        assert [node.hex() for node in grown.hashes] == published_range


@pytest.mark.parametrize("size", range(reference.LIMIT + 1))
def test_the_root_is_that_of_the_recursive_definition(size: int) -> None:
    assert merkle.root(iter(reference.LEAVES[:size])) == reference.mth(0, size)


def test_the_empty_tree_has_the_hash_of_no_bytes_and_one_leaf_is_its_own_root() -> None:
    assert merkle.root([]) == merkle.EMPTY_ROOT
    assert merkle.root([reference.LEAVES[0]]) == reference.LEAVES[0]


def test_an_entry_made_of_two_hashes_does_not_pose_as_their_parent() -> None:
    left, right = reference.LEAVES[:2]
    assert merkle.leaf_hash(left + right) != merkle.node_hash(left, right)
    assert merkle.leaf_hash(b"\x01" + left + right) != merkle.node_hash(left, right)
