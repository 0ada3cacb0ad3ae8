"""Events for tests that need some: ``make_event(tenant=organization)``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import count

from auditkit_django.drafts import SYSTEM_TENANT, Change, Outcome, Severity
from auditkit_django.query.pages import ListedEvent, event_of
from auditkit_django.recording import context as contexts
from auditkit_django.recording.record import record
from auditkit_django.tenancy import tenant_key

_numbers = count(1)


def make_event(
    action: str = "data.record.updated",
    *,
    tenant: object = None,
    actor: object = None,
    resource: object = None,
    targets: Iterable[object] = (),
    outcome: Outcome | None = None,
    severity: Severity | None = None,
    metadata: Mapping[str, object] | None = None,
    changes: Mapping[str, object] | Iterable[Change] | None = None,
    on_behalf_of: object = None,
    occurred_at: datetime | None = None,
) -> ListedEvent:
    """
    Record an event and give it back; the arguments are those of ``auditlog.event``.

    What is not given is made up: the tenant is the context's, else ``"system"``, the actor the context's, else a user,
    and the resource a record with a number of its own. It is recorded like any other, so it is pending until
    ``append_now()``.

    Raises:
        MalformedError: Something given cannot be recorded.
    """
    context = contexts.current()
    if tenant is None:
        tenant = (context.resolve_tenant() if context is not None else None) or SYSTEM_TENANT
    if actor is None and context is None:
        actor = "user:1"
    event_id = record(
        action=action,
        tenant=tenant,
        actor=actor,
        resource=f"record:{next(_numbers)}" if resource is None else resource,
        targets=targets,
        outcome=outcome,
        severity=severity,
        metadata=metadata,
        changes=changes,
        on_behalf_of=on_behalf_of,
        occurred_at=occurred_at,
    )
    made = event_of(tenant_key(tenant), event_id) if event_id is not None else None
    # Lost under ON_ERROR = "log": a test that makes events wants to know.
    assert made is not None, f"make_event: {action} was not recorded"
    return made
