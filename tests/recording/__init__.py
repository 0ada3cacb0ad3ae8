"""Recording: what a call, a batch or a context becomes before it is written, and that nothing is lost on the way."""

from __future__ import annotations

from typing import Any

from auditkit_django import auditlog
from auditkit_django.auditlog import ListedEvent
from auditkit_django.models import Event


def recorded(**fields: Any) -> ListedEvent:
    """Record one event of the system log and give it back as a face would show it."""
    event_id = auditlog.event("data.record.updated", **{"tenant": "system", **fields})
    return next(event for event in auditlog.list("system", limit=1000) if event.id == event_id)


def actions_of(tenant: object) -> list[str]:
    """The tenant's actions in the order of their recording, without those of the log itself."""
    events = Event.objects.filter(tenant=str(getattr(tenant, "pk", tenant))).order_by("recorded_at", "id")
    return [event.action for event in events if event.action != "audit.log.opened"]
