"""A hundred secrets of ten kinds, the same in every run, for the tests that search for them afterwards."""

from __future__ import annotations

import random
import string
from collections.abc import Iterator

_ALPHABET = string.ascii_letters + string.digits


def _secrets() -> Iterator[str]:
    """100 secrets of ten kinds, the same in every run."""
    source = random.Random(20)

    def text(length: int, alphabet: str = _ALPHABET) -> str:
        return "".join(source.choices(alphabet, k=length))

    for _ in range(10):
        yield f"eyJ{text(20)}.eyJ{text(30)}.{text(43)}"
        yield f"-----BEGIN RSA PRIVATE KEY-----\n{text(64)}\n{text(64)}\n-----END RSA PRIVATE KEY-----"
        yield f"AKIA{text(16, string.ascii_uppercase + string.digits)}"
        yield f"ghp_{text(36)}"
        yield f"xoxb-{text(12, string.digits)}-{text(24)}"
        yield f"sk_live_{text(24)}"
        yield f"AIza{text(35)}"
        yield f"Bearer {text(40)}"
        yield f"ak_live_{text(8)}_{text(43)}_{text(6)}"
        yield _card(text(15, "123456789"))


def _card(digits: str) -> str:
    """``digits`` as a card number: 16 of them, beginning with 4, with a Luhn check digit."""
    body = "4" + digits[1:15]
    doubled = [int(digit) * (2 if index % 2 == 0 else 1) for index, digit in enumerate(body)]
    return body + str(-sum(value - 9 if value > 9 else value for value in doubled) % 10)


SECRETS = list(_secrets())


def needle(secret: str) -> str:
    """The part of a secret that must not be found anywhere."""
    return secret.removeprefix("Bearer ").removeprefix("-----BEGIN RSA PRIVATE KEY-----\n")[:16]
