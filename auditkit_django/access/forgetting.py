"""Requests with a key or a token: whoever else is signed in in the same browser has no part in them (S28)."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.http import HttpRequest


def forget_session(request: HttpRequest) -> None:
    """No cookie, user or session is left: not in what is shown, and not in what is recorded."""
    request.COOKIES = {}
    request.user = AnonymousUser()
    session = getattr(request, "session", None)
    if session is not None:
        # Of the same kind, so that a layout of the host's can read it; it is empty, so nothing is saved and no cookie set.
        request.session = type(session)()
