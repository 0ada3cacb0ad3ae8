"""The attacks of ``test_tampering``: what is edited by hand, and the first finding that this leads to."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import models

from auditkit_django import auditlog
from auditkit_django.ledger.disclosure import join, split
from auditkit_django.ledger.entry import ZERO_HASH, leaf_hash
from auditkit_django.models import Entry, Event, Log, Pending
from tests.log.attacker import (
    Raw,
    copy_of,
    delete,
    entry_at,
    event_at,
    execute,
    forged_body,
    forged_event,
    insert,
    update,
)

AT = 6
LAST = 12
Value = Callable[[Any], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An attack on ``column`` (None: on whole rows), and the first finding that it leads to."""

    name: str
    attack: Callable[[str], object]
    code: str
    seq: int | None = AT
    model: type[models.Model] | None = None
    column: str | None = None
    vendor: str | None = None


def _event(column: str, name: str, value: Value, code: str = "event.column", vendor: str | None = None) -> Case:
    def attack(tenant: str) -> None:
        event = event_at(tenant, AT)
        update(Event, {"tenant": tenant, "id": event.id}, **{column: value(getattr(event, column))})

    return Case(name=f"event.{column}-{name}", attack=attack, code=code, model=Event, column=column, vendor=vendor)


def _entry(column: str, name: str, value: Value, code: str, seq: int = AT, vendor: str | None = None) -> Case:
    def attack(tenant: str) -> None:
        old = getattr(entry_at(tenant, seq), column)
        update(Entry, {"tenant": tenant, "epoch": 0, "seq": seq}, **{column: value(old)})

    return Case(
        name=f"entry.{column}-{name}", attack=attack, code=code, seq=seq, model=Entry, column=column, vendor=vendor
    )


def _log(column: str, name: str, value: Value, code: str, seq: int | None, vendor: str | None = None) -> Case:
    def attack(tenant: str) -> None:
        update(Log, {"tenant": tenant}, **{column: value(getattr(Log.objects.get(tenant=tenant), column))})

    return Case(name=f"log.{column}-{name}", attack=attack, code=code, seq=seq, vendor=vendor)


def _other(value: object) -> Value:
    return lambda _old: value


def _bit(index: int) -> Value:
    """Flip the lowest bit of the byte at ``index``."""
    return lambda old: bytes(byte ^ 1 if at == index % len(old) else byte for at, byte in enumerate(bytes(old)))


def _character(old: str) -> str:
    return old[:-1] + ("x" if old[-1] != "x" else "y")


def _tick(old: datetime) -> datetime:
    return old + timedelta(microseconds=1)


def _edited(field: str, change: Callable[[dict[str, str]], None]) -> Value:
    def edit(old: str) -> str:
        texts = split(old)
        assert field in texts or field == "extra"
        change(texts)
        return join(texts)

    return edit


def _forged_member(old: str) -> str:
    return old.replace('"metadata":', '"metadata":["AAAAAAAAAAAAAAAAAAAAAA","metadata",{"forged":1}],\n"metadata":')


def _reversed_members(old: str) -> str:
    texts = split(old)
    return "{" + ",\n".join(f'"{name}":{texts[name]}' for name in reversed(texts)) + "}"


def _resalted(texts: dict[str, str]) -> None:
    texts["metadata"] = texts["metadata"].replace('["', '["A', 1)


