"""What the databases find is what plain Python finds in the events as they are listed: any events, any filter, two tenants."""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditkit_django import auditlog
from auditkit_django.drafts import Actor, Target
from auditkit_django.query.filters import EventFilter
from auditkit_django.query.pages import ListedEvent, page_of
from auditkit_django.testing import guards_lifted

pytestmark = pytest.mark.django_db

_NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_NUMBERS = count()

# Few values, so that what is looked for is often there; and all that LIKE, JSON and regular expressions are particular about.
_WORDS = [
    "admin",
    "Admin",
    "50%",
    "5_%",
    "a\\b",
    'say "x"',
    "Ärger 🚉",
    "ärger",
    "null",
    "true",
    "42",
    "",
    "x.y*(",
    "\n\t",
]
_SCALARS: list[Any] = [*_WORDS, 42, 42.0, 42.5, 0, -0.0, 1e22, 1e-7, 420, True, False, None]
_NAMES = ["role", "n", "a b", "x.y", "%", "Ärger"]
_IPS = [
    "203.0.113.7",
    "203.0.113.70",
    "203.0.112.7",
    "::ffff:203.0.113.7",
    "2001:db8::1",
    "2001:DB8::0:2",
    "::1",
    "nowhere",
    "",
]
_NETWORKS = [
    "203.0.113.7",
    "203.0.113.0/24",
    "203.0.112.0/23",
    "192.0.0.0/3",
    "2001:db8::/32",
    "2001:db8::2",
    "::/0",
    "198.51.100.1",
]
_REQUESTS = ["r-1", "R-1", "r_1", "%", 'r"1\\']
_ACTIONS = ["member.invited", "member.joined", "auth.login.failed", "access.denied"]
_ACTORS = ["user:1", "user:2", "service:1", "system"]
_IDS = ["1", "2", "%", "a:b"]

_json = st.recursive(
    st.sampled_from(_SCALARS),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.sampled_from(_NAMES), part, max_size=3),
    max_leaves=5,
)
_objects = st.dictionaries(st.sampled_from(_NAMES), _json, max_size=3)


@dataclass(frozen=True)
class Asked:
    """A term of the language, or a member of the filter, and what it means."""

    holds: Callable[[ListedEvent], bool]
    term: str = ""
    members: tuple[tuple[str, Any], ...] = ()


@st.composite
def _events(draw: st.DrawFn) -> dict[str, Any]:
    actor = draw(st.sampled_from(_ACTORS))
    kind, _, key = actor.partition(":")
    return {
        "action": draw(st.sampled_from(_ACTIONS)),
        "actor": Actor(kind, key or None, draw(st.sampled_from(_WORDS)) or None),
        "targets": [Target("thing", draw(st.sampled_from(_IDS)), draw(st.sampled_from(_WORDS)) or None)],
        "outcome": draw(st.sampled_from([None, "success", "failure", "denied"])),
        "severity": draw(st.sampled_from([None, "info", "high", "critical"])),
        "occurred_at": _NOON + timedelta(hours=draw(st.integers(-30, 30))),
        "metadata": draw(_objects) or None,
        "context": {
            name: value
            for name, value in (
                ("ip", draw(st.sampled_from([None, 7, *_IPS]))),
                ("request_id", draw(st.sampled_from([None, 7, *_REQUESTS]))),
            )
            if value is not None
        },
        "is_erased": draw(st.booleans()) and draw(st.booleans()),
    }


# What terms and members mean, said anew


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _any_of(field: str, choices: list[str], holds: Callable[[ListedEvent, str], bool]) -> st.SearchStrategy[Asked]:
    def made(values: list[str]) -> Asked:
        return Asked(
            lambda event: any(holds(event, one) for one in values), f"{field}:{','.join(map(_quoted, values))}"
        )

    return st.lists(st.sampled_from(choices), min_size=1, max_size=3).map(made)


def _member(name: str, choices: list[Any], holds: Callable[[ListedEvent, Any], bool]) -> st.SearchStrategy[Asked]:
    return st.sampled_from(choices).map(
        lambda value: Asked(lambda event: holds(event, value), members=((name, value),))
    )


