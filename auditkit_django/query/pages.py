"""One page of a tenant's events, keyset-paged: two queries, however many events there are."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from django.db.models import Q, QuerySet

from auditkit_django import actions
from auditkit_django.exceptions import MalformedError
from auditkit_django.models import Entry, Event
from auditkit_django.query.cursors import dump_cursor, load_cursor
from auditkit_django.query.filters import EventFilter

MAX_LIMIT = 1000
_CHUNK = 500

Order = Literal["desc", "asc"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedEvent:
    """An event as faces show it: opened fields beside the proof. ``seq`` and ``entry`` are None while it is pending."""

    id: UUID
    tenant: str
    occurred_at: datetime
    recorded_at: datetime
    action: str
    category: str
    severity: str
    outcome: str
    summary: str
    actor: dict[str, Any] | None
    on_behalf_of: dict[str, Any] | None
    targets: list[dict[str, Any]]
    context: dict[str, Any]
    changes: list[dict[str, Any]]
    metadata: dict[str, Any]
    seq: int | None
    entry: bytes | None
    leaf_hash: bytes | None

    @property
    def is_pending(self) -> bool:
        """Recorded and committed, not yet in the log."""
        return self.seq is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Events in order, and the cursor of the page after; None where there is none."""

    events: tuple[ListedEvent, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[ListedEvent]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, index: int) -> ListedEvent:
        return self.events[index]


def page_of(
    tenant: str, chosen: EventFilter, *, limit: int = 50, order: Order = "desc", cursor: str | None = None
) -> Page:
    """
    Events of ``tenant`` that match, newest (``desc``) or oldest first by time of occurrence, at most ``limit``.

    Raises:
        MalformedError: ``limit`` outside 1 to 1,000, another order, or a cursor of another listing.
    """
    if type(limit) is not int or not 0 < limit <= MAX_LIMIT:
        raise MalformedError(f"limit: got {limit!r:.20}, wanted 1 to {MAX_LIMIT}")
    if order not in ("desc", "asc"):
        raise MalformedError(f'order: got {order!r:.20}, wanted "desc" or "asc"')
    scope = json.dumps([tenant, order, sorted(chosen.described().items())])
    events = chosen.apply(tenant)
    if cursor is not None:
        events = events.filter(_beyond(*load_cursor(cursor, scope=scope), order=order))
    sign = "-" if order == "desc" else ""
    found = list(events.order_by(f"{sign}occurred_at", f"{sign}id")[: limit + 1])
    shown = found[:limit]
    last = shown[-1] if len(found) > limit else None
    return Page(
        events=tuple(listed(tenant, shown)),
        next_cursor=dump_cursor(last.occurred_at, last.id, scope=scope) if last is not None else None,
    )


def event_of(tenant: str, event_id: UUID, *, chosen: EventFilter | None = None) -> ListedEvent | None:
    """
    The event of ``tenant`` with this id that ``chosen`` matches, or None: another tenant's event does not exist here.
    """
    events = list((chosen or EventFilter()).apply(tenant).filter(id=event_id))
    return next(iter(listed(tenant, events)), None)


def each_event(tenant: str, chosen: EventFilter) -> Iterator[ListedEvent]:
    """All matching events, oldest first, in constant memory (for exports)."""
    events: QuerySet[Event] = chosen.apply(tenant).order_by("occurred_at", "id")
    last: Event | None = None
    while True:
        part = events if last is None else events.filter(_beyond(last.occurred_at, last.id, order="asc"))
        chunk = list(part[:_CHUNK])
        yield from listed(tenant, chunk)
        if len(chunk) < _CHUNK:
            return
        last = chunk[-1]


def listed(tenant: str, events: Sequence[Event]) -> Iterable[ListedEvent]:
    """``events`` of one tenant with their entries: one query for all of them."""
    entries = Entry.objects.filter(tenant=tenant, event_id__in=[event.id for event in events]) if events else ()
    by_event = {entry.event_id: entry for entry in entries}
    return [_listed(event, by_event.get(event.id)) for event in events]


def _listed(event: Event, entry: Entry | None) -> ListedEvent:
    try:
        fields = event.disclosed()
    except MalformedError:
        # Changed by hand in the database: shown without content; verification names it.
        fields = {}
    return ListedEvent(
        id=event.id,
        tenant=event.tenant,
        occurred_at=event.occurred_at,
        recorded_at=event.recorded_at,
        action=event.action,
        category=event.category,
        severity=event.severity,
        outcome=event.outcome,
        summary=summary_of(event.action, fields),
        actor=fields.get("actor"),
        on_behalf_of=fields.get("on_behalf_of"),
        targets=fields.get("targets") or [],
        context=fields.get("context") or {},
        changes=fields.get("changes") or [],
        metadata=fields.get("metadata") or {},
        seq=entry.seq if entry is not None else None,
        entry=bytes(entry.body) if entry is not None else None,
        leaf_hash=bytes(entry.leaf_hash) if entry is not None else None,
    )


def summary_of(name: str, fields: Mapping[str, Any]) -> str:
    """The sentence of an event with the action ``name``, of what is disclosed of it; the name itself where it is unknown."""
    action = actions.get(name)
    if action is None:
        return name
    targets = fields.get("targets") or []
    values = {
        "actor": label_of(fields.get("actor")),
        "target": label_of(targets[0]) if targets else None,
        # The key means nothing to a reader: the sentence says "the organization".
        "tenant": None,
        "metadata": fields.get("metadata") or {},
    }
    return actions.render(action.template, values)


def label_of(party: Mapping[str, Any] | None) -> str | None:
    """What an actor or a target is called; None where there is none."""
    if not party:
        return None
    if party.get("type") in ("system", "anonymous"):
        return {"system": "The system", "anonymous": "Someone not signed in"}[party["type"]]
    return party.get("name") or party.get("email") or f"{party.get('type')} {party.get('id') or ''}".strip()


def _beyond(occurred_at: datetime, event_id: UUID, *, order: Order) -> Q:
    # The first condition bounds the index scan, the second breaks ties within one microsecond.
    if order == "desc":
        return Q(occurred_at__lte=occurred_at) & ~Q(occurred_at=occurred_at, id__gte=event_id)
    return Q(occurred_at__gte=occurred_at) & ~Q(occurred_at=occurred_at, id__lte=event_id)
