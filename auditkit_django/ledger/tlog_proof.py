"""
Inclusion proofs as text (C2SP tlog-proof, c2sp.org/tlog-proof): one entry's place in a log, with the checkpoint it is under::

    c2sp.org/tlog-proof@v1
    index <decimal>
    <hash, base64>              one line for each, lowest level first
                                an empty line
    <the signed checkpoint>

The optional line ``extra`` of the format is not written and is refused.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass

from auditkit_django.ledger import base64
from auditkit_django.ledger.checkpoint import Checkpoint, open_checkpoint
from auditkit_django.ledger.entry import leaf_hash
from auditkit_django.ledger.errors import MalformedError, excerpt
from auditkit_django.ledger.merkle import HASH_BYTES
from auditkit_django.ledger.note import VerifierKey
from auditkit_django.ledger.proofs import verify_inclusion

HEAD = "c2sp.org/tlog-proof@v1"
_INDEX = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
#: A tree of 2**63 leaves has no longer path.
_MAX_HASHES = 63


@dataclass(frozen=True, slots=True, kw_only=True)
class TlogProof:
    """``hashes`` are 32 bytes each, lowest level first; ``note`` is the signed checkpoint, as it was read."""

    index: int
    hashes: tuple[bytes, ...]
    note: str


def format_proof(proof: TlogProof) -> str:
    """The text of ``proof``."""
    lines = (b64encode(one).decode() for one in proof.hashes)
    return "\n".join([HEAD, f"index {proof.index}", *lines, "", proof.note])


def parse_proof(text: str) -> TlogProof:
    """
    The proof that ``text`` is; its checkpoint is not opened.

    Raises:
        MalformedError: Not that form.
    """
    top, blank, note = text.partition("\n\n")
    head, *lines = top.split("\n")
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if head != HEAD or not blank or index is None or len(lines) > 1 + _MAX_HASHES:
        raise MalformedError(f"proof: got {excerpt(text)}, wanted {HEAD}, an index, hashes and a signed checkpoint")
    return TlogProof(
        index=int(index[1]),
        hashes=tuple(base64.decode(line, "proof", length=HASH_BYTES) for line in lines[1:]),
        note=note,
    )


def verify_proof(text: str, entry: bytes, keys: Iterable[VerifierKey], *, origin: str | None = None) -> Checkpoint:
    """
    Check that ``entry`` is in the log whose signed checkpoint ``text`` brings; that checkpoint.

    Raises:
        MalformedError: Not that form.
        VerificationError: The checkpoint is not signed by ``keys``, or is another log's; or the proof leads elsewhere.
    """
    proof = parse_proof(text)
    checkpoint, _verified = open_checkpoint(proof.note, keys, origin=origin)
    verify_inclusion(leaf_hash(entry), proof.index, checkpoint.size, proof.hashes, checkpoint.root)
    return checkpoint
