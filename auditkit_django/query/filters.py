"""What to look for, as a value: the same for page, API, exports and streams."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime

from django.db import models

from auditkit_django import actions
from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.entry import OUTCOMES, SEVERITIES
from auditkit_django.models import Event


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """
    Narrows one tenant's events; every member that is set must hold.

    ``action``: exact (aliases count) or a prefix such as ``member.*``. ``actor`` and ``target``: ``"type:id"`` or an id.
    ``start`` is included, ``end`` is not; both aware, compared with the time of occurrence.
    """

    action: str | None = None
    actor: str | None = None
    target: str | None = None
    outcome: str | None = None
    severity: str | None = None
    category: str | None = None
    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        for name, allowed in (("outcome", OUTCOMES), ("severity", SEVERITIES)):
            value = getattr(self, name)
            if value is not None and value not in allowed:
                raise MalformedError(f"{name}: got {value!r:.40}, wanted one of {', '.join(sorted(allowed))}")
        for name in ("start", "end"):
            moment = getattr(self, name)
            if moment is not None and moment.utcoffset() is None:
                raise MalformedError(f"{name}: got the naive {moment}, wanted a datetime with a time zone")
        if self.action is not None and "*" in self.action.removesuffix(".*"):
            raise MalformedError(f'action: got {self.action!r:.100}, wanted a name or a prefix such as "member.*"')

    def apply(self, tenant: str) -> models.QuerySet[Event]:
        """The tenant's events that match, in no order."""
        events = Event.objects.filter(tenant=tenant)
        if self.action is not None:
            events = events.filter(self._action_condition(self.action))
        for role in ("actor", "target"):
            value = getattr(self, role)
            if value is not None:
                kind, colon, key = value.partition(":")
                events = events.filter(
                    **({f"{role}_type": kind, f"{role}_id": key} if colon else {f"{role}_id": value})
                )
        equal = {"outcome": self.outcome, "severity": self.severity, "category": self.category}
        events = events.filter(**{name: value for name, value in equal.items() if value is not None})
        if self.start is not None:
            events = events.filter(occurred_at__gte=self.start)
        if self.end is not None:
            events = events.filter(occurred_at__lt=self.end)
        return events

    @staticmethod
    def _action_condition(action: str) -> models.Q:
        if not action.endswith(".*"):
            return models.Q(action__in=actions.names_including_aliases(action))
        prefix = action.removesuffix("*")
        return models.Q(action__startswith=prefix)

    def described(self) -> dict[str, str]:
        """The members that are set, as text: what an export event remembers of its filter."""
        found = {field.name: getattr(self, field.name) for field in fields(EventFilter)}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in found.items()
            if value is not None
        }
