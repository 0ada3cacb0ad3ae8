"""
What a test expects of an event: ``event("member.invited", actor=user, metadata={"role": "admin"})``.

Only what is named is compared. Values are given as to ``auditlog.event``: a user for an actor, an instance for a
resource, a pair for a change.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from django.db.models import Model

from auditkit_django import actions
from auditkit_django.drafts import Actor, Change, Target
from auditkit_django.exceptions import MalformedError
from auditkit_django.query.pages import ListedEvent
from auditkit_django.recording.cleaning import Notes, clean
from auditkit_django.recording.coercion import actor_from, target_from
from auditkit_django.tenancy import tenant_key

_UNSAID: Final[Any] = object()


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """One expected event: the fields that are compared, by name. Equal to every event that has them."""

    fields: Mapping[str, Any]

    def __post_init__(self) -> None:
        unknown = sorted(self.fields.keys() - _DIFFERENCES.keys())
        if unknown:
            raise TypeError(f"expected event: got {', '.join(unknown)}, wanted some of {', '.join(_DIFFERENCES)}")

    def differences(self, found: ListedEvent) -> list[str]:
        """How ``found`` differs, a line for each value; empty where it does not."""
        return [line for name, wanted in self.fields.items() for line in _DIFFERENCES[name](name, wanted, found)]

    @property
    def action(self) -> str:
        """The action's name, "" where it is not said."""
        name = self.fields.get("action", "")
        known = actions.get(name) if isinstance(name, str) else None
        return known.name if known is not None else str(name)

    def __eq__(self, other: object) -> bool:
        return not self.differences(other) if isinstance(other, ListedEvent) else NotImplemented

    def __hash__(self) -> int:
        return id(self)

    def __repr__(self) -> str:
        others = "".join(f", {name}={value!r:.80}" for name, value in self.fields.items() if name != "action")
        return f"event({self.fields.get('action', ...)!r}{others})"


def event(
    action: Any = _UNSAID,
    *,
    actor: Any = _UNSAID,
    resource: Any = _UNSAID,
    targets: Any = _UNSAID,
    tenant: Any = _UNSAID,
    outcome: Any = _UNSAID,
    severity: Any = _UNSAID,
    category: Any = _UNSAID,
    metadata: Any = _UNSAID,
    changes: Any = _UNSAID,
    on_behalf_of: Any = _UNSAID,
    context: Any = _UNSAID,
    summary: Any = _UNSAID,
) -> Expected:
    """
    An expected event, for ``assert_events`` and for ``==`` and ``in``.

    Of ``metadata``, ``context``, ``changes`` and of dicts given as a party the members that are named are compared;
    ``targets`` is the whole list, ``resource`` the first of it. ``None`` expects that there is none.
    """
    given = {
        "action": action,
        "actor": actor,
        "resource": resource,
        "targets": targets,
        "tenant": tenant,
        "outcome": outcome,
        "severity": severity,
        "category": category,
        "metadata": metadata,
        "changes": changes,
        "on_behalf_of": on_behalf_of,
        "context": context,
        "summary": summary,
    }
    return Expected({name: value for name, value in given.items() if value is not _UNSAID})


def expected_from(given: object) -> Expected:
    """
    The expected event that ``given`` stands for: one itself, a dict of fields, or the name of an action.

    Raises:
        TypeError: Something else, or a field that an event does not have.
    """
    if isinstance(given, Expected):
        return given
    if isinstance(given, str):
        return Expected({"action": given})
    if isinstance(given, Mapping):
        return Expected(given)
    raise TypeError(f'expected event: got {type(given).__name__}, wanted event("…"), a dict or the name of an action')


