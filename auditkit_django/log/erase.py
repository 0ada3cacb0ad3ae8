"""
Erase: take personal data out of events, and leave every proof whole.

1. Append what is pending, so that every event has the entry that its digests are in.
2. Lock the head, find the events that concern the subject, and take from each the values that do: the disclosures, and the
   columns copied from them. Entries and hashes stay as they are, for they never held a value.
3. Record which fields of which seqs went (``audit.subject.erased``), without saying whose, and append that.

2 and 3 are one transaction: after a crash everything is erased and recorded, or nothing is.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import DEFAULT_DB_ALIAS, transaction
from django.db.models import Q, QuerySet
from django.db.transaction import get_connection
from django.utils import timezone

from auditkit_django.crash import crash_point
from auditkit_django.drafts import MAX_ID, SYSTEM, Actor, Target
from auditkit_django.exceptions import MalformedError, UnknownTenantError
from auditkit_django.ledger.disclosure import encode_value, join, split_with_values
from auditkit_django.ledger.entry import FIELDS
from auditkit_django.ledger.licences import CONTROL, ERASED, format_ranges
from auditkit_django.log import chores
from auditkit_django.log.append import append_all
from auditkit_django.log.control import append_control, check_reason, locked_log, refuse_open_transaction
from auditkit_django.log.holds import refuse_held
from auditkit_django.log.own import own_event
from auditkit_django.log.rows import EVENT_TABLE
from auditkit_django.models import Entry, Event, Log, RepeatedRead
from auditkit_django.sql.guards import permitted

_CHUNK: Final = 500
#: Characters of ranges in one event: a subject of many scattered events is told in several.
_RANGES: Final = 12_000
#: What the log says about itself is read by verification: of these events only who did it, and whence, can be erased.
_KEPT_OF_CONTROL: Final = frozenset({"metadata", "targets"})
#: Fields that go by default, by what the subject is to an event.
_OF_ROLE: Final[Mapping[str, frozenset[str]]] = {
    "actor": frozenset({"actor", "context"}),
    "on_behalf_of": frozenset({"on_behalf_of", "context"}),
    "targets": frozenset({"targets", "changes", "metadata"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """
    What is to be erased: of one person by ``subjects`` (type and id; several, where they are called in several ways), by texts
    that are mentioned, or of all events; never more than ``fields``, where these are given, and only of events recorded before
    ``before``, which is aware.
    """

    subjects: tuple[tuple[str, str], ...] = ()
    mentions: tuple[str, ...] = ()
    fields: frozenset[str] | None = None
    before: datetime | None = None

    def __post_init__(self) -> None:
        if self.fields is not None and (unknown := self.fields - set(FIELDS)):
            raise MalformedError(f"fields: got {', '.join(sorted(unknown))}, wanted some of {', '.join(FIELDS)}")
        if self.before is not None and self.before.utcoffset() is None:
            raise MalformedError(f"before: got the naive {self.before}, wanted a datetime with a time zone")
        if any(not text.strip() for text in self.mentions):
            raise MalformedError("mentions: got empty text, wanted what personal data says, such as an address")
        if not self.subjects and not self.mentions and not self.fields:
            raise MalformedError("erase: got neither a subject nor a mention nor fields, wanted to know what to erase")


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureReport:
    """
    What was erased, or (``is_dry_run``) would be. ``values`` counts by field; ``left`` are events that concern the subject and
    have no entry: those in quarantine, and those that were recorded meanwhile.
    """

    tenant: str
    events: int
    values: Mapping[str, int]
    left: int
    is_dry_run: bool

    def as_json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "tenant": self.tenant,
            "events": self.events,
            "values": dict(self.values),
            "left": self.left,
            "is_dry_run": self.is_dry_run,
        }


@dataclass(slots=True)
class _Found:
    """Events to erase from: seqs by epoch and the fields that go."""

    seqs: dict[tuple[int, frozenset[str]], list[int]] = field(default_factory=dict)
    left: int = 0


def erase(
    tenant: str,
    erasure: Erasure,
    *,
    reason: str,
    request: str | None = None,
    actor: Actor = SYSTEM,
    dry_run: bool = False,
    using: str = DEFAULT_DB_ALIAS,
    clock: Callable[[], datetime] = timezone.now,
) -> ErasureReport:
    """
    Erase from the events of ``tenant`` what ``erasure`` says; with ``dry_run`` only count.

    ``reason`` and ``request`` (a ticket) are recorded and should name nobody.

    Raises:
        MalformedError: No reason, or more than 200 characters.
        RetentionError: The tenant is under a legal hold.
        UnknownTenantError: It has no log.
        AppendError: A transaction is open, or the log takes no entries.
    """
    check_reason(reason)
    if len(request or "") > MAX_ID:
        raise MalformedError(f"request: got {len(request or '')} characters, wanted at most {MAX_ID}")
    for text in erasure.mentions:
        if _folded(text) in _folded(f"{reason}\n{request or ''}"):
            raise MalformedError("reason, request: got a text that is to be erased, wanted none: they are never erased")
    refuse_open_transaction("erase", using=using)
    refuse_held(tenant, using=using)
    found = _Found()
    if dry_run:
        _refuse_unknown(tenant, using=using)
        for _rows in _chunks(tenant, erasure, found, using=using):
            pass
        return _report(tenant, found, is_dry_run=True)
    _settle(tenant, using=using)
    with transaction.atomic(using=using):
        log, now = locked_log(tenant, using=using), clock()
        refuse_held(tenant, using=using)
        with permitted(get_connection(using), "erase"):
            for rows in _chunks(tenant, erasure, found, using=using):
                _write(tenant, rows, using=using)
        found.left += RepeatedRead.objects.using(using).filter(tenant=tenant).exclude(draft="").count()
        crash_point("erase.written")
        if found.seqs:
            facts = {"reason": reason, **({"request": request} if request else {})}
            target = Target("data_subject", request) if request else Target("data_subject")
            for part in _parts(found):
                event = own_event(tenant, ERASED, target=target, metadata={**facts, **part}, now=now, actor=actor)
                append_control(log, event, now=now, using=using)
            crash_point("erase.recorded")
    crash_point("erase.committed")
    return _report(tenant, found, is_dry_run=False)


def _refuse_unknown(tenant: str, *, using: str) -> None:
    if not Log.objects.using(using).filter(tenant=tenant).exists():
        raise UnknownTenantError(f"tenant: got {tenant!r}, wanted one with a log")


def _settle(tenant: str, *, using: str) -> None:
    """Nothing that waits elsewhere holds a copy: windows of repeated reads become events, and events become entries."""
    if RepeatedRead.objects.using(using).filter(tenant=tenant).update(closes_at=timezone.now()):
        chores.run(using=using)
    append_all(using=using, may_nest=get_connection(using).in_atomic_block)


def _chunks(
    tenant: str, erasure: Erasure, found: _Found, *, using: str
) -> Iterator[list[tuple[Any, frozenset[str], str | None]]]:
    """Id, fields that go and disclosures that stay, of the events that are concerned; ``found`` is filled on the way."""
    # Ids first: what is found is changed while the next is looked at.
    ids = list(_candidates(tenant, erasure, using=using).order_by("id").values_list("id", flat=True))
    for start in range(0, len(ids), _CHUNK):
        some = ids[start : start + _CHUNK]
        entries = Entry.objects.using(using).filter(tenant=tenant, event_id__in=some)
        at = {event_id: (epoch, seq) for event_id, epoch, seq in entries.values_list("event_id", "epoch", "seq")}
        rows = []
        events = Event.objects.using(using).filter(tenant=tenant, id__in=some)
        for event_id, action, disclosures in events.values_list("id", "action", "disclosures"):
            try:
                opened = split_with_values(disclosures) if disclosures else {}
            except MalformedError:
                # Not to be read, so not to be erased from: in quarantine, or altered, which verification says.
                found.left += 1
                continue
            gone = _gone({name: value for name, (_text, value) in opened.items()}, erasure, action=action)
            if not gone:
                continue
            if event_id not in at:
                found.left += 1
                continue
            epoch, seq = at[event_id]
            found.seqs.setdefault((epoch, gone), []).append(seq)
            kept = {name: text for name, (text, _value) in opened.items() if name not in gone}
            rows.append((event_id, gone, join(kept) if kept else None))
        if rows:
            yield rows


def _candidates(tenant: str, erasure: Erasure, *, using: str) -> QuerySet[Event]:
    """Events that may be concerned; which are is decided on the values."""
    events = Event.objects.using(using).filter(tenant=tenant)
    if erasure.before is not None:
        events = events.filter(recorded_at__lt=erasure.before)
    asked = Q()
    for _type, key in erasure.subjects:
        asked |= Q(actor_id=key) | Q(target_id=key) | Q(disclosures__contains=f'"id":{encode_value(key)}')
    for text in erasure.mentions:
        if not text.isascii():
            # Databases do not agree on the case of other letters.
            return events
        asked |= Q(disclosures__icontains=encode_value(text)[1:-1])
    return events.filter(asked)


def _gone(opened: Mapping[str, object], erasure: Erasure, *, action: str) -> frozenset[str]:
    """Names of the fields of one event that go."""
    gone: set[str] = set()
    if not erasure.subjects and not erasure.mentions:
        gone = set(opened)
    for role, fields in _OF_ROLE.items() if erasure.subjects else ():
        if _is_party(opened.get(role), erasure.subjects):
            gone |= fields
    for text in erasure.mentions:
        gone |= {name for name, value in opened.items() if _mentions(value, _folded(text))}
    if erasure.fields is not None:
        gone &= erasure.fields
    if action in CONTROL:
        gone -= _KEPT_OF_CONTROL
    return frozenset(gone & opened.keys())


def _is_party(value: object, subjects: tuple[tuple[str, str], ...]) -> bool:
    parties = value if isinstance(value, list) else [value]
    return any(isinstance(one, Mapping) and (one.get("type"), one.get("id")) in subjects for one in parties)


def _folded(text: str) -> str:
    """Without case, and without what only writes the same letter in another way."""
    return unicodedata.normalize("NFKC", text).casefold()


def _mentions(value: object, text: str) -> bool:
    if isinstance(value, Mapping):
        return any(_mentions(one, text) for pair in value.items() for one in pair)
    if isinstance(value, list):
        return any(_mentions(one, text) for one in value)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return (isinstance(value, str) or is_number) and text in _folded(str(value))


def _write(tenant: str, rows: Sequence[tuple[Any, frozenset[str], str | None]], *, using: str) -> None:
    connection = get_connection(using)
    by_columns: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    for event_id, gone, disclosures in rows:
        columns = (
            *(("actor_type", "actor_id") if "actor" in gone else ()),
            *(("target_type", "target_id") if "targets" in gone else ()),
        )
        key = event_id if connection.vendor == "postgresql" else event_id.hex
        by_columns.setdefault(columns, []).append((disclosures, tenant, key))
    with connection.cursor() as cursor:
        for columns, values in by_columns.items():
            nulls = "".join(f", {column} = NULL" for column in columns)
            cursor.executemany(
                f"UPDATE {EVENT_TABLE} SET disclosures = %s{nulls} WHERE tenant = %s AND id = %s", values
            )


def _parts(found: _Found) -> Iterator[dict[str, object]]:
    """Metadata of the events that tell it: one, but for a subject of very many scattered events."""
    parts: list[dict[str, object]] = []
    length = 0
    for (epoch, fields), seqs in sorted(found.seqs.items(), key=lambda pair: (pair[0][0], sorted(pair[0][1]))):
        for text in _texts(format_ranges(sorted(seqs))):
            if parts and length + len(text) > _RANGES:
                yield {"erased": parts}
                parts, length = [], 0
            parts.append({"epoch": epoch, "fields": sorted(fields), "seqs": text})
            length += len(text)
    if parts:
        yield {"erased": parts}


def _texts(pieces: Iterable[str]) -> Iterator[str]:
    text = ""
    for piece in pieces:
        if text and len(text) + len(piece) >= _RANGES:
            yield text
            text = ""
        text = f"{text},{piece}" if text else piece
    if text:
        yield text


def _report(tenant: str, found: _Found, *, is_dry_run: bool) -> ErasureReport:
    values: dict[str, int] = {}
    for (_epoch, fields), seqs in found.seqs.items():
        for name in fields:
            values[name] = values.get(name, 0) + len(seqs)
    return ErasureReport(
        tenant=tenant,
        events=sum(map(len, found.seqs.values())),
        values=dict(sorted(values.items())),
        left=found.left,
        is_dry_run=is_dry_run,
    )
