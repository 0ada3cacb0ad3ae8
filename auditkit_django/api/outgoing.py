"""Events as they go out."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

from auditkit_django.ledger.entry import format_time
from auditkit_django.query.pages import ListedEvent


def outgoing(event: ListedEvent) -> dict[str, Any]:
    """One event as JSON: times are UTC with microseconds, ``seq`` is null until it is in the log."""
    return {
        "id": str(event.id),
        "tenant": event.tenant,
        "seq": event.seq,
        "occurred_at": format_time(event.occurred_at),
        "recorded_at": format_time(event.recorded_at),
        "action": event.action,
        "category": event.category,
        "severity": event.severity,
        "outcome": event.outcome,
        "summary": event.summary,
        "actor": event.actor,
        "on_behalf_of": event.on_behalf_of,
        "targets": event.targets,
        "context": event.context,
        "changes": event.changes,
        "metadata": event.metadata,
        "leaf_hash": None if event.leaf_hash is None else b64encode(event.leaf_hash).decode(),
    }


def outgoing_in_full(event: ListedEvent) -> dict[str, Any]:
    """The same with the entry that stands for it in the log, as text; null until it is there."""
    entry = None if event.entry is None else event.entry.decode("ascii", "backslashreplace")
    return {**outgoing(event), "entry": entry}
