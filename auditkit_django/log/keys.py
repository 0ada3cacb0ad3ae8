"""
Who signs for a log: a master secret in a file, or something that never gives its key away (a KMS, an HSM).

Each log has a key of its own, named after its origin, so that one key never speaks for two logs. Of a master secret it is
derived (HKDF-SHA256, RFC 5869) from the origin and a generation, which rotation counts up. The secret is never in the
database and never Django's ``SECRET_KEY``: whoever could rewrite the log must not be able to sign the rewrite.
"""

from __future__ import annotations

import hashlib
import os
import stat
from base64 import b64decode, b64encode
from pathlib import Path
from typing import Any, Final, Protocol, cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings as django_settings
from django.utils.module_loading import import_string

from auditkit_django.conf import settings
from auditkit_django.exceptions import MalformedError, SealError
from auditkit_django.ledger import ed25519
from auditkit_django.ledger.note import ED25519, VerifierKey
from auditkit_django.log.files import sync_folder

SECRET_BYTES: Final = 32
_HEAD: Final = "auditkit-django master secret 1"
_INFO: Final = b"auditkit-django/log-key/1\n"


class Signer(Protocol):
    """Signs for logs. Both methods may raise ``SealError``."""

    def verifier_key(self, origin: str, generation: int) -> VerifierKey:
        """The public key of the log ``origin``, named after it."""
        ...

    def sign(self, origin: str, generation: int, message: bytes) -> bytes:
        """64 bytes: the Ed25519 signature of ``message`` by that key."""
        ...


class SecretSigner:
    """Signs with keys derived from a master secret of 32 bytes, held in memory (tests; :class:`FileSigner`)."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) != SECRET_BYTES:
            raise SealError(f"master secret: got {len(secret)} bytes, wanted {SECRET_BYTES}")
        self._secret = secret

    def verifier_key(self, origin: str, generation: int) -> VerifierKey:
        """The public key of the log ``origin``."""
        public = self._private(origin, generation).public_key().public_bytes_raw()
        return VerifierKey(name=origin, algorithm=ED25519, public=public)

    def sign(self, origin: str, generation: int, message: bytes) -> bytes:
        """The signature of ``message``; deterministic, so that sealing again what was sealed gives the same note."""
        return self._private(origin, generation).sign(message)

    def _private(self, origin: str, generation: int) -> Ed25519PrivateKey:
        info = _INFO + origin.encode() + b"\n" + str(generation).encode()
        seed = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self._secret)
        return Ed25519PrivateKey.from_private_bytes(seed)


class FileSigner(SecretSigner):
    """Signs with keys derived from the secret in a file, which only its owner may read."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        super().__init__(read_key_file(Path(path)))


def signer() -> Signer | None:
    """Who signs, by ``SIGNER`` or ``KEY_FILE``; None where neither is set, and nothing is sealed."""
    chosen: Any = settings.SIGNER
    if chosen is not None:
        chosen = import_string(chosen) if isinstance(chosen, str) else chosen
        return cast("Signer", chosen() if isinstance(chosen, type) else chosen)
    return None if settings.KEY_FILE is None else FileSigner(settings.KEY_FILE)


def verifier_key(signer: Signer, origin: str, generation: int) -> VerifierKey:
    """
    The public key of the log ``origin``, as ``signer`` gives it, and one that can be trusted.

    Raises:
        SealError: It has another name or type, or is a key under which anybody can sign (``ed25519.check_key``).
    """
    key = signer.verifier_key(origin, generation)
    if key.name != origin or key.algorithm != ED25519:
        raise SealError(f"signer: got a key of {key.name!r:.80}, wanted an Ed25519 key of {origin!r}")
    try:
        ed25519.check_key(key.public)
    except MalformedError as exc:
        raise SealError(f"signer: the key of {origin!r} cannot be trusted: {exc}") from exc
    return key


def create_key_file(path: Path) -> None:
    """
    Make a new master secret in ``path``, mode 0600.

    Raises:
        SealError: Something is there already: a master secret is never overwritten.
    """
    text = f"{_HEAD}\n{b64encode(os.urandom(SECRET_BYTES)).decode()}\n"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as exc:
        raise SealError(f"key file: {path} is there already and is never overwritten") from exc
    except OSError as exc:
        raise SealError(f"key file: {path} cannot be made: {exc.strerror}") from exc
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    sync_folder(path.parent)


def read_key_file(path: Path) -> bytes:
    """
    The master secret in ``path``, 32 bytes.

    Raises:
        SealError: It is not there, others may read it, it is somebody else's, it is no key file, or it is what ``SECRET_KEY``
            gives away.
    """
    try:
        with path.open() as file:
            # Of what was opened, not of what the name leads to by now.
            status = os.fstat(file.fileno())
            lines = file.read().splitlines()
    except OSError as exc:
        raise SealError(
            f"key file: {path} cannot be read ({exc.strerror}); manage.py auditkit_keys init makes one"
        ) from exc
    except UnicodeDecodeError as exc:
        raise SealError(f"key file: {path} is none, wanted what manage.py auditkit_keys init makes") from exc
    mode = stat.S_IMODE(status.st_mode)
    # Whoever owns the file could put another secret there. Root may read it for whom it belongs to.
    if hasattr(os, "geteuid") and os.geteuid() not in (0, status.st_uid):
        raise SealError(
            f"key file: {path} belongs to the user {status.st_uid}, wanted the one who runs this, {os.geteuid()}"
        )
    if mode & 0o077:
        raise SealError(f"key file: {path} has mode {mode:04o}, wanted 0600: nobody but its owner may read it")
    try:
        head, encoded = lines
        secret = b64decode(encoded, validate=True)
    except ValueError as exc:
        raise SealError(f"key file: {path} is none, wanted what manage.py auditkit_keys init makes") from exc
    if head != _HEAD or len(secret) != SECRET_BYTES:
        raise SealError(f"key file: {path} is none, wanted what manage.py auditkit_keys init makes")
    if secret in _given_away():
        raise SealError("key file: the secret is derived from SECRET_KEY, wanted one of its own")
    return secret


def _given_away() -> set[bytes]:
    """What somebody who knows ``SECRET_KEY`` would try first."""
    found: set[bytes] = set()
    for key in (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS):
        data = key.encode() if isinstance(key, str) else bytes(key)
        found |= {data[:SECRET_BYTES], data[-SECRET_BYTES:]}
        found |= {
            hashlib.new(name, data).digest()[:SECRET_BYTES] for name in ("sha256", "sha512", "sha3_256", "blake2b")
        }
    return found
