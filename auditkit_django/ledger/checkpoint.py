"""
Checkpoints (C2SP tlog-checkpoint, c2sp.org/tlog-checkpoint): how large a log is and what its root is, in a signed note.

The text has exactly three lines::

    <origin of the log>
    <size, decimal>
    <root, base64 of 32 bytes>

Extension lines, which the format allows, are refused: they could carry a second meaning past those who do not read them.
The origin is the name of the log for ever, and of the key that signs for it.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from auditkit_django.ledger import base64
from auditkit_django.ledger import note as notes
from auditkit_django.ledger.errors import MalformedError, VerificationError, excerpt
from auditkit_django.ledger.merkle import EMPTY_ROOT, HASH_BYTES
from auditkit_django.ledger.note import Note, Verified, VerifierKey
from auditkit_django.ledger.ranges import SIZE_LIMIT

_SIZE = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)
_ORIGIN = re.compile(r"[^\n]{1,255}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """``size`` counts entries; ``root`` is 32 bytes, that of the tree over their leaf hashes (RFC 9162)."""

    origin: str
    size: int
    root: bytes


def format_checkpoint(checkpoint: Checkpoint) -> str:
    """The three lines of ``checkpoint``: what is signed."""
    return f"{checkpoint.origin}\n{checkpoint.size}\n{b64encode(checkpoint.root).decode()}\n"


def parse_checkpoint(text: str) -> Checkpoint:
    """
    The checkpoint that the text of a note is.

    Raises:
        MalformedError: Not exactly three lines of that form, or an empty log with another root than that of no leaves.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3]:
        raise MalformedError(
            f"checkpoint: got {len(lines) - 1} lines, wanted origin, size and root, each with a newline"
        )
    origin, size, root = lines[:3]
    if not _ORIGIN.fullmatch(origin):
        raise MalformedError(f"checkpoint: got the origin {excerpt(origin)}, wanted 1 to 255 characters")
    if not _SIZE.fullmatch(size) or int(size) >= SIZE_LIMIT:
        raise MalformedError(
            f"checkpoint: got the size {excerpt(size)}, wanted a decimal below 2**63 without zeros in front"
        )
    found = Checkpoint(origin=origin, size=int(size), root=base64.decode(root, "checkpoint root", length=HASH_BYTES))
    if found.size == 0 and found.root != EMPTY_ROOT:
        raise MalformedError("checkpoint: got an empty log with a root, wanted that of no leaves")
    return found


def open_checkpoint(
    data: str | bytes | Note, keys: Iterable[VerifierKey], *, origin: str | None = None
) -> tuple[Checkpoint, list[Verified]]:
    """
    The checkpoint in a signed note, and the signatures that hold, at least one of the log's own key among them.

    1. The note is well-formed, and every signature by a known key holds.
    2. Its text is a checkpoint, of ``origin`` where that is given.
    3. One of the signatures is an Ed25519 signature by a key that has the origin's name.

    Raises:
        MalformedError: Steps 1 and 2: not that form.
        VerificationError: A signature does not hold, it is another log's, or the log itself has not signed.
    """
    note = data if isinstance(data, Note) else notes.parse(data)
    verified = notes.verify(note, keys)
    found = parse_checkpoint(note.text)
    if origin is not None and found.origin != origin:
        raise VerificationError(f"checkpoint: got one of {excerpt(found.origin)}, wanted one of {excerpt(origin)}")
    if not any(one.key.name == found.origin and one.key.algorithm == notes.ED25519 for one in verified):
        raise VerificationError(f"checkpoint: {excerpt(found.origin)} itself has not signed it")
    return found, verified
