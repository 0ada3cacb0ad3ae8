"""A reader of tlog-tiles directories, written from the format's text with hashlib alone; no code shared with the product."""

from __future__ import annotations

import hashlib
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Directory:
    """The files below ``folder``, as a client of its checkpoint reads them; entries before ``first`` were pruned."""

    folder: Path
    first: int = 0

    def said(self) -> tuple[str, int, bytes]:
        """Origin, size and root of the checkpoint; the signature is not looked at."""
        origin, size, root, *_rest = (self.folder / "checkpoint").read_text().split("\n")
        return origin, int(size), b64decode(root)

    def tile(self, level: int | str, number: int, width: int) -> bytes:
        groups = [f"{number // 1000**place % 1000:03d}" for place in range(3) if number // 1000**place or not place]
        name = "/x".join(reversed(groups))
        name = f"x{name}" if len(groups) > 1 else name
        return (self.folder / f"tile/{level}/{name}{'' if width == 256 else f'.p/{width}'}").read_bytes()

    def row(self, level: int) -> list[bytes]:
        """All hashes of one level, from the first tile that ends after ``first`` on."""
        count, first = self.said()[1] // 256**level, self.first // 256 ** (level + 1) * 256
        data = b"".join(self.tile(level, at // 256, min(256, count - at)) for at in range(first, count, 256))
        assert len(data) == 32 * (count - first)
        return [data[at : at + 32] for at in range(0, len(data), 32)]

    def entries(self) -> Iterator[bytes]:
        size = self.said()[1]
        for at in range(self.first, size, 256):
            width = min(256, size - at)
            data = self.tile("entries", at // 256, width)
            for _ in range(width):
                length = int.from_bytes(data[:2], "big")
                assert len(data) >= 2 + length
                yield data[2 : 2 + length]
                data = data[2 + length :]
            assert data == b""

    def check(self) -> int:
        """That entries, tiles of every level and the checkpoint's root agree; the size."""
        _origin, size, said = self.said()
        row = self.row(0)
        assert row == [hashlib.sha256(b"\0" + entry).digest() for entry in self.entries()]
        if self.first:
            # A tree of n leaves is that of its full blocks of 256 and of the rest.
            assert root([*self.row(1), *([root(self.row(0)[-(size % 256) :])] if size % 256 else [])]) == said
            assert self.first < 65_536
            return size
        assert root(row) == said
        level = 0
        while len(row) >= 256:
            above = [root(row[at : at + 256]) for at in range(0, len(row) - len(row) % 256, 256)]
            level += 1
            row = self.row(level)
            assert row == above
        assert {path.name for path in (self.folder / "tile").iterdir()} == {"entries", *map(str, range(level + 1))}
        return size

    def files(self) -> dict[str, tuple[int, bytes]]:
        """Path to inode and content of every file."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): (path.stat().st_ino, path.read_bytes()) for path in found}


def root(leaves: list[bytes]) -> bytes:
    """The Merkle tree hash of RFC 9162, section 2.1.1."""
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return hashlib.sha256(b"\1" + root(leaves[:split]) + root(leaves[split:])).digest()
