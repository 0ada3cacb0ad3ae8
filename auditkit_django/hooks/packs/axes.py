"""
``django-axes``: accounts locked after failed attempts, and unlocked by somebody. The attempts themselves are told by ``auth``.

The package sends its signal again for each attempt that it refuses while it locks: told is the first one. Unlocking has
no signal; what is seen is that the attempts which locked are deleted, by ``reset()``, a command or in the admin.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser

from auditkit_django.drafts import Target
from auditkit_django.hooks.auth.sign_ins import claimed_user
from auditkit_django.hooks.emitting import emit, follows_on_error, is_on
from auditkit_django.hooks.tracking.rows import RowChange
from auditkit_django.hooks.tracking.watching import Watch, all_watches, watch

HOOK = "axes"

#: Set while axes clears away what expired, or what a sign-in that succeeded made void: nobody unlocks anything then.
_is_tidying: ContextVar[bool] = ContextVar("auditkit_axes_is_tidying", default=False)
#: Left on a request that was refused before its credentials were looked at.
_REFUSED = "_auditkit_axes_refused"


def connect() -> None:
    """Hear of locks, and watch for the deletion of what locks."""
    from axes.handlers import database
    from axes.handlers.proxy import AxesProxyHandler
    from axes.models import AccessAttempt
    from axes.signals import user_locked_out

    user_locked_out.connect(_locked_out, dispatch_uid="auditkit_django.axes.locked_out")
    if any(one.kind == HOOK for one in all_watches()):
        return
    watch(
        Watch(
            kind=HOOK,
            model=AccessAttempt,
            sink=_attempts_told,
            names=("username", "ip_address", "user_agent", "failures_since_start"),
            # Only deletions: each failed attempt is a save.
            narrow=lambda attempts: attempts,
            is_active=lambda: not _is_tidying.get() and is_on(HOOK, "auth.account.unlocked"),
        )
    )
    for name in ("clean_expired_user_attempts", "reset_user_attempts"):
        # Up to axes 7 functions that the module imports, since then methods of its handler.
        owner: Any = database if hasattr(database, name) else database.AxesDatabaseHandler
        setattr(owner, name, _tidying(getattr(owner, name)))
    AxesProxyHandler.is_allowed = classmethod(_noting(AxesProxyHandler.is_allowed.__func__))
    AxesProxyHandler.reset_attempts = classmethod(_told_reset(AxesProxyHandler.reset_attempts.__func__))


@follows_on_error
def _locked_out(request: Any, username: str | None, ip_address: str | None, **_signal: Any) -> None:
    if not _is_new(request):
        return
    from axes.helpers import get_lockout_parameters

    by = [_words(parameter) for parameter in get_lockout_parameters(request, request.axes_credentials)]
    user = _user(username)
    emit(
        HOOK,
        "auth.account.locked",
        user=user,
        actor="system",
        resource=_resource(user, ip_address, by),
        metadata={"reason": "failed attempts", "by": _shown(by), "failures": request.axes_failures_since_start},
    )


def _is_new(request: Any) -> bool:
    """Whether this attempt locks, or was refused because of a lock that stood before."""
    from axes.helpers import get_failure_limit

    if not getattr(request, _REFUSED, False):
        # Of attempts at the same moment several may find the limit passed: rather told twice than not at all.
        return True
    return bool(request.axes_failures_since_start == get_failure_limit(request, request.axes_credentials))


def _noting(is_allowed: Callable[..., bool]) -> Callable[..., bool]:
    @functools.wraps(is_allowed)
    def noted(cls: Any, request: Any, credentials: Any = None) -> bool:
        answer = is_allowed(cls, request, credentials)
        if not answer:
            setattr(request, _REFUSED, True)
        return answer

    return noted


@follows_on_error
def _attempts_told(changes: Sequence[RowChange]) -> None:
    for words, attempts in _locking([change.old for change in changes if change.kind == "deleted"]):
        names = dict.fromkeys(attempt["username"] for attempt in attempts)
        users: list[AbstractBaseUser | None] = [user for name in names if (user := _user(name)) is not None]
        for user in users or [None]:
            _unlocked(user, attempts[0]["ip_address"], words)


def _unlocked(user: AbstractBaseUser | None, ip_address: str | None, words: tuple[str, ...]) -> None:
    resource = _resource(user, ip_address, [words])
    emit(HOOK, "auth.account.unlocked", user=user, resource=resource, metadata={"by": _shown([words])})


def _locking(attempts: Iterable[Any]) -> Iterator[tuple[tuple[str, ...], list[Any]]]:
    """Those of ``attempts`` that together locked something, with what they have in common (``("username",)``)."""
    from axes.conf import settings

    if not settings.AXES_LOCK_OUT_AT_FAILURE:
        return
    # Where only a request could tell, deleting an attempt counts as unlocking its account.
    limit = settings.AXES_FAILURE_LIMIT if isinstance(settings.AXES_FAILURE_LIMIT, int) else 1
    parameters = settings.AXES_LOCKOUT_PARAMETERS
    for parameter in parameters if isinstance(parameters, list) else ["username"]:
        words = _words(parameter)
        groups: dict[tuple[Any, ...], list[Any]] = {}
        for attempt in attempts:
            groups.setdefault(tuple(attempt[word] for word in words), []).append(attempt)
        for group in groups.values():
            if sum(attempt["failures_since_start"] for attempt in group) >= limit:
                yield words, group


def _told_reset(reset: Callable[..., int]) -> Callable[..., int]:
    """Of a handler that keeps attempts elsewhere than in rows, the cache, only the call itself can be told."""
    from axes.handlers.database import AxesDatabaseHandler

    @functools.wraps(reset)
    def reset_attempts(cls: Any, *, ip_address: Any = None, username: Any = None, ip_or_username: bool = False) -> int:
        count = reset(cls, ip_address=ip_address, username=username, ip_or_username=ip_or_username)
        if count and not isinstance(cls.get_implementation(), AxesDatabaseHandler):
            _reset_told(username, ip_address)
        return count

    return reset_attempts


@follows_on_error
def _reset_told(username: str | None, ip_address: str | None) -> None:
    given = {"username": username, "ip_address": ip_address}
    _unlocked(_user(username), ip_address, tuple(word for word, value in given.items() if value))


def _tidying(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def tidy(*args: Any, **kwargs: Any) -> Any:
        token = _is_tidying.set(True)
        try:
            return method(*args, **kwargs)
        finally:
            _is_tidying.reset(token)

    return tidy


def _user(username: str | None) -> AbstractBaseUser | None:
    return claimed_user({"username": username}) if username else None


def _words(parameter: str | Iterable[str]) -> tuple[str, ...]:
    return (parameter,) if isinstance(parameter, str) else tuple(parameter)


def _shown(by: Iterable[tuple[str, ...]]) -> list[str]:
    return ["+".join(words) for words in by]


def _resource(user: AbstractBaseUser | None, ip_address: str | None, by: Iterable[tuple[str, ...]]) -> Any:
    """The account; the address where that alone locks. Nothing for a name that nobody has: it may be a password."""
    if any("username" in words for words in by):
        return user
    return Target("ip_address", ip_address) if ip_address else None
