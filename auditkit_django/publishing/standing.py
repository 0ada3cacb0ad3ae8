"""Where the logs are published, and how far: what operators are told."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.log.checkpoints import newest
from auditkit_django.models import Delivery, Log, Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """One log at one publisher: ``size`` of the newest checkpoint there, of ``sealed_size``; ``attempts`` failed in a row."""

    tenant: str
    epoch: int
    publisher: str
    sealed_size: int
    size: int
    published_at: datetime | None
    attempts: int
    last_error: str


def standings(
    publishers: Sequence[str], *, tenants: Sequence[str] | None = None, using: str = DEFAULT_DB_ALIAS
) -> Iterator[Standing]:
    """Each log that was sealed, at each of ``publishers`` that has it or to which its delivery was tried."""
    logs = Log.objects.using(using).order_by("tenant", "epoch")
    for log in logs.filter(tenant__in=tenants) if tenants is not None else logs.iterator():
        sealed = newest(log, using=using)
        if sealed is None:
            continue
        for name in publishers:
            row = {"tenant": log.tenant, "epoch": log.epoch, "publisher": name}
            published = Publication.objects.using(using).filter(**row).order_by("-size").first()
            delivery = Delivery.objects.using(using).filter(**row).first()
            if published is None and delivery is None:
                continue
            yield Standing(
                tenant=log.tenant,
                epoch=log.epoch,
                publisher=name,
                sealed_size=sealed.size,
                size=published.size if published is not None else 0,
                published_at=published.published_at if published is not None else None,
                attempts=delivery.attempts if delivery is not None else 0,
                last_error=delivery.last_error if delivery is not None else "",
            )
