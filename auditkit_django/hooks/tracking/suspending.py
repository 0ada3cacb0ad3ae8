"""A stretch of work whose row changes are not recorded: allowed, with a reason, and itself an event."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from auditkit_django.hooks.emitting import emit, tenant_of_context
from auditkit_django.hooks.tracking.watching import is_suspended


@contextmanager
def suspended(reason: str, *, tenant: object = None) -> Iterator[None]:
    """
    Inside, changes of tracked models are not recorded one by one; that they are not, and why, is recorded once.

    For data migrations, imports with ``ignore_conflicts``, and what else would be too much. The event is
    ``audit.tracking.suspended`` in the log of ``tenant`` (default: of the context, else the installation's own).
    """
    if not reason.strip():
        raise ValueError("suspended: got no reason, wanted a sentence for the log")
    emit(
        "track",
        "audit.tracking.suspended",
        tenants=[tenant if tenant is not None else tenant_of_context()],
        metadata={"reason": reason},
    )
    token = is_suspended.set(True)
    try:
        yield
    finally:
        is_suspended.reset(token)
