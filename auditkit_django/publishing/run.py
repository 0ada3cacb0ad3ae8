"""
Publish: hand each log's checkpoints to a publisher, and write down what it answered.

1. Find the logs whose newest checkpoint is newer than what the publisher has, and that are not in a pause after a failure.
2. Claim one; read again what was published.
3. Deliver, smallest size first: every checkpoint since, or the newest alone (``keeps_all``).
4. Write the ``Publication``. A crash before that delivers the same checkpoint again, which does no harm.

What fails is tried again with growing pauses; it keeps neither another publisher nor the sealing from its work. Sizes are
delivered in increasing order, and the newest checkpoint is delivered in the end, whatever went wrong meanwhile.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from django.db import DEFAULT_DB_ALIAS, IntegrityError, transaction
from django.db.models import Exists, F, OuterRef, Q, Subquery
from django.utils import timezone

from auditkit_django.crash import crash_point
from auditkit_django.exceptions import PublicationRefusedError, PublishError
from auditkit_django.log import prove
from auditkit_django.log.meta import META_TENANT
from auditkit_django.models import Checkpoint, Delivery, Log, Publication
from auditkit_django.publishing import claims
from auditkit_django.publishing.configured import Destination
from auditkit_django.publishing.port import Receipt, SealedNote
from auditkit_django.signals import checkpoint_refused

logger = logging.getLogger("auditkit_django")

#: So many failures in a row, and the place is taken to be down: the other logs wait for the next run.
MAX_FAILURES: Final = 3
_LOUD_FROM: Final = 3
_POLL_SECONDS: Final = 0.2
_PAGE: Final = 500

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one log at one publisher. ``size`` is the newest that it has now; ``error`` says what failed."""

    tenant: str
    publisher: str
    state: Literal["published", "skipped", "failed"]
    size: int
    error: str = ""


def publish(
    destination: Destination,
    *,
    using: str = DEFAULT_DB_ALIAS,
    tenants: Sequence[str] | None = None,
    is_asked: bool = False,
    clock: Clock = timezone.now,
) -> Iterator[Outcome]:
    """
    Bring ``destination`` up to date, one log after the other; what became of each that was behind.

    ``is_asked`` by a person: logs in a pause are tried too, and where another process is at one, it is waited for.
    """
    failures = 0
    for log in _behind(destination, using=using, tenants=tenants, now=None if is_asked else clock()):
        if failures >= MAX_FAILURES:
            if not is_asked:
                return
            error = f"not tried: {destination.name} failed {failures} times in a row"
            yield Outcome(tenant=log.tenant, publisher=destination.name, state="failed", size=0, error=error)
            continue
        if not _claimed(log, destination.name, using=using, clock=clock, waits=is_asked):
            if is_asked:
                error = "another process is at it"
                yield Outcome(tenant=log.tenant, publisher=destination.name, state="failed", size=0, error=error)
            continue
        try:
            outcome, is_down = _publish_log(log, destination, using=using, clock=clock)
        finally:
            claims.release(log, destination.name, using=using)
        failures = failures + 1 if is_down else 0
        if outcome is not None:
            yield outcome


def _behind(
    destination: Destination, *, using: str, tenants: Sequence[str] | None, now: datetime | None
) -> Iterator[Log]:
    """Step 1."""
    of_log = {"tenant": OuterRef("tenant"), "epoch": OuterRef("epoch")}
    sealed = Checkpoint.objects.filter(**of_log).order_by("-size").values("size")[:1]
    published = Publication.objects.filter(publisher=destination.name, **of_log).order_by("-size").values("size")[:1]
    # A halted log is not what was signed of it: what it has is no news for anybody.
    logs = Log.objects.using(using).exclude(state=Log.State.HALTED)
    logs = logs.alias(sealed=Subquery(sealed), published=Subquery(published))
    logs = logs.filter(Q(published=None) | Q(published__lt=F("sealed")), sealed__isnull=False)
    if tenants is not None:
        logs = logs.filter(tenant__in=tenants)
    if destination.logs != "all":
        logs = logs.filter(tenant=META_TENANT) if destination.logs == "meta" else logs.exclude(tenant=META_TENANT)
    if now is not None:
        resting = Delivery.objects.filter(publisher=destination.name, next_at__gt=now, **of_log)
        logs = logs.exclude(Exists(resting))
    logs, page = logs.order_by("tenant", "epoch"), None
    # Pages, not a cursor: between two rows of it strangers are waited for.
    while page is None or len(page) == _PAGE:
        page = list((logs if page is None else logs.filter(_after(page[-1])))[:_PAGE])
        yield from page


def _after(log: Log) -> Q:
    return Q(tenant__gt=log.tenant) | Q(tenant=log.tenant, epoch__gt=log.epoch)


