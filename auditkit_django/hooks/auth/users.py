"""The user's row: created, enabled, disabled, deleted; e-mail, password, staff and superuser status."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.hashers import get_hasher, identify_hasher, is_password_usable
from django.contrib.auth.views import INTERNAL_RESET_SESSION_TOKEN
from django.core.exceptions import FieldDoesNotExist

from auditkit_django.drafts import ANONYMOUS, Target
from auditkit_django.hooks.emitting import emit, follows_on_error, is_on
from auditkit_django.hooks.tracking.rows import RowChange
from auditkit_django.hooks.tracking.watching import Watch, watch
from auditkit_django.recording import context as contexts
from auditkit_django.recording.coercion import name_of

_RIGHTS = {"is_staff": "staff", "is_superuser": "superuser"}
_ACTIONS = (
    "user.created", "user.deleted", "user.enabled", "user.disabled", "user.email.changed", "auth.password.changed",
    "auth.password.reset", "permission.granted", "permission.revoked",
)  # fmt: skip

#: Set by packs that know that a password is being reset, around the change of it: by what ("link", "code").
reset_in_use: ContextVar[str | None] = ContextVar("auditkit_password_reset", default=None)


def connect() -> None:
    """Watch the fields that matter of the project's user model, as far as it has them."""
    model: Any = get_user_model()
    names = [
        name for name in ("password", "is_active", "is_staff", "is_superuser", _email_field()) if _has(model, name)
    ]
    watch(
        Watch(
            kind="auth",
            model=model,
            sink=_told,
            names=names,
            is_active=lambda: any(is_on("auth", action) for action in _ACTIONS),
        )
    )


def _email_field() -> str:
    return str(get_user_model().get_email_field_name())


def _has(model: Any, name: str) -> bool:
    try:
        return bool(model._meta.get_field(name).concrete)
    except FieldDoesNotExist:
        return False


@follows_on_error
def _told(changes: Sequence[RowChange]) -> None:
    for change in changes:
        if change.kind == "created":
            _created(change)
        elif change.kind == "deleted":
            _emit(change, "user.deleted")
        else:
            _updated(change)


def _created(change: RowChange) -> None:
    # Who signs up is nobody before, and acts for themselves.
    context = contexts.current()
    is_sign_up = context is not None and context.resolve_actor() == ANONYMOUS
    _emit(change, "user.created", actor=_user(change) if is_sign_up else None)
    for name, right in _RIGHTS.items():
        if change.new.get(name):
            _emit(change, "permission.granted", metadata={"permission": right}, changes={name: (False, True)})


def _updated(change: RowChange) -> None:
    old, new = change.old, change.new
    if "is_active" in new:
        action = "user.enabled" if new["is_active"] else "user.disabled"
        _emit(change, action, changes={"is_active": (old.get("is_active"), new["is_active"])})
    email = _email_field()
    if email in new:
        _emit(change, "user.email.changed", changes={"email": (old.get(email), new[email])})
    for name, right in _RIGHTS.items():
        if name in new:
            action = "permission.granted" if new[name] else "permission.revoked"
            _emit(change, action, metadata={"permission": right}, changes={name: (old.get(name), new[name])})
    if "password" in new and not _is_rehash(change):
        _password_changed(change)


def _password_changed(change: RowChange) -> None:
    context = contexts.current()
    actor = context.resolve_actor() if context is not None else None
    is_own = actor is not None and actor.type == "user" and actor.id == str(change.pk)
    if not is_password_usable(change.new["password"]):
        _emit(change, "auth.password.reset", metadata={"method": "removed"})
    elif method := reset_in_use.get() or ("link" if _has_reset_token() else None):
        _emit(change, "auth.password.reset", actor=_user(change), metadata={"method": method})
    elif is_own:
        _emit(change, "auth.password.changed")
    else:
        _emit(change, "auth.password.reset", metadata={"method": "by another"})


def _has_reset_token() -> bool:
    """Whether the request at hand came by the link of a reset mail: Django keeps its token in the session until then."""
    context = contexts.current()
    while context is not None:
        session = getattr(context.request, "session", None)
        if session is not None and INTERNAL_RESET_SESSION_TOKEN in session:
            return True
        context = context.outer
    return False


def _is_rehash(change: RowChange) -> bool:
    """
    Whether the same password was only hashed anew, as Django does at sign-in when the hasher or its cost has changed.

    Nobody chose a password then: the instance holds none in clear, and the old hash was due.
    """
    if getattr(change.instance, "_password", None) is not None or change.operation is not None or len(change.new) > 1:
        return False
    old, preferred = change.old.get("password"), get_hasher()
    if not old or not is_password_usable(old):
        return False
    try:
        hasher = identify_hasher(old)
    except ValueError:
        return False
    return bool(hasher.algorithm != preferred.algorithm or preferred.must_update(old))


def _emit(change: RowChange, action: str, **fields: Any) -> None:
    user: Any = change.instance
    target = Target("user", str(change.pk), name_of(user))
    emit("auth", action, user=user, resource=target, **fields)


def _user(change: RowChange) -> AbstractBaseUser:
    user: Any = change.instance
    return user  # type: ignore[no-any-return]
