"""
Range proofs as text: that the entries [start, end) of a log are all there are there, with the checkpoint they are under::

    auditkit-django/range-proof/1
    range <start> <end>
    left <count>
    <hash, base64>              one line for each node of the compact range [0, start), left to right
    right <count>
    <hash, base64>              likewise of [end, size)
                                an empty line
    <the signed checkpoint>

No standard has a form for these; this one follows C2SP tlog-proof. The counts follow from start, end and size, and are said
all the same, so that a cut text is recognised before anything is hashed.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from auditkit_django.ledger import base64
from auditkit_django.ledger.checkpoint import Checkpoint, open_checkpoint
from auditkit_django.ledger.errors import MalformedError, excerpt
from auditkit_django.ledger.merkle import HASH_BYTES
from auditkit_django.ledger.note import VerifierKey
from auditkit_django.ledger.proofs import RangeProof, verify_range

HEAD: Final = "auditkit-django/range-proof/1"
_NUMBER: Final = r"(0|[1-9][0-9]{0,18})"
_RANGE: Final = re.compile(rf"range {_NUMBER} {_NUMBER}", re.ASCII)
_LEFT: Final = re.compile(rf"left {_NUMBER}", re.ASCII)
_RIGHT: Final = re.compile(rf"right {_NUMBER}", re.ASCII)
#: No compact range of a tree below 2**63 leaves has more.
_MAX_HASHES: Final = 2 * 63


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenRange:
    """The entries [``start``, ``end``) and what stands for those around; ``note`` is the signed checkpoint as it was read."""

    start: int
    end: int
    proof: RangeProof
    note: str


def format_range(proven: ProvenRange) -> str:
    """The text of ``proven``."""
    left, right = ([b64encode(one).decode() for one in side] for side in (proven.proof.left, proven.proof.right))
    head = [HEAD, f"range {proven.start} {proven.end}"]
    return "\n".join([*head, f"left {len(left)}", *left, f"right {len(right)}", *right, "", proven.note])


def parse_range(text: str) -> ProvenRange:
    """
    The proof that ``text`` is; its checkpoint is not opened.

    Raises:
        MalformedError: Not that form.
    """
    top, blank, note = text.partition("\n\n")
    lines = top.split("\n")
    place = _RANGE.fullmatch(lines[1]) if len(lines) >= 4 else None
    if lines[0] != HEAD or not blank or place is None or len(lines) > 4 + 2 * _MAX_HASHES:
        raise MalformedError(
            f"range proof: got {excerpt(text)}, wanted {HEAD}, a range, hashes and a signed checkpoint"
        )
    left, rest = _side(lines[2:], _LEFT)
    right, rest = _side(rest, _RIGHT)
    if rest:
        raise MalformedError(f"range proof: got {excerpt(rest[0])} after the hashes, wanted an empty line")
    return ProvenRange(start=int(place[1]), end=int(place[2]), proof=RangeProof(left=left, right=right), note=note)


def verify_proven(
    proven: ProvenRange, leaf_hashes: Iterable[bytes], keys: Iterable[VerifierKey], *, origin: str | None = None
) -> Checkpoint:
    """
    Check that ``leaf_hashes`` are those of all the entries in the range, of the log whose signed checkpoint ``proven`` brings;
    that checkpoint. The hashes are read once.

    Raises:
        MalformedError: The checkpoint is none.
        VerificationError: It is not signed by ``keys``, or is another log's; or the hashes lead elsewhere.
    """
    checkpoint, _verified = open_checkpoint(proven.note, keys, origin=origin)
    verify_range(leaf_hashes, proven.start, proven.end, checkpoint.size, proven.proof, checkpoint.root)
    return checkpoint


def _side(lines: list[str], form: re.Pattern[str]) -> tuple[tuple[bytes, ...], list[str]]:
    """The hashes that the first line counts, and the lines after them."""
    counted = form.fullmatch(lines[0]) if lines else None
    count = int(counted[1]) if counted is not None else 0
    if counted is None or count > _MAX_HASHES or len(lines) <= count:
        raise MalformedError(f"range proof: got {excerpt(lines[:1])}, wanted {form.pattern[:5].strip()} and its hashes")
    hashes = tuple(base64.decode(line, "range proof", length=HASH_BYTES) for line in lines[1 : 1 + count])
    return hashes, lines[1 + count :]
