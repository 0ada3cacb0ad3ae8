"""Signing in, failing to, and signing out."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any

from django.contrib.auth import BACKEND_SESSION_KEY, get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed

from auditkit_django.hooks.emitting import emit, follows_on_error

_METHODS = {
    "django.contrib.auth.backends.ModelBackend": "password",
    "django.contrib.auth.backends.AllowAllUsersModelBackend": "password",
    "allauth.account.auth_backends.AuthenticationBackend": "password",
    "django.contrib.auth.backends.RemoteUserBackend": "sso",
    "django.contrib.auth.backends.AllowAllUsersRemoteUserBackend": "sso",
}

#: Set by packs that know better how somebody signs in, around the call of ``login()``.
method_in_use: ContextVar[str | None] = ContextVar("auditkit_sign_in_method", default=None)
#: Set by packs that record the signal themselves or under another name (impersonation is no sign-in).
is_told_elsewhere: ContextVar[bool] = ContextVar("auditkit_sign_in_told_elsewhere", default=False)
#: Key of the session that is being signed out: Django deletes it right after it said so.
session_left: ContextVar[str | None] = ContextVar("auditkit_session_left", default=None)


def connect() -> None:
    """Connect the three signals of ``django.contrib.auth``."""
    user_logged_in.connect(_logged_in, dispatch_uid="auditkit_django.logged_in")
    user_login_failed.connect(_login_failed, dispatch_uid="auditkit_django.login_failed")
    user_logged_out.connect(_logged_out, dispatch_uid="auditkit_django.logged_out")


def method_of(user: AbstractBaseUser, request: Any = None) -> str:
    """How ``user`` signed in: "password", "sso", or the class of the backend that let them in."""
    # Of a user who did not come from authenticate() Django keeps the backend in the session alone.
    session = getattr(request, "session", None)
    backend = str(getattr(user, "backend", "") or (session.get(BACKEND_SESSION_KEY, "") if session is not None else ""))
    return method_in_use.get() or _METHODS.get(backend) or backend.rpartition(".")[2] or "unknown"


def claimed_user(credentials: Mapping[str, Any]) -> AbstractBaseUser | None:
    """The account that somebody claimed to be, by the name given; None for no account."""
    model = get_user_model()
    name = credentials.get(model.USERNAME_FIELD) or credentials.get("username")
    if not name or not isinstance(name, str):
        return None
    # As ModelBackend looks it up: with or without regard to case is the manager's choice.
    try:
        user: AbstractBaseUser = model._default_manager.get_by_natural_key(name)
    except (model.DoesNotExist, model.MultipleObjectsReturned, ValueError):
        return None
    return user


@follows_on_error
def _logged_in(user: AbstractBaseUser, request: Any = None, **_signal: Any) -> None:
    if not is_told_elsewhere.get():
        emit("auth", "auth.login.succeeded", user=user, actor=user, metadata={"method": method_of(user, request)})


@follows_on_error
def _login_failed(credentials: Mapping[str, Any], **_signal: Any) -> None:
    if is_told_elsewhere.get():
        return
    # What was typed for an unknown account is not recorded: it may be a password in the wrong field.
    user = claimed_user(credentials)
    reason = "bad_credentials" if user is not None else "unknown_account"
    if user is not None and not user.is_active:
        reason = "account_disabled"
    emit("auth", "auth.login.failed", user=user, actor=user or "anonymous", metadata={"reason": reason})


@follows_on_error
def _logged_out(user: AbstractBaseUser | None, request: Any = None, **_signal: Any) -> None:
    session_left.set(getattr(getattr(request, "session", None), "session_key", None))
    if user is not None and not is_told_elsewhere.get():
        emit("auth", "auth.logout", user=user, actor=user)
