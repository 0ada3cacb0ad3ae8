"""
Checkpoints in a log of checkpoints: that the checkpoint of one log is an entry of another.

The entry has the action ``audit.checkpoint.sealed``; its field ``metadata`` is origin, size, root (base64) and the SHA-256 of
the note (hex), which a disclosure opens. Whatever vouches for the other log (witnesses, time stamps) vouches for this
checkpoint: it was there at that time.

It says nothing about what else stands in that log: a second checkpoint of the same log and size, with another root, is found
only by who reads all of its entries.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from auditkit_django.ledger import disclosure as disclosures
from auditkit_django.ledger import entry as entries
from auditkit_django.ledger.checkpoint import Checkpoint, open_checkpoint
from auditkit_django.ledger.errors import VerificationError, excerpt
from auditkit_django.ledger.note import VerifierKey
from auditkit_django.ledger.tlog_proof import verify_proof

ACTION: Final = "audit.checkpoint.sealed"
_FIELD: Final = "metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedProof:
    """
    ``note``: of the checkpoint, as the log signed it. ``entry``: the bytes that stand for it in the log of checkpoints, which
    ``disclosure`` opens (RFC 9901) and ``proof`` shows to be there (C2SP tlog-proof).
    """

    note: str
    entry: bytes
    disclosure: str
    proof: str


def verify_logged(
    proof: LoggedProof,
    *,
    keys: Iterable[VerifierKey],
    meta_keys: Iterable[VerifierKey],
    origin: str | None = None,
    meta_origin: str | None = None,
) -> tuple[Checkpoint, Checkpoint]:
    """
    Check ``proof``; the checkpoint, and that of the log of checkpoints which it stands under.

    1. The note is a checkpoint, signed by its log's key, one of ``keys`` (of ``origin``, where that is given).
    2. The entry is in the log of checkpoints, by a checkpoint signed by one of ``meta_keys``.
    3. The entry is about a checkpoint, and the disclosure opens its metadata.
    4. They are those of the note: origin, size, root, digest.

    Raises:
        MalformedError: A part is not of its form.
        VerificationError: A step fails.
    """
    checkpoint, _verified = open_checkpoint(proof.note, keys, origin=origin)
    meta = verify_proof(proof.proof, proof.entry, meta_keys, origin=meta_origin)
    found = entries.parse(proof.entry)
    if found.action != ACTION or found.log != meta.origin:
        raise VerificationError(
            f"logged: got an entry of {excerpt(found.action)} in {excerpt(found.log)}, wanted {ACTION}"
        )
    opened = disclosures.parse(proof.disclosure)
    if opened.name != _FIELD or disclosures.digest(proof.disclosure) != dict(found.sd).get(_FIELD):
        raise VerificationError(f"logged: the disclosure does not open the {_FIELD} of the entry")
    wanted = {
        "note_sha256": sha256(proof.note.encode()).hexdigest(),
        "origin": checkpoint.origin,
        "root": b64encode(checkpoint.root).decode(),
        "size": checkpoint.size,
    }
    # As texts: to Python, true is 1 and 4.0 is 4.
    if disclosures.encode_value(opened.value) != disclosures.encode_value(wanted):
        raise VerificationError(
            f"logged: the entry says {excerpt(str(opened.value))}, the note says {excerpt(str(wanted))}"
        )
    return checkpoint, meta