def _claimed(log: Log, publisher: str, *, using: str, clock: Clock, waits: bool) -> bool:
    deadline = time.monotonic() + claims.LEASE_SECONDS
    while not claims.claim(log, publisher, using=using, clock=clock):
        if not waits or time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _publish_log(log: Log, destination: Destination, *, using: str, clock: Clock) -> tuple[Outcome | None, bool]:
    """Steps 2 to 4 for a log that is claimed; whether the place seems to be down."""
    name, publisher = destination.name, destination.publisher
    rows = Checkpoint.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    last = _last(log, name, using=using)
    size, has_published = last.size if last is not None else -1, False
    while not has_published or publisher.keeps_all:
        checkpoint = rows.filter(size__gt=size).order_by("size" if publisher.keeps_all else "-size").first()
        if checkpoint is None:
            break
        claims.keep(log, name, using=using, clock=clock)
        try:
            receipt = publisher.publish(_sealed_note(log, checkpoint, last, using=using))
        except Exception as exc:  # noqa: BLE001
            # Of a publisher that somebody else wrote anything may come; the others go on.
            error = _failed(log, checkpoint, name, exc, using=using, clock=clock)
            is_down = not isinstance(exc, PublicationRefusedError)
            return Outcome(tenant=log.tenant, publisher=name, state="failed", size=max(size, 0), error=error), is_down
        next_at = clock() + timedelta(seconds=publisher.interval_seconds)
        if receipt is None:
            claims.done(log, name, using=using, next_at=next_at)
            return Outcome(tenant=log.tenant, publisher=name, state="skipped", size=max(size, 0)), False
        crash_point("publish.delivered")
        for error in receipt.alarms:
            _alarm(log, checkpoint, name, error)
        last = _write(log, checkpoint, name, receipt, next_at=next_at, using=using, clock=clock)
        crash_point("publish.written")
        size, has_published = checkpoint.size, True
    # Nothing was left to do where another process did it between our look and our claim.
    return Outcome(tenant=log.tenant, publisher=name, state="published", size=size) if has_published else None, False


def _last(log: Log, publisher: str, *, using: str) -> Publication | None:
    rows = Publication.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, publisher=publisher)
    return rows.order_by("-size").first()


def _sealed_note(log: Log, checkpoint: Checkpoint, last: Publication | None, *, using: str) -> SealedNote:
    return SealedNote(
        tenant=log.tenant,
        log_id=log.id,
        origin=log.origin,
        epoch=log.epoch,
        size=checkpoint.size,
        root=bytes(checkpoint.root),
        note=checkpoint.note,
        sealed_at=checkpoint.sealed_at,
        last_size=last.size if last is not None else 0,
        last_receipt=last.receipt if last is not None else "",
        consistency=lambda old_size: prove.consistency(old_size, checkpoint, using=using),
    )


def _write(
    log: Log,
    checkpoint: Checkpoint,
    publisher: str,
    receipt: Receipt,
    *,
    next_at: datetime,
    using: str,
    clock: Clock,
) -> Publication:
    row = Publication(
        tenant=log.tenant,
        epoch=log.epoch,
        size=checkpoint.size,
        publisher=publisher,
        published_at=clock(),
        kind=receipt.kind,
        receipt=receipt.text,
    )
    try:
        with transaction.atomic(using=using):
            Publication.objects.using(using).bulk_create([row])
            claims.done(log, publisher, using=using, next_at=next_at)
    except IntegrityError:
        # A process whose claim had ended delivered it too: what it wrote stands.
        standing = _last(log, publisher, using=using)
        if standing is None or standing.size < checkpoint.size:
            raise
        return standing
    return row


def _failed(log: Log, checkpoint: Checkpoint, publisher: str, exc: Exception, *, using: str, clock: Clock) -> str:
    # What others raise may name an address with a password in it; what we raise does not.
    error = str(exc) if isinstance(exc, PublishError) else f"{type(exc).__name__}: {exc}"
    attempts = claims.failed(log, publisher, error, using=using, clock=clock)
    if isinstance(exc, PublicationRefusedError):
        _alarm(log, checkpoint, publisher, error)
        return error
    what = (publisher, checkpoint.size, log.tenant, error)
    level = logging.ERROR if attempts >= _LOUD_FROM else logging.WARNING
    is_foreign = not isinstance(exc, PublishError)
    logger.log(
        level,
        "auditkit: %s did not take the checkpoint at %d of tenant %s: %s",
        *what,
        exc_info=exc if is_foreign else None,
    )
    return error


def _alarm(log: Log, checkpoint: Checkpoint, publisher: str, error: str) -> None:
    size, tenant = checkpoint.size, log.tenant
    logger.critical("auditkit: %s refuses the checkpoint at %d of tenant %s: %s", publisher, size, tenant, error)
    checkpoint_refused.send_robust(sender=Log, tenant=tenant, size=size, publisher=publisher, error=error)