def _is_action(event: ListedEvent, value: str) -> bool:
    return event.action == value if not value.endswith("*") else event.action.startswith(value[:-1])


def _is_party(columns: tuple[str | None, str | None], value: str) -> bool:
    return value == f"{columns[0]}:{columns[1]}" or (":" not in value and value == columns[1])


def _actor(event: ListedEvent, value: str) -> bool:
    return event.actor is not None and _is_party((event.actor["type"], event.actor.get("id")), value)


def _target(event: ListedEvent, value: str) -> bool:
    return bool(event.targets) and _is_party((event.targets[0]["type"], event.targets[0].get("id")), value)


def _from(event: ListedEvent, value: str) -> bool:
    try:
        address = ipaddress.ip_address(event.context.get("ip") if isinstance(event.context.get("ip"), str) else "")
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address) in ipaddress.ip_network(value, strict=False)


def _of_request(event: ListedEvent, value: str) -> bool:
    return event.context.get("request_id") == value


def _form(value: Any) -> str:
    """Scalars that count as one have one form: 42 and 42.0, and not true."""
    return json.dumps(float(value) + 0 if isinstance(value, (int, float)) and not isinstance(value, bool) else value)


def _contains(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, dict):
        return isinstance(value, dict) and all(
            name in value and _contains(value[name], one) for name, one in wanted.items()
        )
    if isinstance(wanted, list):
        return isinstance(value, list) and all(any(_contains(one, each) for one in value) for each in wanted)
    return not isinstance(value, (dict, list)) and _form(value) == _form(wanted)


def _metadata_at(event: ListedEvent, path: list[str], value: str) -> bool:
    found: Any = event.metadata
    for name in path:
        if not isinstance(found, dict) or name not in found:
            return False
        found = found[name]
    forms = {json.dumps(value)}
    with suppress(ValueError):
        forms.add(_form(json.loads(value)))
    found = found if isinstance(found, list) else [found]
    return any(
        not isinstance(one, (dict, list)) and _form(one) in forms
        for one in (found if isinstance(found, list) else [found])
    )


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (dict, list)):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _leaves(one)
    else:
        yield value


def _mentions(event: ListedEvent, term: str) -> bool:
    values = _leaves([event.actor, event.targets, event.context, event.metadata, event.changes])
    texts = [event.action]
    for one in values:
        if isinstance(one, str):
            texts.append(one)
        elif isinstance(one, (int, float)) and not isinstance(one, bool) and "e" not in repr(one):
            texts.append(repr(one).removeprefix("-") if one == 0 else repr(one))
    return any(term.lower() in text.lower() for text in texts)


def _at(name: str) -> Callable[[ListedEvent, str], bool]:
    return lambda event, value: getattr(event, name) == value


def _metadata_terms() -> st.SearchStrategy[Asked]:
    values = [
        "admin",
        "50%",
        "a\\b",
        'say "x"',
        "Ärger 🚉",
        "null",
        "true",
        "42",
        "42.0",
        "42.5",
        "0",
        "-0",
        "1e22",
        "1E-7",
        "",
        "false",
    ]

    def made(path: list[str], value: str) -> Asked:
        return Asked(
            lambda event: _metadata_at(event, path, value), f"metadata.{'.'.join(map(_quoted, path))}:{_quoted(value)}"
        )

    return st.builds(made, st.lists(st.sampled_from(_NAMES), min_size=1, max_size=2), st.sampled_from(values))


_TERMS = ["admin", "ADMIN", "%", "_", "\\", '"', "ÄRGER", "ger 🚉", "42", "42.", "0.0", "e+22", "x.y*(", "203.0.113", "R-1",
          "member.", "role", "metadata", 'say "X"', "thing", "zanzibar", "a"]  # fmt: skip
_MOMENTS = [_NOON + timedelta(hours=hours) for hours in (-30, -12, 0, 12, 30)]
_TIMES = ["2026-02-28", "2026-03-01", "2026-03-02T00:30+01:00", "2026-03-01T12:00Z"]


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text if "T" in text else text + "T00:00Z")