COLUMNS = [
    _event("id", "another", _other(uuid.UUID(int=7)), "event.missing"),
    _event("id", "one bit", lambda old: uuid.UUID(int=old.int ^ 1), "event.missing"),
    _event("id", "not a uuid", _other(Raw("zzz")), "event.missing", vendor="sqlite"),
    _event("tenant", "another", _other("globex"), "event.missing"),
    _event("tenant", "one character", lambda old: old + "0", "event.missing"),
    *[
        case
        for column in ("occurred_at", "recorded_at")
        for case in (
            _event(column, "a microsecond later", _tick),
            _event(column, "years ago", _other(datetime(1999, 12, 31, tzinfo=UTC))),
            _event(column, "no time", _other(Raw("tomorrow")), vendor="sqlite"),
            _event(column, "no such day", _other(Raw("2025-02-31 00:00:00")), vendor="sqlite"),
            _event(column, "a number", _other(Raw(12)), vendor="sqlite"),
            _event(column, "infinity", _other(Raw("infinity")), vendor="postgresql"),
            _event(column, "before Christ", _other(Raw("0044-03-15 12:00:00+00 BC")), vendor="postgresql"),
            _event(column, "year 20000", _other(Raw("20000-01-01 00:00:00+00")), vendor="postgresql"),
        )
    ],
    _event("action", "another", _other("member.removed")),
    _event("action", "one character", _character),
    _event("action", "the opening's", _other("audit.log.opened")),
    _event("action", "the quarantine's", _other("audit.event.quarantined")),
    _event("action", "quotes", _other('a","b')),
    _event("action", "not ASCII", _other("möbius.dick")),
    _event("action", "not UTF-8", _other(Raw(b"\xff\xfe")), vendor="sqlite"),
    _event("category", "another", _other("billing")),
    _event("category", "one character", _character),
    _event("severity", "another", _other("critical")),
    _event("severity", "unknown", _other("dire")),
    _event("outcome", "another", _other("denied")),
    _event("outcome", "empty", _other("")),
    *[
        case
        for column in ("actor_type", "actor_id", "target_type", "target_id")
        for case in (
            _event(column, "another", _other("somebody")),
            _event(column, "NULL", _other(None)),
            _event(column, "one character", lambda old: old + "0"),
            _event(column, "empty", _other("")),
            _event(column, "quotes", _other('7","type":"user')),
            _event(column, "a blob", _other(Raw(b"\xff")), vendor="sqlite"),
        )
    ],
    _event("disclosures", "NULL", _other(None), "disclosure.missing"),
    _event("disclosures", "empty", _other(""), "disclosure.missing"),
    _event("disclosures", "no member", _other("{}"), "disclosure.missing"),
    _event("disclosures", "not JSON", _other("]["), "disclosure.malformed"),
    _event("disclosures", "white space", lambda old: old + " ", "disclosure.malformed"),
    _event("disclosures", "a blob", _other(Raw(b"\xff")), "disclosure.malformed", vendor="sqlite"),
    *[
        _event("disclosures", f"without {field}", _edited(field, lambda t, f=field: t.pop(f)), "disclosure.missing")  # type: ignore[misc]
        for field in ("actor", "changes", "context", "metadata", "on_behalf_of", "targets")
    ],
    _event(
        "disclosures",
        "one more",
        _edited("extra", lambda t: t.update(extra='["s","extra",1]')),
        "disclosure.unexpected",
    ),
    _event(
        "disclosures",
        "another value",
        lambda old: old.replace('"old":"member"', '"old":"owner"'),
        "disclosure.mismatch",
    ),
    _event("disclosures", "a forged member before the true one", _forged_member, "disclosure.malformed"),
    _event("disclosures", "another order", _reversed_members, "disclosure.malformed"),
    _event("disclosures", "another salt", _edited("metadata", _resalted), "disclosure.mismatch"),
    _event(
        "disclosures",
        "a name twice",
        lambda old: old.replace('"number":', '"note":1,"number":'),
        "disclosure.malformed",
    ),
    _entry("tenant", "another", _other("globex"), "entry.missing"),
    _entry("epoch", "the next", _other(1), "entry.missing"),
    _entry("epoch", "negative", _other(-1), "entry.missing"),
    _entry("seq", "beyond the end", _other(1000), "entry.missing"),
    _entry("seq", "negative", _other(-1), "entry.missing"),
    _entry("seq", "past every integer", _other(2**62), "entry.missing"),
    _entry("seq", "no number", _other(Raw("six")), "entry.missing", vendor="sqlite"),
    _entry("event_id", "another", _other(uuid.UUID(int=7)), "entry.event_id"),
    _entry("event_id", "one bit", lambda old: uuid.UUID(int=old.int ^ 1), "entry.event_id"),
    _entry("event_id", "not a uuid", _other(Raw("zzz")), "entry.event_id", vendor="sqlite"),
    _entry("body", "one bit of a value", _bit(12), "entry.leaf_hash"),
    _entry("body", "one bit of the form", _bit(0), "entry.malformed"),
    _entry("body", "the last bit", _bit(-1), "entry.malformed"),
    _entry("body", "one byte more", lambda old: bytes(old) + b" ", "entry.malformed"),
    _entry("body", "empty", _other(b""), "entry.malformed"),
    _entry("body", "not ASCII", _other(b"\xff" * 40), "entry.malformed"),
    _entry("body", "text", _other(Raw("text")), "entry.malformed", vendor="sqlite"),
    _entry("body", "a number", _other(Raw(7)), "entry.malformed", vendor="sqlite"),
    _entry("body", "another outcome", lambda old: bytes(old).replace(b"success", b"failure"), "entry.leaf_hash"),
    _entry("leaf_hash", "one bit", _bit(31), "entry.leaf_hash"),
    _entry("leaf_hash", "another", _other(bytes(32)), "entry.leaf_hash"),
    _entry("leaf_hash", "empty", _other(b""), "entry.leaf_hash"),
    _entry("leaf_hash", "of the last", _bit(0), "entry.leaf_hash", LAST),
    _entry("leaf_hash", "of the first", _bit(0), "entry.leaf_hash", 0),
    _entry("leaf_hash", "text", _other(Raw("text")), "entry.leaf_hash", vendor="sqlite"),
]


