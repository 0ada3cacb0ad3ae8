"""
``django-hijack``: impersonation started and ended, and in every event between who really acts and whose identity is used.

Whoever began it acts, in an impersonation out of an impersonation too. The package signs users in and out to impersonate
them: those are no sign-ins.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.signals import user_logged_out
from django.db import connections, router
from django.db.models import Model

from auditkit_django.drafts import Actor
from auditkit_django.hooks.auth.sign_ins import is_told_elsewhere
from auditkit_django.hooks.emitting import emit, follows_on_error
from auditkit_django.log.writing import is_broken
from auditkit_django.recording.coercion import actor_from
from auditkit_django.recording.context import IMPERSONATION_RESOLVERS

HOOK = "hijack"

#: Set around the events of the change itself: they tell of the identity, and do not use it.
_is_changing: ContextVar[bool] = ContextVar("auditkit_hijack_is_changing", default=False)


def connect() -> None:
    """Connect the two signals, say who acts in between, and mute the sign-ins."""
    from hijack import signals

    signals.hijack_started.connect(_started, dispatch_uid="auditkit_django.hijack.started")
    signals.hijack_ended.connect(_ended, dispatch_uid="auditkit_django.hijack.ended")
    user_logged_out.connect(_logged_out, dispatch_uid="auditkit_django.hijack.logged_out")
    if impersonation_in not in IMPERSONATION_RESOLVERS:
        IMPERSONATION_RESOLVERS.append(impersonation_in)
        signals.no_update_last_login = _muted(signals.no_update_last_login)


def impersonation_in(request: Any) -> tuple[Actor, Actor] | None:
    """Who impersonates whom in ``request``; the row of the former is read once for each request that records."""
    history = None if _is_changing.get() else _history(request)
    user = getattr(request, "user", None)
    if not history or not isinstance(user, Model):
        return None
    key = user._meta.pk.value_to_string(user)
    if key != request.session.get(SESSION_KEY):
        # Somebody else, by a token: the session says nothing of them.
        return None
    known = vars(request).get("_auditkit_hijack")
    if known is None or known[0] != (history[0], key):
        known = ((history[0], key), (_actor(history[0]), actor_from(user)))
        vars(request)["_auditkit_hijack"] = known
    return known[1]  # type: ignore[no-any-return]


def _history(request: Any) -> list[str]:
    """Keys of those who impersonate, the first one is the one who really acts."""
    session = getattr(request, "session", None)
    if session is None or (session.session_key is None and not session.modified):
        # Nothing in it. Looking would make the answer vary by cookie.
        return []
    return list(session.get("hijack_history") or ())


@follows_on_error
def _started(request: Any, hijacker: Any, hijacked: Any, **_signal: Any) -> None:
    _tell("session.impersonation.started", _history(request)[:-1], hijacker, hijacked)


@follows_on_error
def _ended(request: Any, hijacker: Any, hijacked: Any, **_signal: Any) -> None:
    _tell("session.impersonation.ended", _history(request), hijacker, hijacked)


@follows_on_error
def _logged_out(request: Any, user: Any, **_signal: Any) -> None:
    """Signing out ends the impersonation, of which the package says nothing."""
    history = _history(request) if user is not None else []
    while history:
        key = history.pop()
        hijacker = _actor(key)
        _tell("session.impersonation.ended", history, hijacker, user)
        user = _user(key)


def _tell(action: str, outer: list[str], hijacker: Any, hijacked: Any) -> None:
    """``outer`` are the impersonations around this one: then ``hijacker`` is an identity that the first of them uses."""
    token = _is_changing.set(True)
    try:
        emit(
            HOOK,
            action,
            user=hijacked,
            actor=_actor(outer[0]) if outer else hijacker,
            on_behalf_of=hijacker if outer else None,
            resource=hijacked,
        )
    finally:
        _is_changing.reset(token)


def _actor(key: str) -> Actor:
    user = _user(key)
    return Actor("user", key) if user is None else actor_from(user)


def _user(key: str) -> Any:
    """The row, as far as it can be read: where a transaction is broken, its denial is recorded without the name."""
    model = get_user_model()
    alias = router.db_for_read(model)
    if is_broken(connections[alias]):
        return None
    return model._base_manager.using(alias).filter(pk=key).first()


def _muted(quietly: Callable[..., Any]) -> Callable[..., Any]:
    """``no_update_last_login``, in which the package calls ``login()``: its own way to say that nobody signs in."""

    @functools.wraps(quietly)
    @contextmanager
    def no_update_last_login() -> Iterator[None]:
        token = is_told_elsewhere.set(True)
        try:
            with quietly():
                yield
        finally:
            is_told_elsewhere.reset(token)

    return no_update_last_login
