"""What to look for, as a value: the same for page, API, exports and streams."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Final

from django.db import models
from django.db.models import Q

from auditkit_django.exceptions import MalformedError
from auditkit_django.models import Event
from auditkit_django.query.disclosed import Discloses
from auditkit_django.query.facts import HasMetadata
from auditkit_django.query.fields import (
    FIELDS,
    action_condition,
    check_text,
    condition_of,
    party_condition,
    read_action,
)
from auditkit_django.query.frozen import FrozenObject
from auditkit_django.query.language import Condition, parse

#: Members that are texts of which any makes sense, and those that their field of the language reads.
_TEXTS: Final = ("action", "actor", "target", "category", "request_id")
_READ: Final = ("outcome", "severity", "ip", "text")
_TIMES: Final[Mapping[str, str]] = {
    "start": "occurred_at__gte",
    "end": "occurred_at__lt",
    "recorded_start": "recorded_at__gte",
    "recorded_end": "recorded_at__lt",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFilter:
    """
    Narrows one tenant's events; every member that is set must hold.

    ``action``: exact (aliases count) or a prefix such as ``member.*``. ``actor`` and ``target``: ``"type:id"`` or an id.
    ``start`` is included, ``end`` is not; both aware, compared with the time of occurrence; ``recorded_start`` and
    ``recorded_end`` alike, with the time of recording. ``ip``: an address or a network. ``metadata``: a JSON object that the
    event's contains, as PostgreSQL's ``@>`` has it. ``text``: part of any value, whatever the case. ``query``: the query
    language (``query/language.py``).

    Raises:
        MalformedError: A member that cannot be meant; QueryError, which says where, for ``query``.
    """

    action: str | None = None
    actor: str | None = None
    target: str | None = None
    outcome: str | None = None
    severity: str | None = None
    category: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    ip: str | None = None
    request_id: str | None = None
    recorded_start: datetime | None = None
    recorded_end: datetime | None = None
    metadata: Mapping[str, object] | None = None
    text: str | None = None
    query: str | None = None

    def __post_init__(self) -> None:
        for name in _TEXTS + _READ:
            value = getattr(self, name)
            if value is not None:
                check_text(name, value)
        for name in _READ:
            value = getattr(self, name)
            if value is not None and FIELDS[name].read(value) != value:
                raise MalformedError(f"{name}: got {value!r:.40}, wanted {FIELDS[name].read(value)!r}")
        for name in _TIMES:
            moment = getattr(self, name)
            if moment is not None:
                # PostgreSQL knows no zone that is more than 15:59 from UTC; Python does.
                object.__setattr__(self, name, _in_utc(name, moment))
        if self.action is not None:
            read_action(self.action)
        if self.metadata is not None:
            object.__setattr__(self, "metadata", FrozenObject(self.metadata, name="metadata"))
        if self.query is not None:
            parse(self.query)

    def apply(self, tenant: str) -> models.QuerySet[Event]:
        """The tenant's events that match, in no order."""
        events = Event.objects.filter(tenant=tenant)
        for condition in self._conditions():
            events = events.filter(condition)
        return events

    def _conditions(self) -> Iterator[Q]:
        """What has a column first."""
        if self.action is not None:
            yield action_condition(self.action)
        for role in ("actor", "target"):
            value = getattr(self, role)
            if value is not None:
                yield party_condition(role, value)
        equal = {"outcome": self.outcome, "severity": self.severity, "category": self.category}
        yield Q(**{name: value for name, value in equal.items() if value is not None})
        yield Q(**{lookup: moment for name, lookup in _TIMES.items() if (moment := getattr(self, name)) is not None})
        asked = [_condition(one) for one in parse(self.query)] if self.query is not None else []
        for name, field in (("ip", "ip"), ("request_id", "request"), ("text", "text")):
            value = getattr(self, name)
            if value is not None:
                yield FIELDS[field].condition(value)
        if isinstance(self.metadata, FrozenObject) and self.metadata:
            yield Q(Discloses(HasMetadata(self.metadata.text)))
        yield from asked

    def described(self) -> dict[str, str]:
        """The members that are set, as text: what an export event remembers of its filter."""
        found = {field.name: getattr(self, field.name) for field in fields(EventFilter)}
        return {name: _text(value) for name, value in found.items() if value is not None}


def _condition(asked: Condition) -> Q:
    condition = condition_of(asked.field, asked.path, asked.values)
    return ~condition if asked.is_negated else condition


def _in_utc(name: str, moment: datetime) -> datetime:
    if moment.utcoffset() is None:
        raise MalformedError(f"{name}: got the naive {moment}, wanted a datetime with a time zone")
    try:
        return moment.astimezone(UTC)
    except OverflowError as exc:
        raise MalformedError(f"{name}: got {moment}, wanted a time that UTC has, too") from exc


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.text if isinstance(value, FrozenObject) else str(value)