def _swap(*columns: str) -> Callable[[str], None]:
    def attack(tenant: str) -> None:
        one, two = event_at(tenant, AT), event_at(tenant, AT + 2)
        for event, other in ((one, two), (two, one)):
            values = {column: getattr(other, column) for column in columns}
            update(Event, {"tenant": tenant, "id": event.id}, **values)

    return attack


def _swap_entries(*columns: str) -> Callable[[str], None]:
    def attack(tenant: str) -> None:
        one, two = entry_at(tenant, AT), entry_at(tenant, AT + 2)
        update(Entry, {"tenant": tenant, "epoch": 0, "seq": AT}, event_id=uuid.uuid4())
        for entry, other in ((two, one), (one, two)):
            values = {"event_id": entry.event_id} | {column: getattr(other, column) for column in columns}
            update(Entry, {"tenant": tenant, "epoch": 0, "seq": entry.seq}, **values)

    return attack


def _swap_seqs(tenant: str) -> None:
    for old, new in ((AT, 999), (AT + 2, AT), (999, AT + 2)):
        update(Entry, {"tenant": tenant, "epoch": 0, "seq": old}, seq=new)


def insert_forged_event(tenant: str) -> None:
    insert(Event, **copy_of(forged_event(tenant, AT)))


def _insert_entry(tenant: str, **place: int) -> None:
    """A forged event with a well-formed entry that links to the last one, at ``place``."""
    log, event = Log.objects.get(tenant=tenant), forged_event(tenant, AT - 1)
    body = forged_body(event, origin=log.origin, seq=log.size, prev=bytes(log.head_hash), time=log.head_time)
    place = {"epoch": 0, "seq": log.size, **place}
    insert(Event, **copy_of(event))
    insert(Entry, tenant=tenant, event_id=event.id, body=body, leaf_hash=leaf_hash(body), **place)


def _insert_between(tenant: str) -> None:
    """Push everything from AT on up by one, and put an entry of another event where room is."""
    execute("UPDATE auditkit_django_entry SET seq = -seq WHERE tenant = %s AND seq >= %s", [tenant, AT])
    execute("UPDATE auditkit_django_entry SET seq = 1 - seq WHERE tenant = %s AND seq < 0", [tenant])
    _insert_entry(tenant, seq=AT)
    log = Log.objects.get(tenant=tenant)
    update(Log, {"tenant": tenant}, size=log.size + 1)


