"""A filter that is held to what its asker may see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditkit_django.query.filters import EventFilter

if TYPE_CHECKING:
    from django.db.models import QuerySet

    from auditkit_django.models import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundFilter(EventFilter):
    """``only_actor`` ("type:id"; "system:" has no id): whatever else is asked for, only that actor's events."""

    only_actor: str | None = None

    def apply(self, tenant: str) -> QuerySet[Event]:
        events = EventFilter.apply(self, tenant)
        if self.only_actor is None:
            return events
        kind, _, key = self.only_actor.partition(":")
        return events.filter(actor_type=kind, actor_id=key or None)

    def described(self) -> dict[str, str]:
        bound = {} if self.only_actor is None else {"only_actor": self.only_actor}
        return {**EventFilter.described(self), **bound}
