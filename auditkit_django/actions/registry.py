"""
The registry: every action that may be recorded, by name.

Names are ``object.past_fact`` or ``object.part.past_fact``: lower case, past tense, the thing affected first. One action
per fact; what failed has the same action with another outcome, except where detection rules key on the name (sign-in,
MFA). A name is never given another meaning: a renamed action keeps its old name as an alias, since entries are never
rewritten.

``register`` may be called at any time and from any thread: changes are made under a lock, and ``get`` is one look-up in
a dictionary, without one.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from types import MappingProxyType
from typing import Literal, get_args

from auditkit_django.actions.sentence import check_template
from auditkit_django.ledger.entry import ACTION_PATTERN

Severity = Literal["info", "low", "medium", "high", "critical"]
Outcome = Literal["success", "failure", "denied"]
Retention = Literal["standard", "extended", "data_access"]

#: What begins so is said by auditkit_django itself; nobody else may vouch for it.
RESERVED_PREFIXES = ("auth.", "audit.", "security.")
_CATEGORY = re.compile(r"[a-z][a-z0-9_]{0,31}")

_BY_NAME: dict[str, Action] = {}
_PLACES: dict[str, int] = {}
_LOCK = threading.Lock()


@dataclass(frozen=True, slots=True, kw_only=True)
class Action:
    """
    A fact that may be recorded.

    ``outcome`` is the one an event has unless its caller says otherwise; ``is_on`` says whether it is recorded unless
    the host says otherwise. ``controls`` maps a framework (``soc2``, ``iso27001``, ``hipaa``, ``pci_dss``,
    ``nist800_53``) to the controls that the event helps to evidence: a judgement, not a claim of compliance. ``ocsf`` is
    class/activity of OCSF 1.8, ``ocsf_next`` what replaces a class deprecated by 1.9. ``since`` is the release that
    brought the action, and empty for a host's own.
    """

    name: str
    category: str
    severity: Severity
    description: str
    template: str
    outcome: Outcome = "success"
    is_on: bool = True
    controls: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    ocsf: str = "6003/99"
    ocsf_next: str = ""
    ecs_kind: Literal["event", "alert"] = "event"
    ecs_category: tuple[str, ...] = ("api",)
    ecs_type: tuple[str, ...] = ("info",)
    aliases: tuple[str, ...] = ()
    since: str = "0.1"
    retention: Retention = "standard"

    def __post_init__(self) -> None:
        for name in (self.name, *self.aliases):
            _check_name(name)
        if len({self.name, *self.aliases}) != 1 + len(self.aliases):
            raise ValueError(f"aliases of {self.name}: got {self.aliases}, wanted each name once")
        if not _CATEGORY.fullmatch(self.category):
            raise ValueError(f"category of {self.name}: got {self.category!r}, wanted one lower-case word of up to 32")
        _check_member(f"severity of {self.name}", self.severity, get_args(Severity))
        _check_member(f"outcome of {self.name}", self.outcome, get_args(Outcome))
        check_template(self.template)
        # The registry hands one Action to everybody.
        object.__setattr__(self, "controls", MappingProxyType(dict(self.controls)))


def register(
    name: str,
    *,
    category: str | None = None,
    severity: Severity = "info",
    description: str = "",
    template: str | None = None,
    outcome: Outcome = "success",
    aliases: Sequence[str] = (),
    controls: Mapping[str, Sequence[str]] | None = None,
    is_on: bool = True,
) -> Action:
    """
    Add a host's own action and give it back; doing it again in the same words changes nothing.

    ``category`` is the first part of the name unless given; ``template`` as in :func:`auditkit_django.actions.render`.

    Raises:
        ValueError: The name is not well-formed, reserved, or taken by another definition; or a value is not one of
            those allowed.
        TypeError: A text where a sequence of texts belongs.
    """
    for label in (name, *aliases):
        _check_name(label)
        if label.startswith(RESERVED_PREFIXES):
            raise ValueError(
                f"action: got {label!r}, but auth., audit. and security. are reserved for auditkit_django; "
                "wanted a prefix of your own, such as invoice."
            )
    action = Action(
        name=name,
        category=name.partition(".")[0] if category is None else category,
        severity=severity,
        description=description,
        template=_plain_sentence(name) if template is None else template,
        outcome=outcome,
        is_on=is_on,
        controls={framework: _codes(name, codes) for framework, codes in (controls or {}).items()},
        aliases=tuple(aliases),
        since="",
    )
    with _LOCK:
        return _add(action)


def load(actions: Iterable[Action]) -> None:
    """Add the actions of the catalogue, in its order; the reserved prefixes are theirs."""
    with _LOCK:
        for action in actions:
            _PLACES.setdefault(action.name, len(_PLACES))
            _add(action)


def get(name: str) -> Action | None:
    """The action of that name or alias; its ``name`` is the one to record."""
    return _BY_NAME.get(name)


def all_actions() -> list[Action]:
    """Every action once: the catalogue in its order, then the host's own by name."""
    actions = [action for name, action in _BY_NAME.copy().items() if name == action.name]
    return sorted(actions, key=lambda action: (_PLACES.get(action.name, len(_PLACES)), action.name))


