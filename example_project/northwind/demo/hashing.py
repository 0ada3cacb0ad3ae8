"""Password hashes that take no time, for the people of the demo, whose password is printed anyway."""

from __future__ import annotations

from django.contrib.auth.hashers import PBKDF2PasswordHasher


class BriefHasher(PBKDF2PasswordHasher):
    """Django's own hasher with few rounds: it verifies these too, and does them again in full at the next sign-in."""

    iterations = 1_000
