"""
Simple JWT: signing in for tokens, and refresh tokens blacklisted. A token and its ``jti`` are never recorded.

The package sends no signals, and not Django's ``user_logged_in`` either. So the validation of its serializers, which
those of a project extend, is wrapped; failed credentials are told by Django's ``authenticate()``, and recorded by the
``auth`` hook.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from django.apps import apps
from django.contrib.auth.signals import user_logged_in
from django.utils import timezone

from auditkit_django.drafts import ANONYMOUS, Target
from auditkit_django.hooks.auth.sign_ins import method_in_use
from auditkit_django.hooks.emitting import emit, follows_on_error, is_on
from auditkit_django.hooks.packs.rows import actor_or, watch_models
from auditkit_django.hooks.tracking.rows import RowChange

HOOK = "simplejwt"

_METHOD = "jwt"
#: Who signed in by Django's own signal while a serializer validates: a project's serializer may send it, or ``login()``.
_signalled: ContextVar[list[object] | None] = ContextVar("auditkit_simplejwt_signalled", default=None)
#: Set while a refresh token is exchanged for the next one: its blacklisting then ends no session.
_is_exchanging: ContextVar[bool] = ContextVar("auditkit_simplejwt_exchanging", default=False)


def connect() -> None:
    """Wrap the two serializers, and watch the rows of ``token_blacklist`` where that app is installed."""
    from rest_framework_simplejwt import serializers

    _teach(serializers.TokenObtainSerializer, _obtain)
    _teach(serializers.TokenRefreshSerializer, _exchange)
    user_logged_in.connect(_logged_in, dispatch_uid="auditkit_django.simplejwt.logged_in")
    if apps.is_installed("rest_framework_simplejwt.token_blacklist"):
        from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken

        watch_models(HOOK, OutstandingToken, _issued, actions=("session.created",), names=("user",))
        watch_models(HOOK, BlacklistedToken, _blacklisted, actions=("session.revoked",), names=("token",))


def _teach(serializer: Any, around: Callable[[Any, Callable[[], Any]], Any]) -> None:
    run_validation = serializer.run_validation
    if hasattr(run_validation, "auditkit_original"):
        return

    # Not validate(): it is the one that projects override, and what they refuse afterwards is no sign-in.
    @functools.wraps(run_validation)
    def told(self: Any, *args: Any, **kwargs: Any) -> Any:
        return around(self, lambda: run_validation(self, *args, **kwargs))

    told.auditkit_original = run_validation  # type: ignore[attr-defined]
    serializer.run_validation = told


def _obtain(serializer: Any, validate: Callable[[], Any]) -> Any:
    from rest_framework.exceptions import APIException

    signalled: list[object] = []
    told, method = _signalled.set(signalled), method_in_use.set(_METHOD)
    try:
        found = validate()
    except APIException:
        _refused(getattr(serializer, "user", None))
        raise
    finally:
        _signalled.reset(told)
        method_in_use.reset(method)
    if not signalled:
        _obtained(getattr(serializer, "user", None))
    return found


def _exchange(serializer: Any, validate: Callable[[], Any]) -> Any:
    token = _is_exchanging.set(True)
    try:
        return validate()
    finally:
        _is_exchanging.reset(token)


def _logged_in(user: object, **_signal: Any) -> None:
    signalled = _signalled.get()
    if signalled is not None and is_on("auth", "auth.login.succeeded"):
        signalled.append(user)


@follows_on_error
def _obtained(user: Any) -> None:
    if user is not None:
        emit(HOOK, "auth.login.succeeded", user=user, actor=user, metadata={"method": _METHOD})


@follows_on_error
def _refused(user: Any) -> None:
    # Without a user the credentials were wrong, and Django has said so.
    if user is not None:
        reason = "refused" if user.is_active else "account_disabled"
        emit(HOOK, "auth.login.failed", user=user, actor=user, metadata={"reason": reason, "method": _METHOD})


def _issued(changes: Sequence[RowChange]) -> None:
    for change in changes:
        if change.kind == "created" and not _is_exchanging.get():
            _emit("session.created", change.instance)


def _blacklisted(changes: Sequence[RowChange]) -> None:
    if _is_exchanging.get():
        return
    for change in changes:
        blacklisted: Any = change.instance
        # An expired token opens nothing any more: "everywhere" loops come across many.
        if change.kind == "created" and blacklisted.token.expires_at > timezone.now():
            _emit("session.revoked", blacklisted.token)


def _emit(action: str, token: Any) -> None:
    user, target = token.user, Target("token", str(token.pk))
    emit(
        HOOK,
        action,
        user=user,
        # Nobody is signed in where tokens are exchanged: who can present one acts for themselves.
        actor=actor_or(user, is_nobody=(ANONYMOUS,)),
        resource=target if user is None else user,
        targets=() if user is None else (target,),
        metadata={"method": _METHOD},
    )