def closest(name: str) -> list[str]:
    """Up to three registered names that ``name`` may have meant, best first; for messages."""
    # The comparison takes time with the square of the length, and the name may come from a request.
    found = get_close_matches(name[:96], list(_BY_NAME), n=5, cutoff=0.6)
    return list(dict.fromkeys(_BY_NAME[match].name for match in found))[:3]


def names_including_aliases(name: str) -> tuple[str, ...]:
    """All names under which the action was ever recorded, today's first: search for each of them."""
    action = _BY_NAME.get(name)
    return (name,) if action is None else (action.name, *action.aliases)


def _add(action: Action) -> Action:
    """Enter the action under all its names, or under none. The caller holds the lock."""
    known = _BY_NAME.get(action.name)
    if known == action:
        return action
    if known is not None and known.name == action.name:
        differing = [part.name for part in fields(action) if getattr(known, part.name) != getattr(action, part.name)]
        raise ValueError(f"action: {action.name!r} is registered already, with another {', '.join(differing)}")
    for label in (action.name, *action.aliases):
        if (owner := _BY_NAME.get(label)) is not None:
            raise ValueError(f"action: got {label!r} for {action.name!r}, but it is a name of {owner.name!r} already")
    _BY_NAME.update(dict.fromkeys((action.name, *action.aliases), action))
    return action


def _check_name(name: str) -> None:
    if not ACTION_PATTERN.fullmatch(name):
        raise ValueError(
            f"action: got {name[:80]!r}, wanted 2 to 6 lower-case words with dots between them, object.past_fact, "
            "3 to 96 characters, such as 'invoice.approved'"
        )


def _check_member(what: str, got: str, wanted: tuple[str, ...]) -> None:
    if got not in wanted:
        raise ValueError(f"{what}: got {got!r}, wanted one of {', '.join(wanted)}")


def _codes(name: str, codes: Sequence[str]) -> tuple[str, ...]:
    # A text is a sequence of texts too: its letters.
    if isinstance(codes, str):
        raise TypeError(f"controls of {name}: got the text {codes!r}, wanted a sequence of texts")
    return tuple(codes)


def _plain_sentence(name: str) -> str:
    """A sentence made of the name: ``invoice.approved`` reads "{actor} approved invoice {target}"."""
    *thing, fact = name.replace("_", " ").split(".")
    if " " in fact:  # "payment failed" is no verb to put after the actor
        return f"{{actor}}: {' '.join(thing)} {fact}[ ({{target}})]"
    return f"{{actor}} {fact} {' '.join(thing)}[ {{target}}]"
