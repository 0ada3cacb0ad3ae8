"""Events as the templates show them: every recorded text made visible, every value a link to its filter."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from auditkit_django.query.pages import ListedEvent
from auditkit_django.templatetags.auditkit_visible import text_of, visible, visible_json
from auditkit_django.trail.forms import OUTCOMES
from auditkit_django.trail.links import Links

SEVERITIES = {
    "info": _("Info"),
    "low": _("Low"),
    "medium": _("Medium"),
    "high": _("High"),
    "critical": _("Critical"),
}
FIELDS = {
    "actor": _("Actor"),
    "on_behalf_of": _("On behalf of"),
    "targets": _("Targets"),
    "context": _("Context"),
    "changes": _("Changes"),
    "metadata": _("Metadata"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Party:
    """An actor or a target. ``value`` is what the filter takes (``user:42``), empty where there is no id."""

    name: str
    email: str
    type: str
    value: str
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One event in the list. Every text is safe to look at; the template escapes it."""

    id: UUID
    url: str
    seq: int | None
    occurred_at: datetime
    recorded_at: datetime
    action: str
    action_url: str
    category: str
    severity: str
    severity_label: str | Promise
    outcome: str
    outcome_label: str | Promise
    outcome_url: str
    sentence: str
    actor: Party | None
    on_behalf_of: Party | None
    targets: tuple[Party, ...]

    @property
    def is_pending(self) -> bool:
        """Recorded, not yet in the log."""
        return self.seq is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRow:
    """One line of the table of changes."""

    field: str
    old: str
    new: str
    is_redacted: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A name and its value; ``is_block`` where the value is JSON over several lines."""

    name: str
    value: str
    is_block: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What stands for the event in the log. ``exact`` are the entry's bytes, ASCII throughout."""

    exact: str
    pretty: str
    prev: str
    leaf_hash_hex: str
    leaf_hash_base64: str
    log: str
    appended_at: str


def row_of(event: ListedEvent, links: Links) -> Row:
    """The row of ``event``."""
    return Row(
        id=event.id,
        url=links.to("event", event_id=event.id),
        seq=event.seq,
        occurred_at=event.occurred_at,
        recorded_at=event.recorded_at,
        action=visible(event.action),
        action_url=links.to("events", {"action": event.action}),
        category=visible(event.category),
        severity=visible(event.severity),
        severity_label=SEVERITIES.get(event.severity, visible(event.severity)),
        outcome=visible(event.outcome),
        outcome_label=OUTCOMES.get(event.outcome, visible(event.outcome)),
        outcome_url=links.to("events", {"outcome": event.outcome}),
        sentence=visible(event.summary),
        actor=party_of(event.actor, links, role="actor"),
        on_behalf_of=party_of(event.on_behalf_of, links, role="actor"),
        targets=tuple(filter(None, (party_of(target, links, role="target") for target in event.targets))),
    )


def party_of(party: object, links: Links, *, role: str) -> Party | None:
    """The actor or target that ``party`` describes; whatever it is, since a hand may have changed the database."""
    if not isinstance(party, Mapping):
        return Party(name=visible(party), email="", type="", value="", url="") if party else None
    kind, key, name, email = (text_of(party.get(member)) for member in ("type", "id", "name", "email"))
    value = f"{kind}:{key}" if kind and key else ""
    return Party(
        name=visible(name or email or value or kind),
        email=visible(email) if name and email != name else "",
        type=visible(kind),
        value=visible(value),
        url=links.to("events", {role: value}) if value else "",
    )


def change_rows(changes: object) -> list[ChangeRow]:
    """The table of changes."""
    found = changes if isinstance(changes, list) else []
    return [
        ChangeRow(
            field=visible(change.get("field")),
            old=shown(change.get("old")),
            new=shown(change.get("new")),
            is_redacted=bool(change.get("redacted")),
        )
        for change in found
        if isinstance(change, Mapping)
    ]


def pairs_of(values: object) -> list[Pair]:
    """Names and values of ``context`` or ``metadata``, by name."""
    found = values if isinstance(values, Mapping) else {"": values} if values else {}
    return [
        Pair(
            name=visible(name),
            value=visible_json(value) if isinstance(value, dict | list) else shown(value),
            is_block=isinstance(value, dict | list),
        )
        for name, value in sorted(found.items(), key=lambda pair: str(pair[0]))
    ]


def shown(value: object) -> str:
    """A recorded value in a cell: a dash for none, quotes around what is empty or has spaces at its ends."""
    if value is None:
        return "—"
    text = visible(value)
    return f"“{text}”" if not text or text != text.strip() else text


def proof_of(event: ListedEvent) -> Proof | None:
    """The proof of ``event``; None while it is pending."""
    if event.entry is None or event.leaf_hash is None:
        return None
    exact = event.entry.decode("ascii", "backslashreplace")
    members = _members_of(exact)
    return Proof(
        exact=visible(exact),
        pretty=visible_json(members) if members else visible(exact),
        prev=visible(members.get("prev")),
        leaf_hash_hex=event.leaf_hash.hex(),
        leaf_hash_base64=b64encode(event.leaf_hash).decode(),
        log=visible(members.get("log")),
        appended_at=visible(members.get("time")),
    )


def erased_fields(event: ListedEvent) -> list[str | Promise]:
    """Fields that the entry has a digest of and the event no longer discloses."""
    if event.entry is None:
        return []
    digests = _members_of(event.entry.decode("ascii", "replace")).get("sd")
    names = digests if isinstance(digests, Mapping) else {}
    return [FIELDS.get(name, visible(name)) for name in names if not getattr(event, name, None)]


def _members_of(text: str) -> dict[str, Any]:
    try:
        members = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return members if isinstance(members, dict) else {}
