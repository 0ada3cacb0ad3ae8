"""
The text of an API key, and the digest that is kept of it::

    ak_<environment>_<8 characters: prefix>_<43 characters: 256 random bits>_<6 characters: CRC-32 of all before>

Characters are digits and letters (base 62). The checksum tells a mistyped key, and what a scanner finds in a leaked file, from
a key without asking the database. The secret is random, so no slow hash is needed: the digest is HMAC-SHA-256 with a secret that
the database does not have.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import string
import zlib
from typing import Final, NamedTuple

from django.conf import settings as django_settings
from django.views.decorators.debug import sensitive_variables

from auditkit_django.conf import settings
from auditkit_django.exceptions import AccessError

#: For secret scanners.
PATTERN: Final = r"ak_[a-z]{1,8}_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}_[0-9A-Za-z]{6}"

_KEY: Final = re.compile(PATTERN)
_LETTERS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
_PREFIX_LENGTH: Final = 8
_SECRET_LENGTH: Final = 43
_CHECKSUM_LENGTH: Final = 6
_SALT: Final = b"auditkit_django.access.key"
#: A digest of no key: what an unknown prefix is compared with, so that it takes as long as a known one.
NOBODY: Final = "0" * 64


class NewKey(NamedTuple):
    """A key that was just made: ``text`` is the secret."""

    text: str
    prefix: str
    digest: str


@sensitive_variables("secret", "body", "text")
def new_key() -> NewKey:
    """A fresh key of ``AUDITKIT["API_KEY_ENVIRONMENT"]``."""
    prefix = "".join(secrets.choice(_LETTERS) for _ in range(_PREFIX_LENGTH))
    secret = _base62(int.from_bytes(os.urandom(32)), _SECRET_LENGTH)
    body = f"ak_{settings.API_KEY_ENVIRONMENT}_{prefix}_{secret}"
    text = f"{body}_{_checksum(body)}"
    return NewKey(text, prefix, _digest(text, _peppers()[0]))


@sensitive_variables("text", "body")
def prefix_of(text: str) -> str:
    """
    The prefix of a well-formed key.

    Raises:
        AccessError: ``key_malformed``.
    """
    body, _, checksum = text.rpartition("_")
    if not _KEY.fullmatch(text) or not hmac.compare_digest(checksum, _checksum(body)):
        raise AccessError("key_malformed", "key: got a text that is no API key, or was cut or mistyped")
    return body.split("_")[2]


@sensitive_variables("text")
def is_digest_of(text: str, digest: str) -> bool:
    """Whether ``digest`` is that of the key ``text``, by any of the peppers, in time that does not depend on either."""
    # All are tried: that one fits must not be told by how long it takes.
    found = [hmac.compare_digest(_digest(text, pepper), digest) for pepper in _peppers()]
    return any(found)


def shown(text: str) -> bool:
    """Whether ``text`` has something in it that looks like an API key."""
    return _KEY.search(text) is not None


@sensitive_variables("text", "pepper")
def _digest(text: str, pepper: bytes) -> str:
    return hmac.new(pepper, text.encode(), hashlib.sha256).hexdigest()


@sensitive_variables("given", "texts")
def _peppers() -> list[bytes]:
    given = settings.API_KEY_PEPPER
    if given is None:
        given = (django_settings.SECRET_KEY, *map(str, django_settings.SECRET_KEY_FALLBACKS))
    texts = (given,) if isinstance(given, str) else tuple(given)
    return [hmac.new(_SALT, text.encode(), hashlib.sha256).digest() for text in texts]


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), _CHECKSUM_LENGTH)


def _base62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, 62)
        digits.append(_LETTERS[digit])
    return "".join(reversed(digits))