_terms = st.one_of(
    _any_of("action", [*_ACTIONS, "member.*", "auth.login.*"], _is_action),
    _any_of("category", ["member", "auth", "none"], _at("category")),
    _any_of("actor", ["1", "user:1", "service:1", "3"], _actor),
    _any_of("target", ["1", "thing:2", "%", "thing:a:b"], _target),
    _any_of("outcome", ["success", "failure", "denied"], _at("outcome")),
    _any_of("severity", ["info", "high", "critical"], _at("severity")),
    _any_of("ip", _NETWORKS, _from),
    _any_of("request", _REQUESTS, _of_request),
    _any_of("text", _TERMS, _mentions),
    _metadata_terms(),
    st.sampled_from(_TIMES).map(lambda text: Asked(lambda event: event.occurred_at >= _moment(text), f"after:{text}")),
    st.sampled_from(_TIMES).map(lambda text: Asked(lambda event: event.occurred_at < _moment(text), f"before:{text}")),
)
_members = st.one_of(
    _member("ip", _NETWORKS, _from),
    _member("request_id", _REQUESTS, _of_request),
    _member("text", [term for term in _TERMS if term.strip()], _mentions),
    _member("action", [*_ACTIONS, "member.*"], _is_action),
    _member("actor", ["1", "user:2"], _actor),
    _member("outcome", ["failure"], _at("outcome")),
    _member("start", _MOMENTS, lambda event, value: event.occurred_at >= value),
    _member("end", _MOMENTS, lambda event, value: event.occurred_at < value),
    _member("recorded_start", _MOMENTS, lambda event, value: event.recorded_at >= value),
    _member("recorded_end", _MOMENTS, lambda event, value: event.recorded_at < value),
    _objects.map(
        lambda wanted: Asked(
            lambda event: not wanted or _contains(event.metadata, wanted), members=(("metadata", wanted),)
        )
    ),
)


def _negated(asked: Asked) -> Asked:
    return Asked(lambda event: not asked.holds(event), "-" + asked.term)


def _recorded(tenant: str, given: list[dict[str, Any]]) -> None:
    """Record the events; from some everything that is disclosed, and the copies of it, are then erased."""
    erased: list[UUID | None] = []
    for fields in given:
        context = fields["context"]
        members = {name: value for name, value in fields.items() if name not in ("context", "is_erased")}
        with auditlog.context(**context):
            id = auditlog.event(tenant=tenant, **members)
        if fields["is_erased"]:
            erased.append(id)
    with guards_lifted(), connection.cursor() as cursor:
        for id in erased:
            cursor.execute(
                "UPDATE auditkit_django_event SET disclosures = NULL, actor_type = NULL, actor_id = NULL, target_type = NULL,"
                " target_id = NULL WHERE id = %s",
                [id.hex if connection.vendor == "sqlite" and id is not None else id],
            )


@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    st.lists(_events(), min_size=1, max_size=8),
    st.lists(_terms | _terms.map(_negated), max_size=2),
    st.lists(_members, max_size=1),
    st.lists(_terms | _terms.map(_negated), min_size=12, max_size=12),
)
def test_what_is_found_is_what_python_finds(
    given_events: list[dict[str, Any]], terms: list[Asked], members: list[Asked], single: list[Asked]
) -> None:
    number = next(_NUMBERS)
    mine, other = f"mine-{number}", f"other-{number}"
    for tenant in (mine, other):
        _recorded(tenant, given_events)
    everything = list(page_of(mine, EventFilter(), limit=1000))
    assert len(everything) == len(given_events)
    for asked in ([*terms, *members], *([one] for one in single)):
        chosen = EventFilter(
            query=" ".join(one.term for one in asked if one.term) or None,
            **{name: value for one in asked for name, value in one.members},
        )
        wanted = [event.id for event in everything if all(one.holds(event) for one in asked)]
        found = list(page_of(mine, chosen, limit=1000))
        assert [event.id for event in found] == wanted, chosen
        assert {event.tenant for event in found} <= {mine}
