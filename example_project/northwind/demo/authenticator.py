"""The app on a person's phone that makes their codes (RFC 6238), as the products that people use do."""

from __future__ import annotations

import time
from base64 import b32decode

from django_otp.oath import hotp

_STEP = 30


class Authenticator:
    """Knows one secret, in base32."""

    def __init__(self, secret: str) -> None:
        self.secret = secret
        self._key = b32decode(secret)
        self._last = 0

    def code(self) -> str:
        """The code of now, or of the next step where that one was given already: each works once."""
        self._last = max(int(time.time()) // _STEP, self._last + 1)
        return f"{hotp(self._key, self._last):06d}"

    def wrong_code(self) -> str:
        """One that is not right now, nor before or after."""
        now = int(time.time()) // _STEP
        near = {hotp(self._key, step) for step in range(now - 3, now + 4)}
        return next(f"{number:06d}" for number in range(100_000, 100_010) if number not in near)
