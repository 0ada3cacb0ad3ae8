"""
An event as the JSON text that is sent, made and checked in the caller.

What happens later, in the background or in another process, depends on no value of it any more.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final, Literal, TypedDict
from uuid import UUID

from auditkit_django.client.errors import InvalidEventError, excerpt
from auditkit_django.client.settings import MAX_EVENT_BYTES

Outcome = Literal["success", "failure", "denied"]
Severity = Literal["info", "low", "medium", "high", "critical"]
#: ``{"type": "user", "id": 17, "name": "Ada"}`` or ``"user:17"``.
Party = Mapping[str, object] | str

OUTCOMES: Final = ("success", "failure", "denied")
SEVERITIES: Final = ("info", "low", "medium", "high", "critical")
MAX_TEXT: Final = 200
MAX_KEY: Final = 128
MAX_TARGETS: Final = 20
MAX_CHANGES: Final = 100
MAX_FACTS: Final = 20
_MAX_DEPTH: Final = 64


class EventFields(TypedDict, total=False):
    """The arguments of ``event()`` beside ``action``; those of ``auditlog.event`` where they can be."""

    actor: Party | None
    resource: Party | None
    targets: Iterable[Party]
    tenant: object
    outcome: Outcome | None
    severity: Severity | None
    occurred_at: datetime | None
    metadata: Mapping[str, object] | None
    changes: Mapping[str, object] | Iterable[Mapping[str, object]] | None
    on_behalf_of: Party | None
    context: Mapping[str, object] | None
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class EncodedEvent:
    """An event ready to be sent: ``data`` is one line of ASCII JSON without its end, with ``key`` inside."""

    key: str
    data: bytes


def encode_event(action: str, fields: EventFields, *, tenant: str | None = None) -> EncodedEvent:
    """
    The event as JSON, with the time of now and a fresh idempotency key where none is given.

    ``tenant`` is that of the client. Aware datetimes, dates, UUIDs, decimals, enums, paths and sets get a JSON form.

    Raises:
        InvalidEventError: Something has no JSON form or breaks a limit of the server's.
        TypeError: An argument that there is not.
    """
    event: dict[str, object] = {"action": _text(action, "action")}
    for name, value in fields.items():
        check = _MEMBERS.get(name)
        if check is None:
            raise TypeError(f"event() got {name}, wanted one of {', '.join(_MEMBERS)}")
        if value is not None:
            event[name] = check(value, name)
    _gather_targets(event)
    if tenant is not None:
        event.setdefault("tenant", tenant)
    if "occurred_at" not in event:
        event["occurred_at"] = datetime.now(UTC).isoformat(timespec="microseconds")
    key = event.setdefault("idempotency_key", str(uuid.uuid4()))
    data = _dumped(event)
    if len(data) > MAX_EVENT_BYTES:
        raise InvalidEventError(f"event {action}: got {len(data)} bytes, wanted at most {MAX_EVENT_BYTES}")
    return EncodedEvent(str(key), data)


def _gather_targets(event: dict[str, object]) -> None:
    first = event.pop("resource", None)
    targets = [*([] if first is None else [first]), *event.pop("targets", ())]  # type: ignore[misc]
    if len(targets) > MAX_TARGETS:
        raise InvalidEventError(f"targets: got {len(targets)}, wanted at most {MAX_TARGETS}")
    if targets:
        event["targets"] = targets


def _dumped(event: dict[str, object]) -> bytes:
    try:
        return _ENCODER.encode(event).encode("ascii")
    except (TypeError, ValueError, RecursionError) as exc:
        # The encoder does not say where; whoever reads the error wants to know.
        _complain(event, "", 0)
        raise InvalidEventError(f"event {event['action']}: got what has no JSON form ({exc})") from exc


def _as_json(value: object) -> object:
    """The JSON form of what is no plain value."""
    match value:
        case datetime():
            return _moment(value, "datetime")
        case date() | time():
            return value.isoformat()
        case Enum():
            return value.value
        case UUID() | Decimal() | PurePath():
            return str(value)
        case timedelta():
            return f"{value.total_seconds()}s"
        case Mapping():
            return dict(value)
        case set() | frozenset():
            return sorted(value, key=str)
    raise InvalidEventError(
        f"got {type(value).__name__}, wanted text, a number, a bool, None, a list, a dict, an aware datetime, a UUID or a Decimal"
    )


_ENCODER = json.JSONEncoder(separators=(",", ":"), allow_nan=False, default=_as_json)


def _complain(value: object, path: str, depth: int) -> None:
    """Raise for the first value inside ``value`` that has no JSON form, with its path."""
    if depth > _MAX_DEPTH:
        raise InvalidEventError(f"{path[:200]}: got more than {_MAX_DEPTH} levels or a circle, wanted a flatter value")
    if isinstance(value, Mapping):
        for key, item in value.items():
            if not isinstance(key, str | int):
                raise InvalidEventError(f"{path}: got a key {excerpt(key)}, wanted text")
            _complain(item, f"{path}.{key}" if path else str(key), depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for index, item in enumerate(value):
            _complain(item, f"{path}[{index}]", depth + 1)
    else:
        try:
            _ENCODER.encode(value)
        except InvalidEventError as exc:
            raise InvalidEventError(f"{path}: {exc}") from None
        except (TypeError, ValueError) as exc:
            raise InvalidEventError(f"{path}: got {excerpt(value)}, wanted a value with a JSON form") from exc


def _text(value: object, name: str, limit: int = MAX_TEXT) -> str:
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise InvalidEventError(f"{name}: got {excerpt(value)}, wanted text of 1 to {limit} characters")
    return value


def _moment(value: object, name: str) -> str:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise InvalidEventError(f"{name}: got {excerpt(value)}, wanted an aware datetime")
    return value.isoformat(timespec="microseconds")


def _party(value: object, name: str, members: frozenset[str] = frozenset(("type", "id", "name", "email"))) -> object:
    if isinstance(value, str):
        return _text(value, name)
    if not isinstance(value, Mapping):
        raise InvalidEventError(f'{name}: got {excerpt(value)}, wanted "type:id" or {{"type": …, "id": …}}')
    if "type" not in value or value.keys() - members:
        raise InvalidEventError(
            f"{name}: got the members {excerpt(list(value))}, wanted type and of {', '.join(sorted(members))}"
        )
    return {key: _text(str(item), f"{name}.{key}") for key, item in value.items() if item is not None}


def _target(value: object, name: str) -> object:
    return _party(value, name, frozenset(("type", "id", "name")))


def _targets(value: object, name: str) -> list[object]:
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        raise InvalidEventError(f"{name}: got {excerpt(value)}, wanted a list of targets (for one: resource)")
    return [_target(one, name) for one in value]


def _object(value: object, name: str) -> dict[str, object]:
    if not isinstance(value, Mapping):
        raise InvalidEventError(f"{name}: got {excerpt(value)}, wanted a dict")
    return dict(value)


def _context(value: object, name: str) -> dict[str, object]:
    facts = _object(value, name)
    if len(facts) > MAX_FACTS:
        raise InvalidEventError(f"{name}: got {len(facts)} facts, wanted at most {MAX_FACTS}")
    return facts


def _changes(value: object, name: str) -> list[object]:
    if isinstance(value, Mapping):
        found: list[object] = [_change(field, pair) for field, pair in value.items()]
    elif isinstance(value, str) or not isinstance(value, Iterable):
        raise InvalidEventError(f"{name}: got {excerpt(value)}, wanted {{field: (old, new)}}")
    else:
        found = list(value)
        for one in found:
            if not isinstance(one, Mapping) or "field" not in one or one.keys() - {"field", "old", "new"}:
                raise InvalidEventError(f"{name}: got {excerpt(one)}, wanted field, old and new")
    if len(found) > MAX_CHANGES:
        raise InvalidEventError(f"{name}: got {len(found)}, wanted at most {MAX_CHANGES}")
    return found


def _change(field: object, pair: object) -> dict[str, object]:
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise InvalidEventError(f"changes[{field!r}]: got {excerpt(pair)}, wanted a pair (old, new)")
    return {"field": str(field), "old": pair[0], "new": pair[1]}


def _outcome(value: object, name: str) -> object:
    return _one_of(value, name, OUTCOMES)


def _severity(value: object, name: str) -> object:
    return _one_of(value, name, SEVERITIES)


def _one_of(value: object, name: str, wanted: tuple[str, ...]) -> object:
    if value not in wanted:
        raise InvalidEventError(f"{name}: got {excerpt(value)}, wanted one of {', '.join(wanted)}")
    return value


def _tenant(value: object, name: str) -> str:
    if not isinstance(value, str | int | UUID) or isinstance(value, bool):
        raise InvalidEventError(f"{name}: got {excerpt(value)}, wanted the key of a tenant as text")
    return _text(str(value), name, MAX_KEY)


def _key(value: object, name: str) -> str:
    return _text(value, name, MAX_KEY)


_MEMBERS: dict[str, Callable[[Any, str], object]] = {
    "actor": _party,
    "resource": _target,
    "targets": _targets,
    "tenant": _tenant,
    "outcome": _outcome,
    "severity": _severity,
    "occurred_at": _moment,
    "metadata": _object,
    "changes": _changes,
    "on_behalf_of": _party,
    "context": _context,
    "idempotency_key": _key,
}
