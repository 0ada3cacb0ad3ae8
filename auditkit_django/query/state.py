"""How a tenant's log stands: what the trail page and the admin say about its integrity."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from auditkit_django.conf import settings
from auditkit_django.log.checkpoints import newest, sealed_at
from auditkit_django.models import Checkpoint, Event, Log, Pending, Publication

PENDING_CAP = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """The newest checkpoint of a log at one publisher: ``size`` counts entries."""

    publisher: str
    size: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class LogState:
    """``size`` counts entries; ``pending`` is counted up to ``PENDING_CAP``; ``verdict`` is of the last verification,
    ``sealed_size`` what the newest checkpoint is for, ``first_seq`` where the log begins since it was pruned; ``is_halted``:
    it is shorter than what was signed of it, and new events wait; ``published`` where checkpoints are, in the order of the
    settings."""

    tenant: str
    origin: str
    size: int
    pending: int
    oldest_pending_at: datetime | None
    verified_at: datetime | None
    verified_size: int | None
    verdict: str
    first_seq: int = 0
    is_halted: bool = False
    sealed_size: int = 0
    sealed_at: datetime | None = None
    published: tuple[Published, ...] = ()


def newest_checkpoint(tenant: str) -> Checkpoint | None:
    """The newest signed checkpoint of the tenant's newest log; None where it was never sealed."""
    # Of the newest log alone: after a recovery the old one's says nothing of what is appended now.
    log = Log.objects.filter(tenant=tenant).order_by("-epoch").first()
    return newest(log) if log is not None else None


def log_state(tenant: str) -> LogState | None:
    """The state of the tenant's newest log, or None where nothing was ever appended or recorded."""
    log = Log.objects.filter(tenant=tenant).order_by("-epoch").first()
    pointers = Pending.objects.filter(tenant=tenant)
    pending = pointers.values("pk")[:PENDING_CAP].count()
    if log is None and not pending:
        return None
    oldest = pointers.order_by("id").first() if pending else None
    event = Event.objects.filter(tenant=tenant, id=oldest.event_id).first() if oldest is not None else None
    checkpoint = newest(log) if log is not None else None
    return LogState(
        tenant=tenant,
        origin=log.origin if log is not None else "",
        size=log.size if log is not None else 0,
        pending=pending,
        oldest_pending_at=event.recorded_at if event is not None else None,
        verified_at=log.verified_at if log is not None else None,
        verified_size=log.verified_size if log is not None else None,
        verdict=log.verdict if log is not None else "",
        first_seq=log.first_seq if log is not None else 0,
        is_halted=log is not None and log.state == Log.State.HALTED,
        sealed_size=checkpoint.size if checkpoint is not None else 0,
        sealed_at=sealed_at(checkpoint) if checkpoint is not None else None,
        published=tuple(_published(checkpoint)) if checkpoint is not None else (),
    )


def _published(checkpoint: Checkpoint) -> Iterator[Published]:
    rows = Publication.objects.filter(tenant=checkpoint.tenant, epoch=checkpoint.epoch)
    for name in settings.PUBLISHERS:
        row = rows.filter(publisher=name).order_by("-size").first()
        if row is not None:
            yield Published(publisher=name, size=row.size, at=row.published_at)
