"""CSV as a download, and the events that looking and exporting leave behind."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast
from uuid import UUID

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from auditkit_django import auditlog
from auditkit_django.evidence.tables import export
from auditkit_django.models import Event
from auditkit_django.query.filters import EventFilter
from auditkit_django.recording.context import current

VIEWING_SECONDS = 3600
_VIEWED = "auditkit_admin_viewed"
_LINES_PER_STEP = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SelectedEvents(EventFilter):
    """The events with these ids, and no others, whatever else is said."""

    ids: tuple[UUID, ...] = ()

    def apply(self, tenant: str) -> QuerySet[Event]:
        return EventFilter.apply(self, tenant).filter(id__in=self.ids)

    def described(self) -> dict[str, str]:
        return {"ids": " ".join(event_id.hex for event_id in self.ids)}


def csv_download(request: HttpRequest, tenant: str, chosen: EventFilter) -> StreamingHttpResponse:
    """The events as an attachment, in constant memory under WSGI and ASGI; the export is recorded first (S11)."""
    with auditlog.context(actor=None if current() is not None else request.user):
        lines = cast("Iterator[str]", export(tenant, chosen, format="csv"))
    content = _in_steps(lines) if isinstance(request, ASGIRequest) else lines
    response = StreamingHttpResponse(content, content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="audit-log.csv"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


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


async def _in_steps(lines: Iterator[str]) -> AsyncIterator[str]:
    while step := await sync_to_async(lambda: "".join(islice(lines, _LINES_PER_STEP)))():
        yield step
