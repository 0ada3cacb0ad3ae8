"""
Events that a log records about itself: its opening, its quarantine, the keys that sign for it, what was erased and pruned, and
silence. And one about other logs: that they were sealed, in the log of checkpoints.
"""

from __future__ import annotations

import hashlib
import os
from base64 import b64encode
from collections.abc import Mapping
from datetime import datetime
from uuid import UUID

from auditkit_django import actions
from auditkit_django.drafts import SYSTEM, Actor, Target
from auditkit_django.ledger.checkpoint import Checkpoint
from auditkit_django.ledger.disclosure import SALT_BYTES, join, make
from auditkit_django.ledger.entry import format_time
from auditkit_django.ledger.licences import CONTROL
from auditkit_django.ledger.trust import REVOKED, ROTATED
from auditkit_django.log.identity import new_id
from auditkit_django.log.rows import EventRow, row_digest

OPENED = "audit.log.opened"
QUARANTINED = "audit.event.quarantined"
SEALED = "audit.checkpoint.sealed"
HEARTBEAT = "audit.log.heartbeat"
RETENTION_CHANGED = "audit.retention.changed"
#: What only the log may say, for verification believes it.
RESERVED = CONTROL | {HEARTBEAT}
_NONCE_BYTES = 16


def opening_event(
    tenant: str, *, log_id: str, origin: str, now: datetime, facts: Mapping[str, object] | None = None
) -> EventRow:
    """
    The genesis event of a log, at seq 0. Its nonce makes two logs of one tenant differ from their first entry on; ``facts`` are
    what else its metadata says.
    """
    return own_event(
        tenant,
        OPENED,
        target=Target("log", log_id),
        metadata={**(facts or {}), "nonce": os.urandom(_NONCE_BYTES).hex(), "origin": origin},
        now=now,
    )


def quarantine_event(poison: EventRow, *, reason: str, now: datetime) -> EventRow:
    """The visible stand-in of an event that cannot be appended: its id, why, and a digest of all its columns."""
    return own_event(
        poison.tenant,
        QUARANTINED,
        target=Target("event", poison.id.hex),
        metadata={"sha256": row_digest(poison), "reason": reason[:500]},
        now=now,
    )


def sealed_event(tenant: str, checkpoint: Checkpoint, *, id: UUID, log_id: str, note: str, now: datetime) -> EventRow:
    """That another log was sealed: what its note says and the SHA-256 of the note, in hex; not whose log it is."""
    return own_event(
        tenant,
        SEALED,
        target=Target("log", log_id),
        metadata={
            "note_sha256": hashlib.sha256(note.encode()).hexdigest(),
            "origin": checkpoint.origin,
            "root": b64encode(checkpoint.root).decode(),
            "size": checkpoint.size,
        },
        now=now,
        id=id,
    )


def rotation_event(tenant: str, *, origin: str, generation: int, old: str, new: str, now: datetime) -> EventRow:
    """The key ``old`` gave way to ``new``, of ``generation``; both are verifier keys as text."""
    metadata = {"generation": generation, "old": old, "new": new}
    return own_event(tenant, ROTATED, target=Target("log", origin[-36:]), metadata=metadata, now=now)


def revocation_event(
    tenant: str, *, origin: str, generation: int, old: str, new: str, reason: str, since: datetime, now: datetime
) -> EventRow:
    """The key ``old`` says nothing any more ``since`` then, and ``new``, of ``generation``, took over."""
    metadata = {"generation": generation, "old": old, "new": new, "reason": reason[:500], "since": format_time(since)}
    return own_event(tenant, REVOKED, target=Target("log", origin[-36:]), metadata=metadata, now=now)


def heartbeat_event(tenant: str, *, origin: str, idle_since: datetime, now: datetime) -> EventRow:
    """Nothing was appended to the log ``idle_since`` then."""
    metadata = {"idle_since": format_time(idle_since)}
    return own_event(tenant, HEARTBEAT, target=Target("log", origin[-36:]), metadata=metadata, now=now)


def own_event(
    tenant: str,
    action_name: str,
    *,
    target: Target,
    metadata: Mapping[str, object],
    now: datetime,
    actor: Actor = SYSTEM,
    id: UUID | None = None,
) -> EventRow:
    """
    An event that the log writes, past the limits and processors of what hosts record: verification reads its metadata.
    """
    action = actions.get(action_name)
    assert action is not None, action_name
    values = {"actor": actor.as_value(), "metadata": metadata, "targets": [target.as_value()]}
    disclosures = join({name: make(name, value, salt=os.urandom(SALT_BYTES)) for name, value in values.items()})
    return EventRow(
        id=id or new_id(now),
        tenant=tenant,
        occurred_at=now,
        recorded_at=now,
        action=action.name,
        category=action.category,
        severity=action.severity,
        outcome=action.outcome,
        actor_type=actor.type,
        actor_id=actor.id,
        target_type=target.type,
        target_id=target.id,
        disclosures=disclosures,
    )
