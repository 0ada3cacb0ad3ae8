"""Ed25519 against the published vectors, with ``cryptography`` and without, and keys that must never be trusted."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from auditkit_django.ledger import ed25519
from auditkit_django.ledger.errors import MalformedError
from tests.ledger.vectors import load

#: The eight points of small order, and forms of them that are not canonical.
SMALL = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
]


@pytest.fixture(params=["cryptography", "alone"])
def verify(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The verifier, with ``cryptography`` or with that blocked."""
    if request.param == "alone":
        for name in [name for name in sys.modules if name.partition(".")[0] == "cryptography"]:
            monkeypatch.setitem(sys.modules, name, None)
    return ed25519.verify


def test_every_wycheproof_case_gives_the_published_verdict(verify: Any) -> None:
    vectors = load("ed25519/wycheproof-ed25519_test.json")
    cases = [(group["publicKey"]["pk"], case) for group in vectors["testGroups"] for case in group["tests"]]
    assert len(cases) == vectors["numberOfTests"] == 151
    wrong = [
        case["tcId"]
        for public, case in cases
        if verify(bytes.fromhex(public), bytes.fromhex(case["sig"]), bytes.fromhex(case["msg"]))
        is not (case["result"] == "valid")
    ]
    assert wrong == []


def test_every_known_answer_holds_and_no_bit_of_it_may_change(verify: Any) -> None:
    for number, vector in enumerate(load("ed25519/ed25519-sign-kat.json")):
        public, signature, message = (bytes.fromhex(vector[name]) for name in ("public", "signature", "message"))
        signature = signature[:64]
        ed25519.check_key(public)
        assert verify(public, signature, message)
        if number >= 8:
            continue
        for at in (0, 31, 32, 63):
            changed = bytearray(signature)
            changed[at] ^= 1
            assert not verify(public, bytes(changed), message)
        assert not verify(public, signature, message + b"x")


@pytest.mark.parametrize("point", SMALL)
def test_a_key_of_small_order_or_another_form_is_refused(point: str) -> None:
    with pytest.raises(MalformedError, match="small order|no canonical point"):
        ed25519.check_key(bytes.fromhex(point))


@pytest.mark.parametrize(
    "key", [b"", b"x" * 31, b"x" * 33, "x" * 32, b"\xff" * 32], ids=["none", "31", "33", "text", "ff"]
)
def test_what_is_no_key_is_refused(key: Any) -> None:
    with pytest.raises(MalformedError, match="key: got"):
        ed25519.check_key(key)


def test_fresh_keys_and_signatures_hold_both_ways() -> None:
    for number in range(5):
        private = Ed25519PrivateKey.generate()
        public, message = private.public_key().public_bytes_raw(), bytes([number]) * number
        ed25519.check_key(public)
        signature = private.sign(message)
        assert ed25519.verify(public, signature, message)
        assert ed25519.verify_here(public, signature, message)
        assert not ed25519.verify_here(public, signature, message + b".")


@pytest.mark.parametrize(("public", "signature"), [(b"x", b"y" * 64), (b"x" * 32, b"y"), (b"\xff" * 32, bytes(64))])
def test_wrong_lengths_and_points_never_hold(verify: Any, public: bytes, signature: bytes) -> None:
    assert verify(public, signature, b"") is False
