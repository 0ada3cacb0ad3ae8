"""Asking for a password reset. That a password was changed or reset is seen on the user's row (``users``)."""

from __future__ import annotations

import functools
from typing import Any

from django.contrib.auth.tokens import PasswordResetTokenGenerator

from auditkit_django.hooks.emitting import emit, follows_on_error

_make_token = PasswordResetTokenGenerator.make_token


def connect() -> None:
    """
    Wrap the making of a reset token, the one step that every reset takes and for which Django has no signal.

    Forms and views are overridden by many hosts, their e-mails by most.
    """
    if PasswordResetTokenGenerator.make_token is _make_token:
        PasswordResetTokenGenerator.make_token = _told_make_token  # type: ignore[method-assign]


@functools.wraps(_make_token)
def _told_make_token(self: PasswordResetTokenGenerator, user: Any) -> str:
    token: str = _make_token(self, user)
    # Subclasses make tokens for other ends: confirming an address, say.
    if type(self) is PasswordResetTokenGenerator:
        _requested(user)
    return token


@follows_on_error
def _requested(user: Any) -> None:
    emit("auth", "auth.password.reset_requested", user=user, resource=user)
