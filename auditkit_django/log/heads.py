"""The head of a log and what one pass makes of it: pure functions from rows to entries."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.disclosure import digest_of_json, split
from auditkit_django.ledger.entry import (
    ACTION_PATTERN,
    FIELDS,
    OUTCOMES,
    SEVERITIES,
    assemble,
    format_time,
    leaf_hash,
)
from auditkit_django.ledger.licences import CONTROL
from auditkit_django.log.rows import PendingEvent

_FIELDS = frozenset(FIELDS)
#: Only checkpoints of other logs wait to be appended to the log of checkpoints.
_NEVER_PENDING = CONTROL - {"audit.checkpoint.sealed"}


@dataclass(slots=True, kw_only=True)
class Head:
    """The end of one log: the next ``seq`` is ``size``, the next ``prev`` is ``hash`` (32 bytes)."""

    tenant: str
    epoch: int
    origin: str
    size: int
    hash: bytes
    time: datetime


class EntryRow(NamedTuple):
    """One row of ``auditkit_django_entry``; ``event_id`` is UUID text."""

    tenant: str
    epoch: int
    seq: int
    event_id: str
    body: bytes
    leaf_hash: bytes


@dataclass(frozen=True, slots=True)
class ReadyEvent:
    """A well-formed pending event, its disclosures split by field name."""

    event: PendingEvent
    texts: Mapping[str, str]


def extend(head: Head, events: Iterable[ReadyEvent], *, now: datetime) -> Iterator[EntryRow]:
    """
    The entries that append ``events``, in order, to the log of ``head``, which moves along as they are taken.

    ``time`` of the entries is ``now``, or the head's time where the clock went back.
    """
    head.time = max(now, head.time)
    time = format_time(head.time)
    tenant, epoch, origin = head.tenant, head.epoch, head.origin
    for ready in events:
        event = ready.event
        body = assemble(
            log=origin,
            seq=head.size,
            prev_b64=b2a_base64(head.hash, newline=False).decode("ascii"),
            id=event.id,
            time=time,
            at=event.at,
            rec=event.rec,
            action=event.action,
            category=event.category,
            severity=event.severity,
            outcome=event.outcome,
            sd_json=digests_json(ready.texts),
        )
        head.hash = leaf_hash(body)
        yield EntryRow(tenant, epoch, head.size, event.id, body, head.hash)
        head.size += 1


def digests_json(texts: Mapping[str, str]) -> str:
    """The ``sd`` member: field name to digest, from the array texts of an event's disclosures, in their sorted order."""
    return "{" + ",".join([f'"{name}":"{digest_of_json(text)}"' for name, text in texts.items()]) + "}"


def ready(event: PendingEvent, *, is_own: bool = False) -> ReadyEvent:
    """
    ``event``, checked: after this nothing about appending it depends on its content. What the log says about itself is
    appended by the log (``is_own``), and never waits as pending: somebody else wrote it.

    Raises:
        MalformedError: It cannot be appended. ``record()`` never writes such an event; raw SQL may.
    """
    reason = _why_words_malformed(event.action, event.category, event.severity, event.outcome)
    if reason is not None:
        raise MalformedError(reason)
    if not is_own and event.action in _NEVER_PENDING:
        raise MalformedError(f"action: got {event.action}, which the log itself appends, wanted an event of the host")
    if not event.at or not event.rec:
        raise MalformedError("occurred_at and recorded_at: wanted times in the years 1 to 9999")
    texts = split(event.disclosures) if event.disclosures else {}
    if not texts.keys() <= _FIELDS:
        raise MalformedError(f"disclosures: got {sorted(texts)!r:.200}, wanted a subset of {list(FIELDS)}")
    return ReadyEvent(event, texts)


@lru_cache(maxsize=1024)
def _why_words_malformed(action: str, category: str, severity: str, outcome: str) -> str | None:
    if not ACTION_PATTERN.fullmatch(action):
        return f"action: got {action[:80]!r}, wanted a dotted name"
    if not (category.isascii() and category.isidentifier() and category.islower()):
        return f"category: got {category!r}, wanted a lower-case word"
    if severity not in SEVERITIES or outcome not in OUTCOMES:
        return f"severity and outcome: got {severity!r} and {outcome!r}"
    return None