def _relink(tenant: str, *, first: int, action: str) -> None:
    """Change the event at ``first`` and make its entry anew, leaf hash included; leave what follows."""
    event, entry = event_at(tenant, first), entry_at(tenant, first)
    body = bytes(entry.body).replace(event.action.encode(), action.encode())
    update(Event, {"tenant": tenant, "id": event.id}, action=action)
    update(Entry, {"tenant": tenant, "epoch": 0, "seq": first}, body=body, leaf_hash=leaf_hash(body))


def cut_tail(tenant: str, *, size: int, with_events: bool, with_head: bool) -> None:
    """Remove everything from seq ``size`` on."""
    for seq in range(size, LAST + 1):
        entry = entry_at(tenant, seq)
        if with_events:
            delete(Event, {"tenant": tenant, "id": entry.event_id})
        delete(Entry, {"tenant": tenant, "epoch": 0, "seq": seq})
    if with_head:
        set_head(tenant)


def set_head(tenant: str) -> None:
    """Make the log's row name the entry that is the last one now."""
    last = Entry.objects.filter(tenant=tenant).order_by("-seq").first()
    values = {"size": 0, "head_hash": ZERO_HASH}
    if last is not None:
        time = datetime.fromisoformat(json.loads(bytes(last.body))["time"])
        values = {"size": last.seq + 1, "head_hash": bytes(last.leaf_hash), "head_time": time}  # type: ignore[dict-item]
    update(Log, {"tenant": tenant}, **values)


def _second_pointer(tenant: str) -> None:
    insert(Pending, tenant=tenant, event_id=entry_at(tenant, AT).event_id)


def _lost_pointer(tenant: str) -> None:
    auditlog.event("member.removed", tenant=tenant)
    assert delete(Pending, {"tenant": tenant}) == 1


def _later_epoch(tenant: str) -> None:
    log = Log.objects.get(tenant=tenant)
    insert(Log, **copy_of(log, id=uuid.uuid4(), epoch=1, size=0, head_hash=ZERO_HASH))


def _rows(name: str, attack: Callable[[str], object], code: str, seq: int | None = AT) -> Case:
    return Case(name=name, attack=attack, code=code, seq=seq)