def plain(value: object) -> object:
    """``value`` as an event holds it: JSON values. What has no such form is left as it is (``mock.ANY``)."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if type(value) in (str, bool, type(None)):
        return value
    try:
        return clean(value, path="", notes=Notes())
    except MalformedError:
        return value


def _action(name: str, wanted: object, found: ListedEvent) -> Iterator[str]:
    known = actions.get(wanted) if isinstance(wanted, str) else None
    yield from _compared(name, known.name if known is not None else wanted, found.action)


def _text(name: str, wanted: object, found: ListedEvent) -> Iterator[str]:
    yield from _compared(name, wanted, getattr(found, name))


def _tenant(name: str, wanted: object, found: ListedEvent) -> Iterator[str]:
    yield from _compared(name, tenant_key(wanted) if isinstance(wanted, (Model, int)) else wanted, found.tenant)


def _members(name: str, wanted: Any, found: ListedEvent) -> Iterator[str]:
    yield from _among(name, wanted, getattr(found, name))


def _actor(name: str, wanted: object, found: ListedEvent) -> Iterator[str]:
    yield from _party(name, wanted, getattr(found, name), actor_from)


def _resource(name: str, wanted: object, found: ListedEvent) -> Iterator[str]:
    yield from _party(name, wanted, found.targets[0] if found.targets else None, target_from)


def _targets(name: str, wanted: Any, found: ListedEvent) -> Iterator[str]:
    if not isinstance(wanted, (list, tuple)):
        yield from _compared(name, wanted, found.targets or None)
        return
    if len(wanted) != len(found.targets):
        yield f"{name}: got {len(found.targets)}, wanted {len(wanted)}"
    for index, (one, target) in enumerate(zip(wanted, found.targets, strict=False)):
        yield from _party(f"{name}[{index}]", one, target, target_from)


def _changes(name: str, wanted: Any, found: ListedEvent) -> Iterator[str]:
    if wanted is None:
        yield from _compared(name, None, found.changes or None)
    recorded = {str(change["field"]): change for change in found.changes}
    for field, pair in _pairs(wanted).items():
        change = recorded.get(field)
        if change is None:
            yield f"{name}.{field}: got none, wanted {pair!r}"
        elif isinstance(pair, Mapping):
            yield from _among(f"{name}.{field}", pair, change)
        elif change.get("redacted"):
            yield from _compared(f"{name}.{field}", pair, "redacted")
        else:
            yield from _compared(f"{name}.{field}", plain(pair), [change["old"], change["new"]])


def _pairs(wanted: Mapping[str, Any] | Iterable[Change] | None) -> Mapping[str, Any]:
    if isinstance(wanted, Mapping):
        return wanted
    return {one.field: "redacted" if one.is_redacted else (one.old, one.new) for one in wanted or ()}


def _party(name: str, wanted: Any, found: Any, coerce: Callable[[object], Actor | Target]) -> Iterator[str]:
    if wanted is None or found is None:
        yield from _compared(name, wanted, found)
        return
    if not isinstance(wanted, (Mapping, Model, str, Actor, Target)) and not hasattr(wanted, "is_authenticated"):
        yield from _compared(name, wanted, found)  # mock.ANY
        return
    members: Any = wanted if isinstance(wanted, Mapping) else coerce(wanted).as_value()
    if isinstance(wanted, Model):
        # Names change; whoever it is, is told by type and id.
        members = {member: members[member] for member in ("type", "id")}
    yield from _among(name, members, found)


def _among(name: str, wanted: Any, found: Mapping[str, Any]) -> Iterator[str]:
    if not isinstance(wanted, Mapping):
        yield from _compared(name, wanted, found or None)
        return
    for member, value in wanted.items():
        if str(member) in found:
            yield from _compared(f"{name}.{member}", plain(value), found[str(member)])
        else:
            yield f"{name}.{member}: got none, wanted {value!r}"


def _compared(name: str, wanted: object, found: object) -> Iterator[str]:
    if wanted != found:
        yield f"{name}: got {found!r}, wanted {wanted!r}"


_DIFFERENCES: Final[dict[str, Callable[[str, Any, ListedEvent], Iterator[str]]]] = {
    "action": _action,
    "actor": _actor,
    "resource": _resource,
    "targets": _targets,
    "tenant": _tenant,
    "outcome": _text,
    "severity": _text,
    "category": _text,
    "metadata": _members,
    "changes": _changes,
    "on_behalf_of": _actor,
    "context": _members,
    "summary": _text,
}
