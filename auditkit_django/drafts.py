"""What travels from a caller to the database: :class:`EventDraft` with its :class:`Actor`, :class:`Target`, :class:`Change`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal
from uuid import UUID

Outcome = Literal["success", "failure", "denied"]
Severity = Literal["info", "low", "medium", "high", "critical"]

SYSTEM_TENANT: Final = "system"
"""The log of what belongs to no tenant: the installation's own."""

MAX_TYPE: Final = 64
MAX_ID: Final = 128
MAX_NAME: Final = 200
MAX_TENANT: Final = 128
MAX_TARGETS: Final = 20
MAX_CHANGES: Final = 100
MAX_DEPTH: Final = 16
MAX_KEYS: Final = 256
MAX_KEY: Final = 128
MAX_STRING: Final = 8 * 1024
MAX_SAFE_INTEGER: Final = 2**53 - 1


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it. ``type`` is ``user``, ``api_key``, ``service``, ``system``, ``anonymous`` or a word of the host's."""

    type: str
    id: str | None = None
    name: str | None = None
    email: str | None = None

    def as_value(self) -> dict[str, object]:
        """The JSON object disclosed in the log: absent members are left out."""
        return _present(type=self.type, id=self.id, name=self.name, email=self.email)


@dataclass(frozen=True, slots=True)
class Target:
    """What it was done to, as a soft reference: ``type`` and ``id`` outlive the object."""

    type: str
    id: str | None = None
    name: str | None = None

    def as_value(self) -> dict[str, object]:
        """The JSON object disclosed in the log: absent members are left out."""
        return _present(type=self.type, id=self.id, name=self.name)


@dataclass(frozen=True, slots=True)
class Change:
    """One field's old and new value. ``is_redacted``: it changed, and its values are not recorded."""

    field: str
    old: object = None
    new: object = None
    is_redacted: bool = False

    def as_value(self) -> dict[str, object]:
        """The JSON object disclosed in the log."""
        if self.is_redacted:
            return {"field": self.field, "redacted": True}
        return {"field": self.field, "old": self.old, "new": self.new}


SYSTEM: Final = Actor("system")
ANONYMOUS: Final = Actor("anonymous")


@dataclass(frozen=True, slots=True, kw_only=True)
class EventDraft:
    """
    An event before it is written, with everything resolved: who, what, whose, when.

    ``recorded_at`` is the server's clock and ``occurred_at`` the caller's claim, both aware. ``context`` and ``metadata``
    hold JSON values; limits and redaction are applied by ``recording.processors``, not here.
    """

    id: UUID
    tenant: str
    action: str
    category: str
    severity: Severity
    outcome: Outcome
    actor: Actor
    occurred_at: datetime
    recorded_at: datetime
    on_behalf_of: Actor | None = None
    targets: tuple[Target, ...] = ()
    context: Mapping[str, object] = field(default_factory=dict)
    changes: tuple[Change, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    idempotency_key: str | None = None


def _present(**members: str | None) -> dict[str, object]:
    return {name: value for name, value in members.items() if value is not None}
