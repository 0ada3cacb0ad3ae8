"""Timestamps, with OpenSSL as the authority and as the one who verifies."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from auditkit_django.checks import check_publishers
from auditkit_django.models import Publication
from auditkit_django.publishing.cosigned import cosigned_note, timestamps
from tests.publishing.conftest import run, sealed
from tests.publishing.servers import Asked, serving

OPENSSL = shutil.which("openssl")

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.skipif(OPENSSL is None, reason="openssl is not installed: no authority to ask"),
]

BACKEND = "auditkit_django.publishing.timestamp.TimestampPublisher"
Use = Callable[..., None]

_CONFIG = """
[tsa]
serial = {folder}/serial
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
tsa_name = yes
ess_cert_id_chain = no
"""


class Authority:
    """A root, a timestamp certificate under it, and ``openssl ts -reply``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        root_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
        root = self._certificate("root", root_key, "root", root_key, is_root=True)
        signer = self._certificate("authority", key, "root", root_key, is_root=False)
        self.roots = folder / "root.pem"
        self.roots.write_bytes(root.public_bytes(serialization.Encoding.PEM))
        (folder / "signer.pem").write_bytes(signer.public_bytes(serialization.Encoding.PEM))
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        (folder / "signer.key").write_bytes(key.private_bytes(*form))
        (folder / "openssl.cnf").write_text(_CONFIG.format(folder=folder))
        (folder / "serial").write_text("01\n")

    def __call__(self, asked: Asked) -> tuple[int, bytes, dict[str, str]]:
        assert asked.headers["content-type"] == "application/timestamp-query"
        (self.folder / "query").write_bytes(asked.body)
        self.openssl("-reply", "-queryfile", "query", "-signer", "signer.pem", "-inkey", "signer.key", "-section", "tsa",
                     "-config", "openssl.cnf", "-out", "reply")  # fmt: skip
        return 200, (self.folder / "reply").read_bytes(), {"Content-Type": "application/timestamp-reply"}

    def openssl(self, *arguments: str) -> str:
        assert OPENSSL is not None
        command = [OPENSSL, "ts", *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _certificate(self, name: str, key: Any, issuer: str, by: Any, *, is_root: bool) -> x509.Certificate:
        def named(text: str) -> x509.Name:
            return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

        now = datetime.now(UTC)
        builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer))
        builder = builder.public_key(key.public_key()).serial_number(x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=30))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_root, path_length=None), critical=True)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key())
        builder = builder.add_extension(identifier, critical=False)
        usage = dict.fromkeys(
            ("key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"), False
        )
        usage |= {"digital_signature": not is_root, "content_commitment": not is_root}
        usage |= {"key_cert_sign": is_root, "crl_sign": is_root}
        builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
        if not is_root:
            builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.TIME_STAMPING]), critical=True)
        return builder.sign(by, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """One authority for all tests here."""
    return Authority(tmp_path_factory.mktemp("authorities") / "one")


@pytest.fixture
def url(authority: Authority) -> Iterator[str]:
    """Where it listens."""
    with serving(authority) as url:
        yield url


def backend(url: str, roots: Path, **options: Any) -> dict[str, Any]:
    return {"BACKEND": BACKEND, "OPTIONS": {"url": url, "roots": str(roots), **options}}


def test_openssl_verifies_what_is_kept(use: Use, authority: Authority, url: str) -> None:
    use(time=backend(url, authority.roots))
    checkpoint = sealed()
    assert [one.state for one in run("time")] == ["published"]
    assert run("time") == []
    [response] = timestamps(checkpoint)
    (authority.folder / "kept.tsr").write_bytes(response)
    (authority.folder / "note").write_text(checkpoint.note)
    verify = ("-verify", "-in", "kept.tsr", "-CAfile", "root.pem", "-untrusted", "signer.pem", "-data")
    authority.openssl(*verify, "note")
    (authority.folder / "other").write_text(checkpoint.note + " ")
    with pytest.raises(AssertionError, match="message imprint mismatch"):
        authority.openssl(*verify, "other")
    # It is no signature line.
    assert cosigned_note(checkpoint) == checkpoint.note


def test_an_authority_that_is_not_trusted_is_none(use: Use, authority: Authority, url: str, tmp_path: Path) -> None:
    stranger = Authority(tmp_path / "stranger")
    use(time=backend(url, stranger.roots))
    sealed()
    [outcome] = run("time")
    assert "does not hold" in outcome.error
    assert not Publication.objects.exists()


def _replayed(authority: Authority) -> Callable[[Asked], Any]:
    first: list[Any] = []

    def answer(asked: Asked) -> Any:
        first.append(authority(asked))
        return first[0]

    return answer


def test_a_timestamp_of_another_note_is_none(use: Use, authority: Authority) -> None:
    with serving(_replayed(authority)) as url:
        use(time=backend(url, authority.roots, interval_seconds=0))
        sealed()
        run("time")
        sealed()
        [outcome] = run("time")
    assert "does not hold" in outcome.error
    assert Publication.objects.count() == 1


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"", "does not hold"),
        (200, b"\x30\x03\x02\x01\x02", "does not hold"),
        (500, b"", "answered 500"),
        (302, b"", "answered 302"),
    ],
)
def test_what_is_no_timestamp_is_not_kept(use: Use, authority: Authority, status: int, body: bytes, said: str) -> None:
    with serving(lambda asked: (status, body)) as url:
        use(time=backend(url, authority.roots))
        sealed()
        [outcome] = run("time")
    assert (outcome.state, said in outcome.error) == ("failed", True), outcome.error


def test_a_refusal_of_the_authority_is_told(use: Use, authority: Authority) -> None:
    # PKIStatus 2, rejection: a response without a token.
    with serving(lambda asked: (200, bytes.fromhex("30053003020102"))) as url:
        use(time=backend(url, authority.roots))
        sealed()
        [outcome] = run("time")
    assert "does not hold" in outcome.error


def test_options_that_make_no_sense_are_told(use: Use, authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no certificate")
    for roots, wanted in (
        (tmp_path / "none", "wanted a PEM file"),
        (tmp_path / "text", "wanted a PEM file"),
        (authority.folder / "signer.pem", "got no root certificate"),
    ):
        use(time=backend("https://time.example.org", roots))
        [message] = check_publishers(None)
        assert wanted in message.msg
