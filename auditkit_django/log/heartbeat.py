"""
Heartbeat: a sealed log to which nothing was appended for a day gets an entry that says so, which is then sealed.

So silence is evidence: that nothing happened was said at the time, and a tail that was cut off misses what every log has. A
log that was never sealed gets none, since nothing would vouch for it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from auditkit_django.conf import settings
from auditkit_django.environment import is_test_run
from auditkit_django.log import chores, keys
from auditkit_django.log.control import append_control, locked_log, refuse_open_transaction
from auditkit_django.log.halting import halt_first_seen
from auditkit_django.log.own import heartbeat_event
from auditkit_django.models import Checkpoint, Log

logger = logging.getLogger("auditkit_django")

#: Logs of one run: an installation where thousands fall idle at once does not keep its worker from appending.
LOGS_PER_RUN = 500


def connect() -> None:
    """Have idle logs get their heartbeat by whoever appends, looked at once a minute; called when Django starts."""
    chores.register("heartbeat", _chore)


def _chore(using: str) -> bool:
    # A host's tests count their events, and move their clocks.
    return not is_test_run() and beat_due(using=using) == LOGS_PER_RUN


def beat_due(*, using: str = DEFAULT_DB_ALIAS, clock: Callable[[], datetime] = timezone.now) -> int:
    """
    Append a heartbeat to at most ``LOGS_PER_RUN`` open, sealed logs whose last entry is older than ``HEARTBEAT_INTERVAL``; how
    many. A log that cannot get one is logged and keeps no other from its own.
    """
    if not settings.HEARTBEAT_INTERVAL or keys.signer() is None:
        return 0
    refuse_open_transaction("heartbeat", using=using)
    before = clock() - timedelta(seconds=settings.HEARTBEAT_INTERVAL)
    is_sealed = Exists(Checkpoint.objects.filter(tenant=OuterRef("tenant"), epoch=OuterRef("epoch")))
    logs = Log.objects.using(using).filter(is_sealed, state=Log.State.OPEN, head_time__lt=before)
    idle = list(logs.order_by("tenant").values_list("tenant", flat=True)[:LOGS_PER_RUN])
    halt_first_seen(idle, using=using)
    count = 0
    for tenant in idle:
        try:
            count += _beat(tenant, before=before, now=clock(), using=using)
        except Exception:
            logger.exception("auditkit: the log of tenant %s got no heartbeat", tenant)
    return count


def _beat(tenant: str, *, before: datetime, now: datetime, using: str) -> bool:
    with transaction.atomic(using=using):
        log = locked_log(tenant, using=using)
        # Looked at again under the lock: somebody appended meanwhile, or another worker was here.
        if log.state != Log.State.OPEN or log.head_time >= before:
            return False
        event = heartbeat_event(tenant, origin=log.origin, idle_since=log.head_time, now=now)
        append_control(log, event, now=now, using=using)
        return True
