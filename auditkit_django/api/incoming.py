"""Events as they come in: JSON to a draft with its row, or an error that says what was got and wanted."""

from __future__ import annotations

import difflib
import ipaddress
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from auditkit_django import actions
from auditkit_django.access.grant import Grant
from auditkit_django.drafts import Actor, Change, EventDraft, Target
from auditkit_django.exceptions import MalformedError, MissingTenantError
from auditkit_django.ledger.errors import excerpt
from auditkit_django.log.meta import META_TENANT
from auditkit_django.log.rows import EventRow
from auditkit_django.recording.ingesting import encoded
from auditkit_django.recording.record import build_draft

_MAX_FACTS: Final = 20
_PARTY: Final = frozenset({"type", "id", "name", "email"})
_THING: Final = frozenset({"type", "id", "name"})
_CHANGE: Final = frozenset({"field", "old", "new"})
#: Facts that the API itself states, and that callers therefore cannot.
_OWN_FACTS: Final = frozenset({"source", "ingested_by"})


def incoming(item: object, grant: Grant, *, key: str | None, tenant: str | None = None) -> tuple[EventDraft, EventRow]:
    """
    The draft and row of one event; ``key`` is its idempotency key, and ``tenant`` its tenant, where it has none of its own.

    Raises:
        MalformedError: It cannot be recorded, and why.
    """
    given = _object(item, "event")
    if unknown := given.keys() - _MEMBERS:
        name = min(unknown)
        near = difflib.get_close_matches(name[:64], MEMBERS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise MalformedError(
            f"event: got the member {excerpt(name)}, wanted some of {', '.join(sorted(MEMBERS))}.{hint}"
        )
    fields: dict[str, Any] = {
        name: read(value) for name, value in given.items() if value is not None and (read := _READERS.get(name))
    }
    if "action" not in fields:
        raise MalformedError('action: got none, wanted a name such as "member.invited"')
    known = actions.get(fields["action"])
    if known is not None and known.category == "audit":
        # What the log and its host say of the log itself is believed by people and alerts.
        raise MalformedError(f"action: got {known.name!r}, which the log's own host records, wanted another")
    fields.setdefault("actor", grant.actor)
    if key is not None:
        fields.setdefault("idempotency_key", key)
    return encoded(
        build_draft(
            tenant=_tenant(given.get("tenant"), grant, tenant),
            targets=_targets(given.get("target"), given.get("targets")),
            facts=_facts(given.get("context"), grant),
            **fields,
        )
    )


def _tenant(value: object, grant: Grant, default: str | None) -> str:
    if grant.tenant is not None:
        # Another tenant's key is not told from one that nobody has.
        if value not in (None, grant.tenant):
            raise MalformedError(f"tenant: got {excerpt(value)}, wanted none, or the one that the API key is of")
        return grant.tenant
    if value is None and default is None:
        raise MissingTenantError("tenant: got none, wanted one: the API key is of the installation")
    tenant = _text(default if value is None else value, "tenant")
    if tenant == META_TENANT:
        raise MalformedError(
            f"tenant: got {tenant!r}, whose log is that of checkpoints, which is written by sealing alone"
        )
    return tenant


def _facts(value: object, grant: Grant) -> dict[str, object]:
    facts = {} if value is None else dict(_object(value, "context"))
    if len(facts) > _MAX_FACTS:
        raise MalformedError(f"context: got {len(facts)} members, wanted at most {_MAX_FACTS}")
    if taken := _OWN_FACTS & facts.keys():
        raise MalformedError(f"context: got {', '.join(sorted(taken))}, which the API states itself")
    if (address := facts.get("ip")) is not None:
        facts["ip"] = _address(_text(address, "context.ip"))
    return {**facts, "source": "api", "ingested_by": grant.actor.id}


@lru_cache(maxsize=1024)
def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as exc:
        raise MalformedError(f"context.ip: got {excerpt(text)}, wanted an IPv4 or IPv6 address") from exc


def _actor(value: object, name: str) -> object:
    if isinstance(value, str):
        return value
    members = _members(value, name, _PARTY, 'an object with type and id, or "type:id"')
    kind = members.get("type")
    if kind is None:
        raise MalformedError(f"{name}: got no type, wanted user, api_key, service or a word of your own")
    return Actor(_text(kind, f"{name}.type"), _id(members, name), _name(members, name), _name(members, name, "email"))


def _targets(first: object, others: object) -> list[object]:
    if others is not None and not isinstance(others, list):
        raise MalformedError(f"targets: got {_kind(others)}, wanted a list")
    return [_target(value) for value in ([] if first is None else [first]) + (others or [])]


def _target(value: object) -> object:
    if isinstance(value, str):
        return value
    members = _members(value, "target", _THING, 'an object with type and id, or "type:id"')
    if members.get("type") is None:
        raise MalformedError("target: got no type, wanted a word such as invoice")
    return Target(_text(members["type"], "target.type"), _id(members, "target"), _name(members, "target"))


def _changes(value: object) -> object:
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        raise MalformedError(f"changes: got {_kind(value)}, wanted a list of objects with field, old and new")
    found = []
    for one in value:
        members = _members(one, "changes", _CHANGE, "objects with field, old and new")
        found.append(Change(_text(members.get("field"), "changes.field"), members.get("old"), members.get("new")))
    return found


def _moment(value: object) -> datetime:
    try:
        # Naive ones are refused where all events are.
        return datetime.fromisoformat(_text(value, "occurred_at"))
    except (ValueError, OverflowError) as exc:
        raise MalformedError(
            f"occurred_at: got {excerpt(value)}, wanted a time with its zone such as 2026-01-31T12:00:00Z"
        ) from exc


def _members(value: object, name: str, allowed: frozenset[str], wanted: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"{name}: got {_kind(value)}, wanted {wanted}")
    if unknown := value.keys() - allowed:
        raise MalformedError(
            f"{name}: got the member {excerpt(min(unknown))}, wanted some of {', '.join(sorted(allowed))}"
        )
    return value


def _object(value: object, name: str) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise MalformedError(f"{name}: got {_kind(value)}, wanted an object")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise MalformedError(f"{name}: got {_kind(value)}, wanted text")
    return value


def _name(members: Mapping[str, Any], role: str, member: str = "name") -> str | None:
    value = members.get(member)
    return None if value is None else _text(value, f"{role}.{member}")


def _id(members: Mapping[str, Any], role: str) -> str | None:
    value = members.get("id")
    if type(value) is int and abs(value) < 2**63:
        return str(value)
    return None if value is None else _text(value, f"{role}.id")


def _kind(value: object) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return "null" if value is None else kinds.get(type(value), type(value).__name__)


#: What a member becomes; those that are not here go on as they are, and are checked where all events are.
_READERS: Final[Mapping[str, Callable[[object], object]]] = {
    "action": lambda value: _text(value, "action"),
    "actor": lambda value: _actor(value, "actor"),
    "on_behalf_of": lambda value: _actor(value, "on_behalf_of"),
    "outcome": lambda value: _text(value, "outcome"),
    "severity": lambda value: _text(value, "severity"),
    "occurred_at": _moment,
    "metadata": lambda value: _object(value, "metadata"),
    "changes": _changes,
    "idempotency_key": lambda value: _text(value, "idempotency_key"),
}
MEMBERS: Final = (*_READERS, "target", "targets", "context", "tenant")
_MEMBERS: Final = frozenset(MEMBERS)
