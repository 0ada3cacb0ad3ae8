"""The worker's loop: sweep, reconcile and do chores now and then, report health, stop gracefully."""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS, Error, connections
from django.utils import timezone

from auditkit_django.conf import settings
from auditkit_django.exceptions import AuditkitError
from auditkit_django.log import chores
from auditkit_django.log.append import append_sweep
from auditkit_django.log.halting import halt_behind
from auditkit_django.log.health import Health, health
from auditkit_django.log.reconcile import reconcile
from auditkit_django.log.tenants import known_tenants

logger = logging.getLogger("auditkit_django.worker")

RECONCILE_SECONDS = 300.0
REPORT_SECONDS = 60.0
_IDLE_POLL_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class Worker:
    """Appends until :meth:`stop`; any number of workers may run at once."""

    using: str = DEFAULT_DB_ALIAS
    appended: int = 0
    last_pass_at: datetime | None = None
    _stopping: threading.Event = field(default_factory=threading.Event)

    def stop(self, *_signal: object) -> None:
        """End after the pass that is running (a signal handler)."""
        self._stopping.set()

    def run_once(self) -> int:
        """Do the chores, reconcile, append until nothing is left that this worker can take; the number of new entries."""
        halt_behind(using=self.using)
        chores.run(using=self.using)
        self.reconcile()
        before = self.appended
        while self._sweep():
            pass
        return self.appended - before

    def run(self) -> None:
        """Poll until stopped. A database that is down is tried again with growing pauses."""
        next_reconcile = next_report = time.monotonic()
        reported, pause, error_pause = 0, settings.WORKER_POLL_SECONDS, 1.0
        while not self._stopping.is_set():
            try:
                now = time.monotonic()
                if now >= next_reconcile:
                    next_reconcile = now + RECONCILE_SECONDS
                    halt_behind(using=self.using)
                    self.reconcile()
                chores.run_due(using=self.using)
                is_busy = self._sweep()
                if now >= next_report:
                    next_report = now + REPORT_SECONDS
                    self._report((self.appended - reported) / REPORT_SECONDS)
                    reported = self.appended
                error_pause = 1.0
            except (Error, AuditkitError):
                logger.exception("auditkit worker: a pass failed and was rolled back; next try in %.0f s", error_pause)
                connections[self.using].close()
                self._stopping.wait(error_pause)
                error_pause = min(2 * error_pause, _LONGEST_PAUSE_SECONDS)
                continue
            pause = settings.WORKER_POLL_SECONDS if is_busy else min(1.25 * pause, _IDLE_POLL_SECONDS)
            if not is_busy:
                self._stopping.wait(pause)

    def reconcile(self) -> int:
        """Queue unlogged events of every tenant again; how many."""
        return sum(reconcile(tenant, using=self.using) for tenant in known_tenants(using=self.using))

    def health(self, events_per_second: float | None = None) -> Health:
        """The queue's health, with this worker's last pass."""
        return health(using=self.using, last_pass_at=self.last_pass_at, events_per_second=events_per_second)

    def _sweep(self) -> bool:
        result = append_sweep(using=self.using)
        self.last_pass_at = timezone.now()
        self.appended += result.total
        return bool(result.total)

    def _report(self, events_per_second: float) -> None:
        state = self.health(events_per_second)
        logger.info(
            "auditkit worker: %.1f events/s, %d pending, oldest %.1f s, last pass %s",
            events_per_second,
            state.pending,
            state.oldest_pending_age_seconds,
            state.last_pass_at.isoformat() if state.last_pass_at else "never",
        )