ROWS = [
    _rows("event-deleted", lambda t: delete(Event, {"id": event_at(t, AT).id}), "event.missing"),
    _rows(
        "first-event-deleted",
        lambda t: delete(Event, {"id": event_at(t, 0).id}),
        "event.missing",
        seq=0,
    ),
    _rows("all-events-deleted", lambda t: delete(Event, {"tenant": t}), "event.missing", 0),
    _rows("entry-deleted", lambda t: delete(Entry, {"tenant": t, "seq": AT}), "entry.missing"),
    _rows("first-entry-deleted", lambda t: delete(Entry, {"tenant": t, "seq": 0}), "entry.missing", 0),
    _rows(
        "last-entry-deleted",
        lambda t: delete(Entry, {"tenant": t, "seq": LAST}),
        "entry.missing",
        seq=LAST,
    ),
    _rows("all-entries-deleted", lambda t: delete(Entry, {"tenant": t}), "entry.missing", 0),
    _rows("event-inserted", insert_forged_event, "event.unlogged", None),
    _rows(
        "entry-inserted-at-the-end",
        lambda t: _insert_entry(t, seq=LAST + 1),
        "entry.beyond_head",
        seq=LAST + 1,
    ),
    _rows(
        "entry-inserted-further-on",
        lambda t: _insert_entry(t, seq=LAST + 5),
        "entry.missing",
        seq=LAST + 1,
    ),
    _rows(
        "entry-inserted-before-the-first",
        lambda t: _insert_entry(t, seq=-1),
        "entry.outside",
        seq=None,
    ),
    _rows(
        "entry-inserted-in-the-next-epoch",
        lambda t: _insert_entry(t, epoch=1),
        "entry.outside",
        seq=LAST + 1,
    ),
    _rows(
        "entry-inserted-in-an-earlier-epoch",
        lambda t: _insert_entry(t, epoch=-1, seq=0),
        "entry.outside",
        seq=0,
    ),
    _rows("entry-inserted-between", _insert_between, "entry.seq"),
    _rows(
        "events-swapped",
        _swap("action", "category", "occurred_at", "recorded_at", "disclosures", "target_id"),
        "event.column",
    ),
    _rows("disclosures-swapped", _swap("disclosures"), "disclosure.mismatch"),
    _rows("times-swapped", _swap("recorded_at"), "event.column"),
    _rows("bodies-swapped", _swap_entries("body"), "entry.leaf_hash"),
    _rows("bodies-and-hashes-swapped", _swap_entries("body", "leaf_hash"), "entry.seq"),
    _rows("events-of-entries-swapped", _swap_entries("event_id"), "entry.event_id"),
    _rows("entries-swapped", _swap_seqs, "entry.seq"),
    _rows(
        "rewritten-without-the-rest",
        lambda t: _relink(t, first=AT, action="member.joined"),
        "entry.prev",
        seq=AT + 1,
    ),
    _rows(
        "last-rewritten-without-the-head",
        lambda t: _relink(t, first=LAST, action="member.joined"),
        "log.head",
        seq=LAST,
    ),
    _rows(
        "tail-cut",
        lambda t: cut_tail(t, size=10, with_events=True, with_head=False),
        "entry.missing",
        seq=10,
    ),
    _rows(
        "tail-of-entries-cut",
        lambda t: cut_tail(t, size=10, with_events=False, with_head=False),
        "entry.missing",
        seq=10,
    ),
    _rows(
        "tail-of-entries-cut-with-the-head",
        lambda t: cut_tail(t, size=10, with_events=False, with_head=True),
        "event.unlogged",
        seq=None,
    ),
    _rows(
        "everything-cut-but-the-head",
        lambda t: cut_tail(t, size=0, with_events=True, with_head=True),
        "entry.missing",
        seq=0,
    ),
    _log("size", "one less", lambda old: old - 1, "entry.beyond_head", LAST),
    _log("size", "one more", lambda old: old + 1, "entry.missing", LAST + 1),
    _log("size", "nothing", _other(0), "entry.beyond_head", 0),
    _log("size", "negative", _other(-1), "entry.beyond_head", -1),
    _log("size", "huge", _other(2**62), "entry.missing", LAST + 1),
    _log("size", "no number", _other(Raw("many")), "log.head", None, vendor="sqlite"),
    _log("head_hash", "one bit", _bit(0), "log.head", LAST),
    _log("head_hash", "empty", _other(b""), "log.head", LAST),
    _log("head_time", "a microsecond later", _tick, "log.head", LAST),
    _log("head_time", "infinity", _other(Raw("infinity")), "log.head", None, vendor="postgresql"),
    _log("head_time", "no time", _other(Raw("tomorrow")), "log.head", None, vendor="sqlite"),
    _log("origin", "another", _other("audit.example.org/t/other"), "entry.origin", 0),
    _log("epoch", "the next", _other(1), "entry.missing", 0),
    _log("tenant", "another", _other("globex"), "log.missing", 0),
    _rows("log.deleted", lambda t: delete(Log, {"tenant": t}), "log.missing", 0),
    _rows("log.inserted-empty", _later_epoch, "entry.missing", 0),
    _rows("pending.of-a-logged-event", _second_pointer, "pending.logged", None),
    _rows("pending.lost", _lost_pointer, "event.unlogged", None),
    _rows(
        "pending.of-no-event",
        lambda t: insert(Pending, tenant=t, event_id=uuid.uuid4()),
        "pending.orphan",
        seq=None,
    ),
]
