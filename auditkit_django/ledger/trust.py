"""
Trust from key to key: which key signs for which sizes of a log, and how a key that is pinned leads to the next.

A log goes from one key to the next by an entry of its own, :data:`ROTATED`, whose metadata names both. The first checkpoint
that covers the entry is signed by both keys: so the old one says who is next, and the next that it is there. After that
checkpoint the old key says nothing about the log any more.

From a key that was revoked no path leads on: whoever stole it could have made one. The next key has to be pinned anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from auditkit_django.ledger import disclosure
from auditkit_django.ledger.checkpoint import Checkpoint, open_checkpoint, parse_checkpoint
from auditkit_django.ledger.entry import Entry, parse
from auditkit_django.ledger.errors import MalformedError, VerificationError, excerpt
from auditkit_django.ledger.note import ED25519, Note, VerifierKey, format_vkey, parse_vkey
from auditkit_django.ledger.note import parse as parse_note
from auditkit_django.ledger.tlog_proof import parse_proof, verify_proof

ROTATED: Final = "audit.key.rotated"
REVOKED: Final = "audit.key.revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A key and the sizes of the checkpoints that it signs: ``from_size`` to ``to_size``, both included; None: no end."""

    key: VerifierKey
    from_size: int = 0
    to_size: int | None = None

    def is_for(self, size: int) -> bool:
        """Whether it signs checkpoints of ``size`` entries."""
        return self.from_size <= size and (self.to_size is None or size <= self.to_size)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """
    What proves a rotation: the entry's bytes, the disclosure (RFC 9901) of its metadata, and the tlog-proof that leads from
    the entry to the checkpoint with both signatures.
    """

    entry: bytes
    metadata: str
    proof: str


def open_trusted(data: str | bytes | Note, trusted: Iterable[TrustedKey], *, origin: str) -> Checkpoint:
    """
    The checkpoint in a signed note, signed by one of the keys that are trusted at its size.

    Raises:
        MalformedError: Not that form.
        VerificationError: None of those keys signed it, a signature does not hold, or it is another log's.
    """
    note = data if isinstance(data, Note) else parse_note(data)
    size = parse_checkpoint(note.text).size
    return open_checkpoint(note, [one.key for one in trusted if one.is_for(size)], origin=origin)[0]


def follow(pinned: VerifierKey, rotations: Iterable[Rotation]) -> list[TrustedKey]:
    """
    The keys that a log's pinned key leads to, itself first, by ``rotations`` in their order.

    Raises:
        MalformedError: Something is not of its form.
        VerificationError: One of the rotations does not follow from the key before it.
    """
    found = [TrustedKey(key=pinned)]
    for rotation in rotations:
        found[-1:] = follow_rotation(found[-1], rotation)
    return found


def reach(pinned: Iterable[VerifierKey], rotations: Sequence[Rotation]) -> tuple[list[TrustedKey], list[str]]:
    """
    The keys that ``pinned`` ones, each of any generation, lead to by ``rotations`` in their order; and, in words, which of those
    are not proven.
    """
    found: list[TrustedKey] = []
    refused: list[str] = []
    for key in pinned:
        path = [TrustedKey(key=key)]
        for rotation in rotations:
            try:
                # Those of before the key that is pinned say nothing to its holder.
                if _old_key(rotation) == format_vkey(path[-1].key):
                    path[-1:] = follow_rotation(path[-1], rotation)
            except (MalformedError, VerificationError) as exc:
                refused.append(str(exc))
        found += path
    return found, refused


def _old_key(rotation: Rotation) -> str:
    return _keys_in(parse(rotation.entry), rotation.metadata)[0]


def follow_rotation(trusted: TrustedKey, rotation: Rotation) -> tuple[TrustedKey, TrustedKey]:
    """
    The key that comes after ``trusted``: the old key, ended, and the new one.

    1. The entry is a rotation of the log that the key is named after, and the disclosure opens its metadata.
    2. The metadata names the trusted key as the old one, and a well-formed key of the same log as the new one.
    3. The proof leads to a checkpoint that the trusted key signed, of a size that it is trusted for.
    4. The new key signed the same checkpoint.

    Raises:
        MalformedError: Something is not of its form.
        VerificationError: One of the steps does not hold; the message says which.
    """
    origin, parsed = trusted.key.name, parse(rotation.entry)
    if parsed.log != origin or parsed.action != ROTATED:
        raise VerificationError(
            f"rotation: got {excerpt(parsed.action)} of {excerpt(parsed.log)}, wanted {ROTATED} of {excerpt(origin)}"
        )
    old, new = _keys_in(parsed, rotation.metadata)
    if old != format_vkey(trusted.key):
        raise VerificationError(f"rotation: got one of the key {excerpt(old)}, wanted {format_vkey(trusted.key)}")
    key = parse_vkey(new)
    if key.name != origin or key.algorithm != ED25519 or key == trusted.key:
        raise VerificationError(f"rotation: got the new key {excerpt(new)}, wanted another Ed25519 key of {origin}")
    checkpoint = verify_proof(rotation.proof, rotation.entry, [trusted.key], origin=origin)
    opened = parse_proof(rotation.proof)
    if opened.index != parsed.seq or not trusted.is_for(checkpoint.size):
        raise VerificationError(
            f"rotation: got index {opened.index} under {checkpoint.size} entries, wanted the entry's own seq {parsed.seq}"
            " under a checkpoint that the old key is trusted for"
        )
    open_checkpoint(opened.note, [key], origin=origin)
    return replace(trusted, to_size=checkpoint.size), TrustedKey(key=key, from_size=parsed.seq + 1)


def _keys_in(entry: Entry, metadata: str) -> tuple[str, str]:
    """The verifier keys, old and new, that the entry's metadata names."""
    opened = disclosure.parse(metadata)
    if opened.name != "metadata" or entry.sd.get("metadata") != disclosure.digest(metadata):
        raise VerificationError("rotation: the disclosure is not that of the entry's metadata")
    value = opened.value
    found = (value.get("old"), value.get("new")) if isinstance(value, dict) else (None, None)
    if not isinstance(found[0], str) or not isinstance(found[1], str):
        raise MalformedError(f"rotation: got metadata without the old and the new key: {excerpt(value)}")
    return found[0], found[1]
