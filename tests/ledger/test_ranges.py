from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit_django.ledger.errors import MalformedError
from auditkit_django.ledger.ranges import CompactRange, range_nodes
from tests.ledger import reference

LEAVES = reference.LEAVES


def grown(start: int, end: int) -> CompactRange:
    compact = CompactRange(start=start)
    compact.extend(LEAVES[start:end])
    return compact


@pytest.mark.parametrize("end", range(reference.LIMIT + 1))
def test_a_range_that_grew_leaf_by_leaf_holds_the_largest_subtrees(end: int) -> None:
    for start in range(end + 1):
        compact = grown(start, end)
        assert compact.hashes == reference.cover_hashes(start, end)
        assert (compact.start, compact.end, compact.size) == (start, end, end - start)
        ranges = [(index << level, (index + 1) << level) for level, index in range_nodes(start, end)]
        assert ranges == reference.cover(start, end)


@pytest.mark.parametrize("size", range(reference.LIMIT + 1))
def test_a_restored_range_grows_as_if_it_had_never_stopped(size: int) -> None:
    saved = grown(0, size)
    restored = CompactRange(saved.size, saved.hashes)
    assert restored.root() == reference.mth(0, size)
    assert len(restored.hashes) == size.bit_count()
    restored.append(LEAVES[size])
    assert restored.root() == reference.mth(0, size + 1)
    assert saved.root() == reference.mth(0, size)


@pytest.mark.parametrize("end", range(0, 41, 5))
def test_two_ranges_side_by_side_merge_into_the_range_of_both(end: int) -> None:
    for start in range(end + 1):
        for middle in range(start, end + 1):
            left = grown(start, middle)
            left.merge(grown(middle, end))
            assert left.hashes == reference.cover_hashes(start, end)
            assert (left.start, left.end) == (start, end)


def test_a_range_that_begins_elsewhere_is_not_merged() -> None:
    with pytest.raises(ValueError, match="got one from 4, wanted one from 3"):
        grown(0, 3).merge(grown(4, 5))


def test_only_a_range_from_the_first_leaf_has_a_root() -> None:
    with pytest.raises(ValueError, match="wanted one from 0"):
        grown(1, 3).root()


def test_a_copy_grows_on_its_own() -> None:
    original = grown(0, 5)
    copy = original.copy()
    copy.append(LEAVES[5])
    assert (original.root(), copy.root()) == (reference.mth(0, 5), reference.mth(0, 6))


@pytest.mark.parametrize("size", range(1, 20))
def test_a_range_with_a_hash_too_few_or_too_many_is_refused(size: int) -> None:
    hashes = grown(0, size).hashes
    for wrong in (hashes[1:], hashes[:-1], (*hashes, LEAVES[0]), ()):
        with pytest.raises(MalformedError, match=f"got {len(wrong)} hashes for {size} leaves"):
            CompactRange(size, wrong)


BAD_HASHES = [b"", bytes(31), bytes(33), "a" * 32, None, bytearray(32)]


@pytest.mark.parametrize("bad", BAD_HASHES, ids=repr)
def test_what_is_not_32_bytes_is_no_hash(bad: Any) -> None:
    with pytest.raises(MalformedError):
        CompactRange(1, [bad])
    compact = grown(0, 2)
    with pytest.raises(MalformedError, match="wanted 32 bytes"):
        compact.extend([bad])
    assert compact.root() == reference.mth(0, 2)


@pytest.mark.parametrize("size", [-1, 2**63, True, 1.0, "1", None], ids=repr)
def test_what_cannot_count_leaves_is_refused(size: Any) -> None:
    with pytest.raises(MalformedError):
        CompactRange(size, [LEAVES[0]])
    with pytest.raises(MalformedError):
        CompactRange(0, [], start=size)


@given(st.integers(0, 2**63 - 1), st.integers(0, 2**63 - 1))
def test_nodes_lie_side_by_side_aligned_and_few(one: int, other: int) -> None:
    start, end = sorted((one, other))
    at = start
    for level, index in range_nodes(start, end):
        assert index << level == at
        at = (index + 1) << level
    assert at == end
    assert len(range_nodes(start, end)) <= 2 * 62
    assert len(range_nodes(0, end)) == end.bit_count()
