"""
Signed notes (C2SP signed-note, c2sp.org/signed-note): text with signatures under it, by named keys::

    <text, UTF-8, ends with a newline>
    <empty line>
    — <key name> <base64 of 4 bytes key id and the signature>

A verifier key is one line, ``<name>+<key id in hex>+<base64 of the type byte and the public key>``. The key id is the
beginning of SHA-256(name || 0x0A || type || public key); it says which key is meant and proves nothing.

Two types are known: Ed25519 over the text (0x01), and a witness's timestamped cosignature (0x04, c2sp.org/tlog-cosignature),
whose signature is 8 bytes of Unix time and an Ed25519 signature over ``cosignature/v1\\ntime <seconds>\\n`` and the text.

The parser is stricter than the format asks: one form for one meaning, bounded sizes. Where ``parse`` accepts a note,
``format_note`` gives the same bytes back.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from auditkit_django.ledger import base64, ed25519
from auditkit_django.ledger.errors import MalformedError, VerificationError, excerpt

ED25519: Final = 0x01
COSIGNATURE: Final = 0x04

#: Verifiers must take 16 signatures; more than this nobody needs.
MAX_SIGNATURES: Final = 64
MAX_NOTE_BYTES: Final = 64 * 1024
KEY_ID_BYTES: Final = 4

_NAME = re.compile(r"[^\s+\x00-\x20\x7f]{1,255}")
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f]")
_VKEY = re.compile(r"(?P<name>[^+]+)\+(?P<id>[0-9a-f]{8})\+(?P<key>[A-Za-z0-9+/=]+)")
_PREFIX: Final = "— "
_TIME_BYTES: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """One line under a note. ``blob`` is what follows the key id: 64 bytes of Ed25519, or a cosignature's 72."""

    name: str
    key_id: bytes
    blob: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A note as it was read: its signatures are not verified. ``text`` ends with a newline."""

    text: str
    signatures: tuple[Signature, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifierKey:
    """A public key with its name: who may sign, as somebody pinned it."""

    name: str
    algorithm: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """4 bytes by which signatures name the key."""
        return key_id(self.name, self.algorithm, self.public)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """A signature that holds. ``time``: Unix seconds of a cosignature, None of any other."""

    key: VerifierKey
    signature: Signature
    time: int | None


def key_id(name: str, algorithm: int, public: bytes) -> bytes:
    """The first 4 bytes of SHA-256(name || 0x0A || type || public key)."""
    return sha256(name.encode() + b"\n" + bytes([algorithm]) + public).digest()[:KEY_ID_BYTES]


def format_vkey(key: VerifierKey) -> str:
    """The line that stands for ``key``."""
    encoded = b64encode(bytes([key.algorithm]) + key.public).decode()
    return f"{key.name}+{key.key_id.hex()}+{encoded}"


def parse_vkey(text: str) -> VerifierKey:
    """
    The key that the line ``text`` stands for.

    Raises:
        MalformedError: Not that form, an unknown type, a key id of another key, or a key that cannot be trusted
            (:func:`ed25519.check_key`).
    """
    match = _VKEY.fullmatch(text)
    if match is None:
        raise MalformedError(f"verifier key: got {excerpt(text)}, wanted name+key id+base64")
    _check_name(match["name"])
    data = base64.decode(match["key"], "verifier key")
    if len(data) != 1 + ed25519.KEY_BYTES or data[0] not in (ED25519, COSIGNATURE):
        raise MalformedError(f"verifier key: got {len(data)} bytes of type {data[:1].hex()}, wanted Ed25519")
    key = VerifierKey(name=match["name"], algorithm=data[0], public=data[1:])
    ed25519.check_key(key.public)
    if key.key_id.hex() != match["id"]:
        raise MalformedError(f"verifier key: got the key id {match['id']}, wanted {key.key_id.hex()}")
    return key


def format_note(note: Note) -> str:
    """The text of ``note`` with its signature lines."""
    lines = (f"{_PREFIX}{one.name} {b64encode(one.key_id + one.blob).decode()}\n" for one in note.signatures)
    return f"{note.text}\n{''.join(lines)}"


def parse(data: str | bytes) -> Note:
    """
    The note that ``data`` is, its signatures unverified.

    Raises:
        MalformedError: Not that form; not UTF-8; too large; without a signature, or with too many.
    """
    text = _decoded(data)
    head, blank, tail = text.rpartition("\n\n")
    if not blank or not tail.endswith("\n") or not head:
        raise MalformedError(
            f"note: got {excerpt(text)}, wanted text, an empty line and signatures, each with a newline"
        )
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise MalformedError(f"note: got {len(lines)} signatures, wanted at most {MAX_SIGNATURES}")
    return Note(text=head + "\n", signatures=tuple(_signature(line) for line in lines))


def verify(note: Note, keys: Iterable[VerifierKey]) -> list[Verified]:
    """
    The signatures of ``note`` by ``keys``, all of which hold, in the note's order; those of other keys are passed over.

    Raises:
        VerificationError: None of the keys signed; one of them did and its signature does not hold; or it did twice.
    """
    known = {(key.name, key.key_id): key for key in keys}
    found: list[Verified] = []
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if any(one.key == key for one in found):
            raise VerificationError(f"note: got two signatures of {key.name!r}, wanted one")
        found.append(_verified(note.text, key, signature))
    if not found:
        names = ", ".join(sorted({one.name for one in note.signatures}))
        raise VerificationError(f"note: got signatures by {excerpt(names)}, wanted one by a known key")
    return found


def sign(text: str, *, key: VerifierKey, signer: Callable[[bytes], bytes]) -> Signature:
    """
    The Ed25519 signature of ``text`` under ``key``; ``signer`` gives the 64 bytes for a message.

    Raises:
        MalformedError: The text is none that a note can have.
        VerificationError: What the signer gave does not hold under ``key``.
    """
    if not text.endswith("\n") or _CONTROL.search(text) or text.startswith("\n"):
        raise MalformedError(
            f"note: got {excerpt(text)}, wanted text that ends with a newline, without control characters"
        )
    _check_name(key.name)
    signature = Signature(name=key.name, key_id=key.key_id, blob=signer(text.encode()))
    # A signature that nobody can check is worse than none: it is published and cannot be taken back.
    _verified(text, key, signature)
    return signature


def signed(text: str, signatures: Sequence[Signature]) -> str:
    """The note of ``text`` with ``signatures``, in their order."""
    return format_note(Note(text=text, signatures=tuple(signatures)))


def _verified(text: str, key: VerifierKey, signature: Signature) -> Verified:
    time, message, blob = None, text.encode(), signature.blob
    if key.algorithm == COSIGNATURE:
        if len(blob) != _TIME_BYTES + ed25519.SIGNATURE_BYTES:
            raise VerificationError(f"note: got a cosignature of {len(blob)} bytes by {key.name!r}, wanted 72")
        time = int.from_bytes(blob[:_TIME_BYTES])
        message, blob = f"cosignature/v1\ntime {time}\n".encode() + message, blob[_TIME_BYTES:]
    if not ed25519.verify(key.public, blob, message):
        raise VerificationError(f"note: the signature of {key.name!r} does not hold")
    return Verified(key=key, signature=signature, time=time)


def _signature(line: str) -> Signature:
    name, space, encoded = line.removeprefix(_PREFIX).partition(" ")
    if not line.startswith(_PREFIX) or not space:
        raise MalformedError(f"note: got the signature line {excerpt(line)}, wanted a dash, the key's name and base64")
    _check_name(name)
    data = base64.decode(encoded, "signature")
    if len(data) <= KEY_ID_BYTES:
        raise MalformedError(f"note: got a signature of {len(data)} bytes, wanted a key id and more")
    return Signature(name=name, key_id=data[:KEY_ID_BYTES], blob=data[KEY_ID_BYTES:])


def _decoded(data: str | bytes) -> str:
    if len(data) > MAX_NOTE_BYTES:
        raise MalformedError(f"note: got {len(data)} bytes, wanted at most {MAX_NOTE_BYTES}")
    try:
        text = data if isinstance(data, str) else data.decode("utf-8")
        text.encode("utf-8")
    except UnicodeError as exc:
        raise MalformedError("note: got bytes that are not UTF-8") from exc
    if _CONTROL.search(text):
        raise MalformedError(f"note: got a control character in {excerpt(text)}, wanted none but newlines")
    return text


def _check_name(name: str) -> None:
    if not _NAME.fullmatch(name):
        raise MalformedError(f"key name: got {excerpt(name)}, wanted text without spaces and plus signs")
