"""What was lost under ``ON_ERROR = "log"``: counted, signalled, and recorded as soon as recording works again."""

from __future__ import annotations

import logging
import threading
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from auditkit_django import actions
from auditkit_django.drafts import SYSTEM, SYSTEM_TENANT, EventDraft
from auditkit_django.log.identity import new_id
from auditkit_django.log.writing import write_event
from auditkit_django.models import Event
from auditkit_django.recording.context import survivors
from auditkit_django.recording.encoding import encode_row
from auditkit_django.signals import event_lost

logger = logging.getLogger("auditkit_django")


class Losses:
    """Counts lost events of this process until an ``audit.logging.failed`` event names them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.count = 0
        self._actions: dict[str, int] = {}
        self._since: datetime | None = None

    def add(self, action: str, error: Exception) -> None:
        """Count a lost event, log the error and send ``event_lost``."""
        with self._lock:
            self.count += 1
            self._since = self._since or timezone.now()
            name = str(action)[:96]
            if name in self._actions or len(self._actions) < 50:
                self._actions[name] = self._actions.get(name, 0) + 1
        logger.error(
            "auditkit: event %s was lost (%d since the last report): %s", action, self.count, error, exc_info=error
        )
        event_lost.send_robust(sender=Event, action=action, error=error)

    def report(self, *, using: str) -> None:
        """Record what was lost in the system log, surviving the caller's rollback; kept for the next time if that fails."""
        with self._lock:
            count, lost, since = self.count, dict(self._actions), self._since
            self.count, self._actions, self._since = 0, {}, None
        if not count:
            return
        try:
            row = encode_row(_draft(count, lost, since))
            with transaction.atomic(using=using):
                write_event(row, using=using)
                survivors().watch(row, using)
        except Exception:
            logger.exception("auditkit: the loss of %d events could not be recorded yet", count)
            with self._lock:
                self.count += count
                self._since = since
                for name, number in lost.items():
                    self._actions[name] = self._actions.get(name, 0) + number


def _draft(count: int, lost: dict[str, int], since: datetime | None) -> EventDraft:
    now = timezone.now()
    action = actions.get("audit.logging.failed")
    assert action is not None
    return EventDraft(
        id=new_id(now),
        tenant=SYSTEM_TENANT,
        action=action.name,
        category=action.category,
        severity=action.severity,
        outcome=action.outcome,
        actor=SYSTEM,
        occurred_at=now,
        recorded_at=now,
        metadata={"count": count, "actions": lost, "since": since, "until": now},
    )


LOSSES = Losses()
