"""Django REST framework's ``authtoken``: tokens made and taken away. The token itself, its primary key, is never recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from auditkit_django.drafts import Target
from auditkit_django.hooks.emitting import emit, follows_on_error
from auditkit_django.hooks.tracking.rows import RowChange
from auditkit_django.hooks.tracking.watching import Watch, watch

HOOK = "rest_framework_token"


def connect() -> None:
    """Watch the rows of ``rest_framework.authtoken``; the package sends no signals."""
    from rest_framework.authtoken.models import Token

    watch(Watch(kind=HOOK, model=Token, sink=_told, names=("user",)))


@follows_on_error
def _told(changes: Sequence[RowChange]) -> None:
    for change in changes:
        token: Any = change.instance
        if change.kind == "updated":
            continue
        action = "apikey.created" if change.kind == "created" else "apikey.revoked"
        target = Target(
            "token", f"{token.user._meta.model_name}:{token.user_id}", f"token of {token.user.get_username()}"
        )
        emit(HOOK, action, user=token.user, resource=target)
