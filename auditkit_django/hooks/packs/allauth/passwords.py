"""
Resets of a password, by link and by code: asked for, failed, and told apart from a change.

That the password changed is seen on the user's row by ``hooks.auth``, which knows Django's own reset mails.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.tokens import PasswordResetTokenGenerator

from auditkit_django.hooks.auth.users import reset_in_use
from auditkit_django.hooks.emitting import emit, follows_on_error
from auditkit_django.hooks.packs.allauth.wrapping import hear, wrap


def connect() -> None:
    """Wrap the steps that every reset takes, whatever the host's forms, mails and faces; rejected codes have a signal."""
    from allauth.account import app_settings, signals
    from allauth.account.internal.flows import password_reset
    from allauth.account.internal.flows.password_reset_by_code import PasswordResetVerificationProcess

    generator = app_settings.PASSWORD_RESET_TOKEN_GENERATOR
    if generator is not PasswordResetTokenGenerator:
        # That of Django is told by hooks.auth.
        wrap(generator, "make_token", _make_token)
    wrap(PasswordResetVerificationProcess, "send", _send_code)
    wrap(password_reset, "reset_password", _reset_password)
    hear(signals, "password_reset_code_rejected", _code_rejected)


def _make_token(original: Callable[..., str], self: Any, user: AbstractBaseUser) -> str:
    token = original(self, user)
    _requested(user)
    return token


def _send_code(original: Callable[..., Any], self: Any, *args: Any, **kwargs: Any) -> Any:
    result = original(self, *args, **kwargs)
    if self.user is not None:
        _requested(self.user)
    return result


def _reset_password(original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    # By link and by code alike; allauth keeps its key under a name of its own, and none where the face is headless.
    token = reset_in_use.set("mail")
    try:
        return original(*args, **kwargs)
    finally:
        reset_in_use.reset(token)


@follows_on_error
def _requested(user: AbstractBaseUser) -> None:
    emit("allauth", "auth.password.reset_requested", user=user, resource=user)


@follows_on_error
def _code_rejected(user: AbstractBaseUser, **_signal: Any) -> None:
    metadata = {"reason": "invalid_code"}
    emit("allauth", "auth.password.reset", user=user, resource=user, outcome="failure", metadata=metadata)
