"""Which events are exported, and the event that looking leaves behind."""

from __future__ import annotations

import time
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet
from django.http import HttpRequest

from auditkit_django import auditlog
from auditkit_django.models import Event
from auditkit_django.query.filters import EventFilter
from auditkit_django.recording.context import current

VIEWING_SECONDS = 3600
_VIEWED = "auditkit_admin_viewed"


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedEvents(EventFilter):
    """The events with these ids, and no others, whatever else is said."""

    ids: tuple[UUID, ...] = ()

    def apply(self, tenant: str) -> QuerySet[Event]:
        return EventFilter.apply(self, tenant).filter(id__in=self.ids)

    def described(self) -> dict[str, str]:
        return {"ids": " ".join(event_id.hex for event_id in self.ids)}


def record_viewing(request: HttpRequest, tenant: str) -> None:
    """Record ``audit.log.viewed`` in the tenant's own log, once per session and hour (S27)."""
    now = int(time.time())
    viewed = request.session.get(_VIEWED)
    recent = {key: at for key, at in viewed.items() if now - at < VIEWING_SECONDS} if isinstance(viewed, dict) else {}
    if tenant in recent:
        return
    actor = None if current() is not None else request.user
    auditlog.event("audit.log.viewed", tenant=tenant, actor=actor, metadata={"through": "admin"})
    request.session[_VIEWED] = {**recent, tenant: now}
