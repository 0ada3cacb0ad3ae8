"""Looking at the log is an event of the log, once per session and hour (S27)."""

from __future__ import annotations

import time
from collections.abc import Mapping

from django.http import HttpRequest

from auditkit_django import auditlog
from auditkit_django.recording.context import current

SECONDS = 3600
_KEY = "auditkit_viewed"


def record_viewing(request: HttpRequest, tenant: str, filters: Mapping[str, str]) -> None:
    """Record ``audit.log.viewed`` unless this session did so for this tenant within the hour."""
    session = getattr(request, "session", None)
    now = int(time.time())
    viewed = session.get(_KEY) if session is not None else None
    recent = {key: at for key, at in viewed.items() if 0 <= now - at < SECONDS} if isinstance(viewed, dict) else {}
    if tenant in recent:
        return
    auditlog.event(
        action="audit.log.viewed",
        tenant=tenant,
        # The context knows more than the request: an impersonator, an actor resolver.
        actor=None if current() is not None else request.user,
        metadata={"filters": dict(filters)} if filters else None,
    )
    if session is not None:
        session[_KEY] = {**recent, tenant: now}
