"""Sessions that somebody ends who is not signing out: "sign out my other devices", an administrator, a policy."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.apps import apps
from django.contrib.auth import SESSION_KEY, get_user_model
from django.db.models import QuerySet
from django.utils import timezone

from auditkit_django.hooks.auth.sign_ins import session_left
from auditkit_django.hooks.emitting import emit, follows_on_error, is_on
from auditkit_django.hooks.tracking.rows import RowChange
from auditkit_django.hooks.tracking.watching import Watch, watch
from auditkit_django.recording import context as contexts


def connect() -> None:
    """Watch the deletion of sessions in the database; those kept elsewhere have no row that could be watched."""
    if not apps.is_installed("django.contrib.sessions"):
        return
    from django.contrib.sessions.models import Session

    watch(
        Watch(
            kind="auth",
            model=Session,
            sink=_told,
            names=(),
            narrow=_alive,
            is_active=lambda: is_on("auth", "session.revoked"),
        )
    )


def _alive(sessions: QuerySet[Any]) -> QuerySet[Any]:
    # Cleaning up expired ones (clearsessions) must not load them.
    return sessions.filter(expire_date__gt=timezone.now())


@follows_on_error
def _told(changes: Sequence[RowChange]) -> None:
    for change in changes:
        session: Any = change.instance
        data = session.get_decoded() if change.kind == "deleted" else {}
        if SESSION_KEY not in data or session.expire_date <= timezone.now() or _is_own(change.pk, data):
            continue
        model = get_user_model()
        user = model._default_manager.filter(pk=model._meta.pk.to_python(data[SESSION_KEY])).first()
        if user is not None:
            emit("auth", "session.revoked", user=user, resource=user)


def _is_own(key: str, data: dict[str, Any]) -> bool:
    """Whether it is the session of the request at hand: signing out, or its key exchanged for another."""
    if key == session_left.get():
        return True
    context = contexts.current()
    while context is not None:
        session = getattr(context.request, "session", None)
        if session is not None and (session.session_key == key or getattr(session, "_session_cache", None) == data):
            return True
        context = context.outer
    return False
