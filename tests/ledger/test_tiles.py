from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditkit_django.ledger.errors import MalformedError
from auditkit_django.ledger.tiles import ENTRIES, format_bundle, parse_bundle, tile_path


@pytest.mark.parametrize(
    ("level", "number", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 67, 256, "tile/0/067"),
        (1, 999, 256, "tile/1/999"),
        (0, 1000, 256, "tile/0/x001/000"),
        # The example of the format's text.
        (0, 1234067, 256, "tile/0/x001/x234/067"),
        (0, 1234067, 8, "tile/0/x001/x234/067.p/8"),
        (63, 5, 255, "tile/63/005.p/255"),
        (ENTRIES, 273, 112, "tile/entries/273.p/112"),
        (ENTRIES, 1000000000, 256, "tile/entries/x001/x000/x000/000"),
    ],
)
def test_a_path_is_that_of_the_format(level: int | str, number: int, width: int, path: str) -> None:
    assert tile_path(level, number, width=width) == path


@pytest.mark.parametrize(("number", "width"), [(-1, 256), (0, 0), (0, 257), (0, -1)])
def test_what_is_no_tile_has_no_path(number: int, width: int) -> None:
    with pytest.raises(ValueError, match="tile: got"):
        tile_path(0, number, width=width)


@given(st.lists(st.binary(max_size=300)))
def test_a_bundle_is_read_as_it_was_written(entries: list[bytes]) -> None:
    assert parse_bundle(format_bundle(entries)) == entries


def test_a_bundle_holds_lengths_in_two_bytes() -> None:
    assert format_bundle([b"ab", b"", b"c" * 258]) == b"\x00\x02ab\x00\x00\x01\x02" + b"c" * 258
    assert parse_bundle(format_bundle([b"x" * 65_535])) == [b"x" * 65_535]
    with pytest.raises(MalformedError, match="got 65536 bytes"):
        format_bundle([b"x" * 65_536])


def test_a_bundle_that_is_cut_anywhere_else_than_between_entries_is_refused() -> None:
    entries = [b"one", b"", b"three"]
    data, whole = format_bundle(entries), {0, 5, 7, 14}
    for end in range(len(data) + 1):
        if end in whole:
            assert parse_bundle(data[:end]) == entries[: sorted(whole).index(end)]
        else:
            with pytest.raises(MalformedError, match="is cut"):
                parse_bundle(data[:end])
