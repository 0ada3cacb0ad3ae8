"""
Signing in, with what, and failing to: told here instead of by ``hooks.auth``, which would see allauth's backend and no
e-mail address. Both are events of the hook "auth", so that each sign-in is told once, by whichever is switched on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import HttpRequest
from django.utils.module_loading import import_string

from auditkit_django.hooks.auth.sign_ins import is_told_elsewhere, method_of
from auditkit_django.hooks.emitting import emit, follows_on_error
from auditkit_django.hooks.packs.allauth.wrapping import hear, wrap

_METHODS = {"socialaccount": "sso", "password_reset": "password reset"}


def connect() -> None:
    """Wrap the adapter's steps of a sign-in; the rejected code has a signal."""
    from allauth.account import app_settings, signals

    adapter = import_string(app_settings.ADAPTER)
    wrap(adapter, "authenticate", _authenticate)
    wrap(adapter, "pre_login", _pre_login)
    wrap(adapter, "login", _login)
    hear(signals, "login_code_rejected", _code_rejected)


def _login(original: Callable[..., Any], self: Any, request: HttpRequest, user: AbstractBaseUser) -> Any:
    if is_told_elsewhere.get():
        return original(self, request, user)
    # Before: a session that was somebody else's is emptied by the sign-in.
    metadata = how(request, user)
    with _told_here():
        result = original(self, request, user)
    _signed_in(user, metadata)
    return result


def _authenticate(original: Callable[..., Any], self: Any, request: HttpRequest, **credentials: Any) -> Any:
    if is_told_elsewhere.get():
        return original(self, request, **credentials)
    try:
        with _told_here():
            user = original(self, request, **credentials)
    except (ValidationError, PermissionDenied) as exc:
        # Refused unchecked: too many attempts, or a rule of the host's.
        _failed(request, credentials, reason=getattr(exc, "code", None) or "refused")
        raise
    if user is None:
        _failed(request, credentials)
    elif not user.is_active:
        _disabled(user, {"method": "password"})
    return user


def _pre_login(
    original: Callable[..., Any], self: Any, request: HttpRequest, user: AbstractBaseUser, *args: Any, **kwargs: Any
) -> Any:
    if not user.is_active and (metadata := how(request, user))["method"] != "password":
        _disabled(user, metadata)
    return original(self, request, user, *args, **kwargs)


def how(request: HttpRequest, user: AbstractBaseUser) -> dict[str, str]:
    """
    With what ``user`` is signing in: ``method``, of single sign-on the ``provider``, and the second ``factor``, if any.

    allauth keeps the steps taken in the session. A first sign-in without one completes the sign-up.
    """
    records = _records(request, user)
    factors: list[str] = []
    while records:
        record = records.pop()
        if not _is_second_factor(record, before=records):
            found = _method_of(record)
            return {**found, "factor": ", ".join(dict.fromkeys(reversed(factors)))} if factors else found
        factors.append(str(record.get("type") or record.get("method")))
    return {"method": "sign-up" if getattr(user, "last_login", None) is None else method_of(user)}


def _records(request: HttpRequest, user: AbstractBaseUser) -> list[dict[str, Any]]:
    from allauth.account.authentication import AUTHENTICATION_METHODS_SESSION_KEY, get_authentication_records

    try:
        records = get_authentication_records(request, user)
    except TypeError:
        # Older versions keep no user with them.
        records = request.session.get(AUTHENTICATION_METHODS_SESSION_KEY) or []
    return [record for record in records if not record.get("reauthenticated")]


def _is_second_factor(record: Mapping[str, Any], *, before: Sequence[Mapping[str, Any]]) -> bool:
    if record.get("method") == "mfa":
        return not record.get("passwordless")
    # A code by mail signs in alone, or is asked for after something else (ACCOUNT_LOGIN_BY_CODE_REQUIRED).
    return record.get("method") == "code" and any(one.get("method") in ("password", "socialaccount") for one in before)


def _method_of(record: Mapping[str, Any]) -> dict[str, str]:
    if record.get("passwordless"):
        return {"method": "passkey"}
    name = str(record.get("method"))
    found = {"method": _METHODS.get(name, name)}
    return {**found, "provider": str(record["provider"])} if record.get("provider") else found


def _claimed(credentials: Mapping[str, Any]) -> list[Any]:
    """The accounts that somebody claimed to be: by user name, e-mail address or telephone number, as allauth would."""
    from allauth.account import app_settings
    from allauth.account.adapter import get_adapter
    from allauth.account.utils import filter_users_by_email, filter_users_by_username

    name, email, phone = (credentials.get(key) for key in ("username", "email", "phone"))
    found: list[Any] = []
    if name and app_settings.USER_MODEL_USERNAME_FIELD:
        found = list(filter_users_by_username(name))
    if not found and (email or name):
        found = list(filter_users_by_email(email or name, prefer_verified=True))
    if not found and phone:
        found = [user for user in [get_adapter().get_user_by_phone(phone)] if user is not None]
    return found


@contextmanager
def _told_here() -> Iterator[None]:
    token = is_told_elsewhere.set(True)
    try:
        yield
    finally:
        is_told_elsewhere.reset(token)


@follows_on_error
def _signed_in(user: AbstractBaseUser, metadata: Mapping[str, str]) -> None:
    emit("auth", "auth.login.succeeded", user=user, actor=user, metadata=metadata)


@follows_on_error
def _failed(request: HttpRequest | None, credentials: Mapping[str, Any], *, reason: str | None = None) -> None:
    # As in hooks.auth: what was typed for an unknown account is not recorded, it may be a password.
    claimed = _claimed(credentials)
    user = claimed[0] if len(claimed) == 1 else None
    metadata: dict[str, object] = {"method": "password"}
    metadata["reason"] = reason or ("bad_credentials" if claimed else "unknown_account")
    if getattr(getattr(request, "user", None), "is_authenticated", False):
        metadata["reauthentication"] = True
    emit("auth", "auth.login.failed", user=user, actor=user or "anonymous", metadata=metadata)


@follows_on_error
def _disabled(user: AbstractBaseUser, metadata: Mapping[str, str]) -> None:
    emit("auth", "auth.login.failed", user=user, actor=user, metadata={**metadata, "reason": "account_disabled"})


@follows_on_error
def _code_rejected(user: AbstractBaseUser, **_signal: Any) -> None:
    metadata = {"method": "code", "reason": "bad_credentials"}
    emit("auth", "auth.login.failed", user=user, actor=user, metadata=metadata)
