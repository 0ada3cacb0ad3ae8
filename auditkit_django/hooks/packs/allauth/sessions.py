"""Sessions that somebody ends on the page of ``allauth.usersessions``, where ``hooks.auth`` cannot see them end."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from django.apps import apps
from django.conf import settings
from django.contrib.auth.base_user import AbstractBaseUser

from auditkit_django.hooks.emitting import emit, follows_on_error
from auditkit_django.hooks.packs.allauth.wrapping import wrap


def connect() -> None:
    """Wrap the end of a session. Its row in ``UserSession`` goes for other reasons as well: signed out, expired."""
    if not apps.is_installed("allauth.usersessions"):
        return
    from allauth.usersessions.models import UserSession

    wrap(UserSession, "end", _end)


def _end(original: Callable[..., Any], self: Any) -> Any:
    is_untold = not _has_watched_row() and not _is_current(self) and self.exists()
    result = original(self)
    if is_untold:
        _revoked(self.user)
    return result


def _has_watched_row() -> bool:
    """Whether sessions are rows of Django's table, whose deletion ``hooks.auth`` tells; those in a cache are not."""
    if not apps.is_installed("django.contrib.sessions"):
        return False
    from django.contrib.sessions.models import Session

    find = getattr(import_module(settings.SESSION_ENGINE).SessionStore, "get_model_class", None)
    return find is not None and issubclass(find(), Session)


def _is_current(session: Any) -> bool:
    """Whether it is that of the request: ending it is signing out, and told as that."""
    from allauth.core import context

    own = getattr(context.request, "session", None)
    return own is not None and own.session_key == session.session_key


@follows_on_error
def _revoked(user: AbstractBaseUser) -> None:
    emit("allauth", "session.revoked", user=user, resource=user)
