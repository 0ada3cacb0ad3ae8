"""Which tenants there are, for commands that are told ``--all``."""

from __future__ import annotations

from collections.abc import Iterator

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.models import Entry, Event, Log, Pending


def known_tenants(*, using: str = DEFAULT_DB_ALIAS) -> Iterator[str]:
    """
    Every tenant with a log, an entry, an event or a pointer, in order of its key.

    One index probe per tenant and table, however long the logs are.
    """
    after = ""
    while True:
        nexts = [tenant for model in (Log, Entry, Event, Pending) if (tenant := _next(model, after, using)) is not None]
        if not nexts:
            return
        after = min(nexts)
        yield after


def _next(model: type[Log | Entry | Event | Pending], after: str, using: str) -> str | None:
    tenants = model._default_manager.using(using).filter(tenant__gt=after).order_by("tenant")
    return tenants.values_list("tenant", flat=True).first()
