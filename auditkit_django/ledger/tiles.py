"""
A log as files (C2SP tlog-tiles, c2sp.org/tlog-tiles): where each tile is, and what is in it::

    checkpoint
    tile/<level>/<number>             the hashes of 256 nodes of tree level 8 * level, 32 bytes each
    tile/entries/<number>             256 entries, each after its length in 2 bytes, big-endian
    tile/…/<number>.p/<width>         the same of the last tile of a log, which has only ``width``, 1 to 255

A number is written in elements of three digits, all but the last with an ``x`` in front: 1234067 is ``x001/x234/067``. Level
0 has the leaf hashes. A partial tile has no node in the level above.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from auditkit_django.ledger.errors import MalformedError

#: Levels of the tree in one tile.
HEIGHT: Final = 8
#: Nodes, or entries, in a full tile.
WIDTH: Final = 1 << HEIGHT
MAX_ENTRY_BYTES: Final = 0xFFFF
ENTRIES: Final = "entries"
_LENGTH_BYTES: Final = 2


def tile_path(level: int | str, number: int, *, width: int = WIDTH) -> str:
    """The path of a tile below the log's folder; ``level`` is :data:`ENTRIES` for entries. ``width`` is 1 to 256."""
    if number < 0 or not 0 < width <= WIDTH:
        raise ValueError(f"tile: got number {number} and width {width}, wanted 0 or more and 1 to {WIDTH}")
    digits = str(number)
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    *first, last = (digits[at : at + 3] for at in range(0, len(digits), 3))
    path = "/".join(["tile", str(level), *(f"x{one}" for one in first), last])
    return path if width == WIDTH else f"{path}.p/{width}"


def format_bundle(entries: Iterable[bytes]) -> bytes:
    """
    The file of ``entries``.

    Raises:
        MalformedError: One has more than 65,535 bytes.
    """
    found = []
    for entry in entries:
        if len(entry) > MAX_ENTRY_BYTES:
            raise MalformedError(f"entry: got {len(entry)} bytes, wanted at most {MAX_ENTRY_BYTES}")
        found += [len(entry).to_bytes(_LENGTH_BYTES), entry]
    return b"".join(found)


def parse_bundle(data: bytes) -> list[bytes]:
    """
    The entries in a file of them.

    Raises:
        MalformedError: The last one is cut.
    """
    entries, at = [], 0
    while at < len(data):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(data[at:start])
        if at > len(data) or start > len(data):
            raise MalformedError(f"entries: got {len(data)} bytes, wanted {max(at, start)}: the last one is cut")
        entries.append(data[start:at])
    return entries
