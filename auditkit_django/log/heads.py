"""The head of a log and what one pass makes of it: pure functions from rows to entries."""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

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
from auditkit_django.log.rows import EventRow

_FIELDS = frozenset(FIELDS)


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
    """One row of ``auditkit_django_entry``."""

    tenant: str
    epoch: int
    seq: int
    event_id: UUID
    body: bytes
    leaf_hash: bytes


def extend(head: Head, rows: Sequence[EventRow], *, now: datetime) -> list[EntryRow]:
    """
    The entries that append ``rows``, in order, to the log of ``head``, which moves along.

    ``time`` of the entries is ``now``, or the head's time where the clock went back. Rows are well-formed
    (:func:`why_malformed` is None): nothing here depends on their content.
    """
    head.time = max(now, head.time)
    time = format_time(head.time)
    tenant, epoch, origin, prev, seq = head.tenant, head.epoch, head.origin, head.hash, head.size
    entries: list[EntryRow] = []
    for row in rows:
        body = entry_body(row, origin=origin, seq=seq, prev=prev, time=time)
        prev = leaf_hash(body)
        entries.append(EntryRow(tenant, epoch, seq, row.id, body, prev))
        seq += 1
    head.hash, head.size = prev, seq
    return entries


def entry_body(row: EventRow, *, origin: str, seq: int, prev: bytes, time: str) -> bytes:
    """The entry that stands for the event ``row`` at ``seq``; the verifier calls this too and compares bytes."""
    return assemble(
        log=origin,
        seq=seq,
        prev_b64=b2a_base64(prev, newline=False).decode("ascii"),
        id=str(row.id),
        time=time,
        at=format_time(row.occurred_at),
        rec=format_time(row.recorded_at),
        action=row.action,
        category=row.category,
        severity=row.severity,
        outcome=row.outcome,
        sd_json=digests_json(row.disclosures),
    )


def digests_json(disclosures: str | None) -> str:
    """The ``sd`` member: field name to digest, from the stored disclosures."""
    if not disclosures:
        return "{}"
    pairs = [f'"{name}":"{digest_of_json(text)}"' for name, text in split(disclosures).items()]
    return "{" + ",".join(pairs) + "}"


def why_malformed(row: EventRow) -> str | None:
    """Why ``row`` cannot be appended, or None. ``record()`` never writes such a row; raw SQL may."""
    reason = _why_words_malformed(row.action, row.category, row.severity, row.outcome)
    if reason is not None:
        return reason
    try:
        unknown = split(row.disclosures).keys() - _FIELDS if row.disclosures else ()
    except MalformedError as exc:
        return str(exc)
    return f"disclosures: got {sorted(unknown)}, wanted a subset of {list(FIELDS)}" if unknown else None


@lru_cache(maxsize=1024)
def _why_words_malformed(action: str, category: str, severity: str, outcome: str) -> str | None:
    if not ACTION_PATTERN.fullmatch(action):
        return f"action: got {action[:80]!r}, wanted a dotted name"
    if not (category.isascii() and category.isidentifier() and category.islower()):
        return f"category: got {category!r}, wanted a lower-case word"
    if severity not in SEVERITIES or outcome not in OUTCOMES:
        return f"severity and outcome: got {severity!r} and {outcome!r}"
    return None
