"""How the appending is doing: what waits, since when, and how fast it goes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from auditkit_django.models import Event, Pending

COUNT_CAP = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """
    ``pending`` is counted up to ``COUNT_CAP``; ``oldest_pending_at`` is when the oldest of them was recorded (UTC).

    ``last_pass_at`` and ``events_per_second`` are of the worker that asks, None elsewhere.
    """

    pending: int
    oldest_pending_at: datetime | None
    oldest_pending_age_seconds: float
    last_pass_at: datetime | None = None
    events_per_second: float | None = None


def health(
    *,
    using: str = DEFAULT_DB_ALIAS,
    now: datetime | None = None,
    last_pass_at: datetime | None = None,
    events_per_second: float | None = None,
) -> Health:
    """The state of the queue. Reads at most ``COUNT_CAP`` pointers and one event, whatever the log's size."""
    pointers = Pending.objects.using(using)
    pending = pointers.values("pk")[:COUNT_CAP].count()
    oldest = pointers.order_by("id").first() if pending else None
    recorded_at = None
    if oldest is not None:
        event = Event.objects.using(using).filter(tenant=oldest.tenant, id=oldest.event_id).first()
        recorded_at = event.recorded_at if event is not None else None
    age = ((now or timezone.now()) - recorded_at).total_seconds() if recorded_at is not None else 0.0
    return Health(
        pending=pending,
        oldest_pending_at=recorded_at,
        oldest_pending_age_seconds=max(0.0, age),
        last_pass_at=last_pass_at,
        events_per_second=events_per_second,
    )
