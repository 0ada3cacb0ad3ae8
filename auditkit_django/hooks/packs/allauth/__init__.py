"""
django-allauth: sign-ins and with what, resets of passwords, further identifiers, single sign-on, MFA, sessions ended.

What ``hooks.auth`` sees on the user's row stays there: sign-up, password, primary e-mail address. This pack tells what is
beside it, and sign-ins instead of it, for allauth knows with what somebody signed in and which account was claimed.
"""

from __future__ import annotations

from auditkit_django.hooks.packs.allauth import (
    factors,
    identifiers,
    passwords,
    sessions,
    sign_ins,
    single_sign_on,
)

HOOK = "allauth"


def connect() -> None:
    """Connect the parts whose apps are installed: ``account``, ``socialaccount``, ``mfa`` and ``usersessions``."""
    for part in (sign_ins, passwords, identifiers, single_sign_on, factors, sessions):
        part.connect()
