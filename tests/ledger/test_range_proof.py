"""Range proofs as text: one form, every edit refused, and no more entries than there are."""

from __future__ import annotations

import random

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditkit_django.ledger.checkpoint import Checkpoint, format_checkpoint
from auditkit_django.ledger.errors import MalformedError, VerificationError
from auditkit_django.ledger.merkle import leaf_hash, root
from auditkit_django.ledger.note import ED25519, VerifierKey, sign, signed
from auditkit_django.ledger.proofs import prove_range
from auditkit_django.ledger.range_proof import ProvenRange, format_range, parse_range, verify_proven
from auditkit_django.ledger.ranges import Node

ORIGIN = "audit.example.org/t/1"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(32))
KEY = VerifierKey(name=ORIGIN, algorithm=ED25519, public=PRIVATE.public_key().public_bytes_raw())
LEAVES = [leaf_hash(str(number).encode()) for number in range(41)]


def proven(start: int, end: int, size: int = 41) -> str:
    def read(nodes: list[Node]) -> list[bytes]:
        return [root(LEAVES[index << level : (index + 1) << level]) for level, index in nodes]

    text = format_checkpoint(Checkpoint(origin=ORIGIN, size=size, root=root(LEAVES[:size])))
    note = signed(text, [sign(text, key=KEY, signer=PRIVATE.sign)])
    proof = prove_range(start, end, size, read)  # type: ignore[arg-type]
    return format_range(ProvenRange(start=start, end=end, proof=proof, note=note))


def verify(text: str, leaves: list[bytes]) -> Checkpoint:
    return verify_proven(parse_range(text), leaves, [KEY], origin=ORIGIN)


@pytest.mark.parametrize(("start", "end"), [(0, 41), (0, 0), (41, 41), (7, 7), (3, 40), (0, 1), (40, 41), (16, 32)])
def test_a_range_is_written_read_and_verified(start: int, end: int) -> None:
    text = proven(start, end)
    assert format_range(parse_range(text)) == text
    assert verify(text, LEAVES[start:end]).size == 41


@pytest.mark.parametrize("change", ["one more", "one less", "another", "swapped", "shifted"])
def test_other_entries_are_refused(change: str) -> None:
    text, leaves = proven(5, 20), LEAVES[5:20]
    changed = {
        "one more": LEAVES[5:21],
        "one less": LEAVES[5:19],
        "another": [*leaves[:-1], LEAVES[0]],
        "swapped": [leaves[1], leaves[0], *leaves[2:]],
        "shifted": LEAVES[6:21],
    }[change]
    with pytest.raises(VerificationError):
        verify(text, changed)


def test_every_byte_of_the_text_counts() -> None:
    text = proven(5, 20)
    data = text.encode()
    chosen = random.Random(7)
    for at in range(len(data)):
        byte = chosen.choice([one for one in range(256) if one != data[at]])
        changed = data[:at] + bytes([byte]) + data[at + 1 :]
        with pytest.raises((MalformedError, VerificationError, UnicodeDecodeError)):
            verify(changed.decode(), LEAVES[5:20])


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n\n", "\n", 1),
        lambda text: text.replace("range 5 20", "range 05 20"),
        lambda text: text.replace("range 5 20", "range 5  20"),
        lambda text: text.replace("range 5 20", "range 20 5"),
        lambda text: text.replace("range 5 20", "range 5 9223372036854775808"),
        lambda text: text.replace("left 2", "left 1"),
        lambda text: text.replace("left 2", "left 127"),
        lambda text: text.replace("right", "wrong"),
        lambda text: text.replace("range-proof/1", "range-proof/2"),
        lambda text: text + "\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "",
        lambda text: text.split("\n\n")[0],
    ],
)
def test_another_form_is_refused(change: object) -> None:
    changed = change(proven(5, 20))  # type: ignore[operator]
    assert changed != proven(5, 20)
    with pytest.raises((MalformedError, VerificationError)):
        verify(changed, LEAVES[5:20])
