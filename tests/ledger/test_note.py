"""Signed notes and checkpoints: the published ones, and everything near them that must be refused."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from auditkit_django.ledger import note
from auditkit_django.ledger.checkpoint import Checkpoint, format_checkpoint, open_checkpoint, parse_checkpoint
from auditkit_django.ledger.errors import AuditkitError, MalformedError, VerificationError
from auditkit_django.ledger.merkle import EMPTY_ROOT
from auditkit_django.ledger.note import COSIGNATURE, ED25519, Note, Signature, VerifierKey
from auditkit_django.ledger.tlog_proof import format_proof, parse_proof
from tests.ledger.vectors import ABSENT, FOLDER, load

ORIGIN = "audit.example.org/t/1"
PRIVATE = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KEY = VerifierKey(name=ORIGIN, algorithm=ED25519, public=PRIVATE.public_key().public_bytes_raw())
TEXT = format_checkpoint(Checkpoint(origin=ORIGIN, size=7, root=b"r" * 32))
NOTE = note.signed(TEXT, [note.sign(TEXT, key=KEY, signer=PRIVATE.sign)])


def is_valid(data: str, vkeys: list[str]) -> bool:
    try:
        note.verify(note.parse(data), [note.parse_vkey(key) for key in vkeys])
    except AuditkitError:
        return False
    return True


def test_every_published_note_gives_the_published_verdict() -> None:
    vectors = load("notes/signed-notes.json")
    assert len(vectors) >= 14
    wrong = [
        vector.get("why", vector["source"])
        for vector in vectors
        if is_valid(vector["note"], vector["vkeys"]) is not vector["valid"]
    ]
    assert wrong == []


@pytest.mark.parametrize("name", ["c2sp-checkpoint-example", "c2sp-cosigned-checkpoint-example"])
def test_the_published_checkpoints_are_read(name: str) -> None:
    file = Path(FOLDER) / "notes" / f"{name}.txt"
    if not file.is_file():
        pytest.skip(ABSENT)
    found = note.parse(file.read_text())
    assert parse_checkpoint(found.text).size == 20852163
    assert note.format_note(found) == file.read_text()
    assert len(found.signatures) == 1 + name.count("cosigned")


def test_the_published_proof_is_read_but_for_its_extra_line() -> None:
    # The format's example: its signatures and some of its hashes are left out, so that there is nothing to verify.
    file = Path(FOLDER) / "notes" / "c2sp-tlog-proof-example.txt"
    if not file.is_file():
        pytest.skip(ABSENT)
    first, extra, *rest = file.read_text().split("\n")
    assert extra.startswith("extra ")
    found = parse_proof("\n".join([first, *rest]))
    assert (found.index, len(found.hashes)) == (73894, 5)
    assert format_proof(found) == "\n".join([first, *rest])
    assert found.note.startswith("example.com/fancylog\n109482\n")
    # Nobody signs what ``extra`` says: it is refused, not passed over.
    with pytest.raises(MalformedError):
        parse_proof(file.read_text())


def test_a_note_is_signed_and_opened() -> None:
    found, verified = open_checkpoint(NOTE, [KEY], origin=ORIGIN)
    assert found == Checkpoint(origin=ORIGIN, size=7, root=b"r" * 32)
    assert [one.key for one in verified] == [KEY]
    assert note.parse_vkey(note.format_vkey(KEY)) == KEY


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[:-1],
        lambda text: text + "\n",
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n\n", "\n\n\n"),
        lambda text: text.replace("\n\n", "\n"),
        lambda text: text.replace(f"— {ORIGIN} ", f"— {ORIGIN}  "),
        lambda text: text.replace("— ", "- "),
        lambda text: text[:-4] + "\n",
        lambda text: text + "— x AAAA\n",
        lambda text: text + "junk\n",
        lambda text: "\n" + text,
        lambda text: text.replace("7\n", "7\x00\n"),
        lambda text: text.replace("7\n", "07\n"),
        lambda text: text.replace("7\n", "+7\n"),
        lambda text: text.replace("7\n", "\u0667\n"),
        lambda text: text.replace("7\n", "7_0\n"),
        lambda text: text.replace("\n\n", "\nextension\n\n"),
        lambda text: text + "".join(text.splitlines(keepends=True)[-1:] * 64),
        lambda text: text + text.splitlines(keepends=True)[-1],
        lambda text: text.replace("7\n", "8\n"),
        lambda text: "",
        lambda text: "x" * 100_000,
    ],
)
def test_anything_else_is_refused(spoil: Any) -> None:
    with pytest.raises((MalformedError, VerificationError)):
        open_checkpoint(spoil(NOTE), [KEY], origin=ORIGIN)


def test_not_one_bit_of_a_note_may_change() -> None:
    data = NOTE.encode()
    for at in range(len(data)):
        for bit in (1, 16, 128):
            changed = bytearray(data)
            changed[at] ^= bit
            with pytest.raises((MalformedError, VerificationError)):
                open_checkpoint(bytes(changed), [KEY], origin=ORIGIN)


def test_another_logs_checkpoint_and_a_strangers_signature_are_refused() -> None:
    with pytest.raises(VerificationError, match="wanted one of 'another'"):
        open_checkpoint(NOTE, [KEY], origin="another")
    stranger = VerifierKey(name="stranger", algorithm=ED25519, public=KEY.public)
    text = note.signed(TEXT, [note.sign(TEXT, key=stranger, signer=PRIVATE.sign)])
    with pytest.raises(VerificationError, match="itself has not signed"):
        open_checkpoint(text, [stranger], origin=ORIGIN)
    with pytest.raises(VerificationError, match="wanted one by a known key"):
        open_checkpoint(NOTE, [stranger])


def test_a_cosignature_tells_its_time() -> None:
    witness = VerifierKey(name="witness.example/w1", algorithm=COSIGNATURE, public=KEY.public)
    time = 1_800_000_000
    blob = time.to_bytes(8) + PRIVATE.sign(f"cosignature/v1\ntime {time}\n{TEXT}".encode())
    cosigned = note.parse(NOTE)
    cosigned = Note(
        text=cosigned.text,
        signatures=(*cosigned.signatures, Signature(name=witness.name, key_id=witness.key_id, blob=blob)),
    )
    _found, verified = open_checkpoint(note.format_note(cosigned), [KEY, witness], origin=ORIGIN)
    assert [one.time for one in verified] == [None, time]
    short = Signature(name=witness.name, key_id=witness.key_id, blob=blob[8:])
    with pytest.raises(VerificationError, match="wanted 72"):
        note.verify(Note(text=TEXT, signatures=(short,)), [witness])


def test_signatures_of_unknown_keys_are_kept_and_passed_over() -> None:
    others = [Signature(name=f"other{number}", key_id=b"abcd", blob=b"x") for number in range(16)]
    text = note.format_note(Note(text=TEXT, signatures=(*others, *note.parse(NOTE).signatures)))
    assert note.parse(text).signatures[:16] == tuple(others)
    assert open_checkpoint(text, [KEY])[0].size == 7


def test_what_a_signer_gives_is_checked_before_it_is_used() -> None:
    with pytest.raises(VerificationError, match="does not hold"):
        note.sign(TEXT, key=KEY, signer=lambda message: bytes(64))
    for text in ("no newline", "\nempty first line\n", "control\x07\n"):
        with pytest.raises(MalformedError):
            note.sign(text, key=KEY, signer=PRIVATE.sign)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text[1:],
        lambda text: text.replace("+", " ", 1),
        lambda text: text[:-1],
        lambda text: text + "=",
        lambda text: text.replace("audit", "au dit"),
        lambda text: text.upper(),
        lambda text: "name+00000000+" + base64.b64encode(b"\x02" + KEY.public).decode(),
        lambda text: "name+00000000+" + base64.b64encode(b"\x01" + bytes(32)).decode(),
        lambda text: "+".join(("x", *text.split("+")[1:])),
        lambda text: "",
    ],
)
def test_a_spoiled_verifier_key_is_refused(spoil: Any) -> None:
    with pytest.raises(MalformedError):
        note.parse_vkey(spoil(note.format_vkey(KEY)))


def test_every_part_of_a_verifier_key_alone_is_refused() -> None:
    text = note.format_vkey(KEY)
    for start in range(len(text)):
        for end in range(start, len(text) + (start > 0)):
            with pytest.raises(MalformedError):
                note.parse_vkey(text[start:end])


def test_an_empty_log_has_the_root_of_no_leaves() -> None:
    empty = Checkpoint(origin=ORIGIN, size=0, root=EMPTY_ROOT)
    assert parse_checkpoint(format_checkpoint(empty)) == empty
    with pytest.raises(MalformedError, match="empty log"):
        parse_checkpoint(format_checkpoint(Checkpoint(origin=ORIGIN, size=0, root=b"r" * 32)))


@given(st.text(max_size=200))
def test_whatever_is_accepted_is_written_the_same_again(text: str) -> None:
    try:
        found = note.parse(text)
    except MalformedError:
        return
    assert note.format_note(found) == text


@given(st.integers(1, 2**63 - 1), st.binary(min_size=32, max_size=32))
def test_every_checkpoint_is_read_as_it_was_written(size: int, root: bytes) -> None:
    checkpoint = Checkpoint(origin=ORIGIN, size=size, root=root)
    assert parse_checkpoint(format_checkpoint(checkpoint)) == checkpoint


def test_openssl_accepts_the_signature_and_refuses_another_text(tmp_path: Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        (pytest.fail if os.environ.get("AUDITKIT_REQUIRE_INTEROP") else pytest.skip)("openssl is not installed")
    # SubjectPublicKeyInfo of Ed25519 (RFC 8410) is this prefix and the 32 bytes of the key.
    (tmp_path / "key.der").write_bytes(bytes.fromhex("302a300506032b6570032100") + KEY.public)
    (tmp_path / "signature").write_bytes(note.parse(NOTE).signatures[0].blob)
    verdicts = []
    for text in (TEXT, TEXT.replace("7", "8")):
        (tmp_path / "text").write_text(text)
        command = [openssl, "pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey", "key.der"]
        done = subprocess.run(
            [*command, "-sigfile", "signature", "-in", "text"], cwd=tmp_path, capture_output=True, check=False
        )
        verdicts.append(done.returncode == 0)
    assert verdicts == [True, False]
