"""Whoever edits the database by hand is found, and the finding says where: every column, every row, both databases."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, models

from auditkit_django import auditlog
from auditkit_django.ledger.disclosure import join, split
from auditkit_django.ledger.entry import ZERO_HASH, leaf_hash
from auditkit_django.log.heads import Head, extend
from auditkit_django.log.rows import EventRow
from auditkit_django.models import Entry, Event, Log, Pending
from auditkit_django.testing import append_now, guards_lifted
from tests.log import naive
from tests.log.attacker import (
    Raw, copy_of, delete, entry_at, event_at, execute, forged_event, insert, replacing, update,
)  # fmt: skip

pytestmark = pytest.mark.django_db

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
    _event("disclosures", "one more", _edited("extra", lambda t: t.update(extra='["s","extra",1]')), "disclosure.unexpected"),
    _event("disclosures", "another value", lambda old: old.replace('"old":"member"', '"old":"owner"'), "disclosure.mismatch"),
    _event("disclosures", "another salt", _edited("metadata", _resalted), "disclosure.mismatch"),
    _event("disclosures", "a name twice", lambda old: old.replace('"number":', '"note":1,"number":'), "disclosure.malformed"),
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


def _insert_event(tenant: str) -> None:
    insert(Event, **copy_of(forged_event(tenant, AT)))


def _insert_entry(tenant: str, **place: int) -> None:
    """A forged event with a well-formed entry that links to the last one, at ``place``."""
    log, event = Log.objects.get(tenant=tenant), forged_event(tenant, AT)
    head = Head(tenant=tenant, epoch=0, origin=log.origin, size=log.size, hash=bytes(log.head_hash), time=log.head_time)
    [entry] = extend(head, [EventRow(*copy_of(event).values())], now=log.head_time)
    insert(Event, **copy_of(event))
    insert(Entry, **{**entry._asdict(), **place})


def _insert_between(tenant: str) -> None:
    """Push everything from AT on up by one, and put an entry of another event where room is."""
    for seq in range(LAST, AT - 1, -1):
        update(Entry, {"tenant": tenant, "epoch": 0, "seq": seq}, seq=seq + 1)
    _insert_entry(tenant, seq=AT)
    log = Log.objects.get(tenant=tenant)
    update(Log, {"tenant": tenant}, size=log.size + 1)


def _relink(tenant: str, *, first: int, action: str) -> None:
    """Change the event at ``first`` and make its entry anew, leaf hash included; leave what follows."""
    event, entry = event_at(tenant, first), entry_at(tenant, first)
    body = bytes(entry.body).replace(event.action.encode(), action.encode())
    update(Event, {"tenant": tenant, "id": event.id}, action=action)
    update(Entry, {"tenant": tenant, "epoch": 0, "seq": first}, body=body, leaf_hash=leaf_hash(body))


def _cut(tenant: str, *, size: int, with_events: bool, with_head: bool) -> None:
    """Remove everything from seq ``size`` on."""
    for seq in range(size, LAST + 1):
        entry = entry_at(tenant, seq)
        if with_events:
            delete(Event, {"tenant": tenant, "id": entry.event_id})
        delete(Entry, {"tenant": tenant, "epoch": 0, "seq": seq})
    if with_head:
        _set_head(tenant)


def _set_head(tenant: str) -> None:
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


ROWS = [
    Case(name="event-deleted", attack=lambda t: delete(Event, {"id": event_at(t, AT).id}), code="event.missing"),
    Case(name="first-event-deleted", attack=lambda t: delete(Event, {"id": event_at(t, 0).id}), code="event.missing", seq=0),
    Case(name="all-events-deleted", attack=lambda t: delete(Event, {"tenant": t}), code="event.missing", seq=0),
    Case(name="entry-deleted", attack=lambda t: delete(Entry, {"tenant": t, "seq": AT}), code="entry.missing"),
    Case(name="first-entry-deleted", attack=lambda t: delete(Entry, {"tenant": t, "seq": 0}), code="entry.missing", seq=0),
    Case(name="last-entry-deleted", attack=lambda t: delete(Entry, {"tenant": t, "seq": LAST}), code="entry.missing", seq=LAST),
    Case(name="all-entries-deleted", attack=lambda t: delete(Entry, {"tenant": t}), code="entry.missing", seq=0),
    Case(name="event-inserted", attack=_insert_event, code="event.unlogged", seq=None),
    Case(name="entry-inserted-at-the-end", attack=lambda t: _insert_entry(t, seq=LAST + 1), code="entry.beyond_head", seq=LAST + 1),
    Case(name="entry-inserted-further-on", attack=lambda t: _insert_entry(t, seq=LAST + 5), code="entry.missing", seq=LAST + 1),
    Case(name="entry-inserted-before-the-first", attack=lambda t: _insert_entry(t, seq=-1), code="entry.outside", seq=-1),
    Case(name="entry-inserted-in-the-next-epoch", attack=lambda t: _insert_entry(t, epoch=1), code="entry.outside", seq=LAST + 1),
    Case(name="entry-inserted-in-an-earlier-epoch", attack=lambda t: _insert_entry(t, epoch=-1, seq=0), code="entry.outside", seq=0),
    Case(name="entry-inserted-between", attack=_insert_between, code="entry.seq"),
    Case(name="events-swapped", attack=_swap("action", "category", "occurred_at", "recorded_at", "disclosures", "target_id"),
         code="event.column"),
    Case(name="disclosures-swapped", attack=_swap("disclosures"), code="disclosure.mismatch"),
    Case(name="times-swapped", attack=_swap("recorded_at"), code="event.column"),
    Case(name="bodies-swapped", attack=_swap_entries("body"), code="entry.leaf_hash"),
    Case(name="bodies-and-hashes-swapped", attack=_swap_entries("body", "leaf_hash"), code="entry.seq"),
    Case(name="events-of-entries-swapped", attack=_swap_entries("event_id"), code="entry.event_id"),
    Case(name="entries-swapped", attack=_swap_seqs, code="entry.seq"),
    Case(name="rewritten-without-the-rest", attack=lambda t: _relink(t, first=AT, action="member.joined"), code="entry.prev", seq=AT + 1),
    Case(name="last-rewritten-without-the-head", attack=lambda t: _relink(t, first=LAST, action="member.joined"), code="log.head", seq=LAST),
    Case(name="tail-cut", attack=lambda t: _cut(t, size=10, with_events=True, with_head=False), code="entry.missing", seq=10),
    Case(name="tail-of-entries-cut", attack=lambda t: _cut(t, size=10, with_events=False, with_head=False), code="entry.missing", seq=10),
    Case(name="tail-of-entries-cut-with-the-head", attack=lambda t: _cut(t, size=10, with_events=False, with_head=True),
         code="event.unlogged", seq=None),
    Case(name="everything-cut-but-the-head", attack=lambda t: _cut(t, size=0, with_events=True, with_head=True), code="entry.missing", seq=0),
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
    Case(name="log.deleted", attack=lambda t: delete(Log, {"tenant": t}), code="log.missing", seq=0),
    Case(name="log.inserted-empty", attack=_later_epoch, code="entry.missing", seq=0),
    Case(name="pending.of-a-logged-event", attack=_second_pointer, code="pending.logged", seq=None),
    Case(name="pending.lost", attack=_lost_pointer, code="event.unlogged", seq=None),
    Case(name="pending.of-no-event", attack=lambda t: insert(Pending, tenant=t, event_id=uuid.uuid4()), code="pending.orphan", seq=None),
]  # fmt: skip


def _invalid(tenant: str) -> dict[str, Any]:
    """The first finding, the same from the function and the command."""
    report = auditlog.verify(tenant)
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("auditkit_verify", tenant=[tenant], json=True, stdout=out)
    [printed] = json.loads(out.getvalue())
    assert (report.verdict, printed["verdict"], ended.value.code) == ("INVALID", "INVALID", 2)
    assert printed["findings"][0] == report.findings[0].as_json()
    return dict(printed["findings"][0])


@pytest.mark.parametrize("case", [pytest.param(case, id=case.name) for case in (*COLUMNS, *ROWS)])
def test_an_edit_by_hand_is_found_where_it_was_made(case: Case, rich_log: str, is_postgresql: bool) -> None:
    if case.vendor not in (None, "postgresql" if is_postgresql else "sqlite"):
        pytest.skip(f"{case.vendor} alone can store that value")
    assert auditlog.verify(rich_log).verdict == "VALID"
    with guards_lifted():
        case.attack(rich_log)
    first = _invalid(rich_log)
    assert (first["code"], first["seq"]) == (case.code, case.seq), first["message"]


@pytest.mark.parametrize("model", [Event, Entry])
def test_the_table_above_covers_every_column(model: type[models.Model]) -> None:
    columns = {field.attname for field in model._meta.get_fields() if getattr(field, "column", None)}
    assert {case.column for case in COLUMNS if case.model is model} == columns
    assert len(columns) == (13 if model is Event else 6)


@pytest.mark.parametrize("model", [Event, Entry])
def test_null_is_tried_in_every_column_that_takes_it(model: type[models.Model], rich_log: str) -> None:
    entry = entry_at(rich_log, AT)
    place = {"id": entry.event_id} if model is Event else {"tenant": rich_log, "epoch": 0, "seq": AT}
    tried = {case.column for case in COLUMNS if case.model is model and case.name.endswith("-NULL")}
    for field in model._meta.concrete_fields:
        if field.attname in tried or not field.column:
            continue
        with guards_lifted(), pytest.raises(IntegrityError), replacing():
            update(model, place, **{field.attname: Raw(None)})


def test_every_changed_byte_of_an_entry_is_found(rich_log: str) -> None:
    body = bytes(entry_at(rich_log, AT).body)
    place: dict[str, object] = {"tenant": rich_log, "epoch": 0, "seq": AT}
    with guards_lifted():
        for at in range(len(body)):
            update(Entry, place, body=body[:at] + bytes([body[at] ^ 0x01]) + body[at + 1 :])
            first = auditlog.verify(rich_log).findings[0]
            assert first.seq == AT, at
            assert first.code in ("entry.malformed", "entry.leaf_hash"), at
        update(Entry, place, body=body)
    assert auditlog.verify(rich_log).verdict == "VALID"


def test_every_changed_character_of_the_disclosures_is_found(rich_log: str) -> None:
    event = event_at(rich_log, AT)
    text = event.disclosures or ""
    place: dict[str, object] = {"tenant": rich_log, "id": event.id}
    with guards_lifted():
        for at, old in enumerate(text):
            update(Event, place, disclosures=text[:at] + ("~" if old != "~" else "!") + text[at + 1 :])
            first = auditlog.verify(rich_log).findings[0]
            assert first.seq == AT, at
            assert first.code.startswith("disclosure.") or first.code == "event.column", at
        update(Event, place, disclosures=text)
    assert auditlog.verify(rich_log).verdict == "VALID"


def test_a_copy_of_another_tenants_row_is_found(rich_log: str) -> None:
    auditlog.event("member.invited", tenant="globex")
    append_now()
    with guards_lifted():
        stranger = entry_at("globex", 1)
        update(Entry, {"tenant": rich_log, "seq": AT}, body=bytes(stranger.body), leaf_hash=bytes(stranger.leaf_hash))
    first = _invalid(rich_log)
    assert (first["code"], first["seq"]) == ("entry.origin", AT)
    assert auditlog.verify("globex").verdict == "VALID"


def test_an_old_row_replayed_later_is_found(rich_log: str) -> None:
    old = entry_at(rich_log, 3)
    with guards_lifted():
        update(Entry, {"tenant": rich_log, "seq": AT}, body=bytes(old.body), leaf_hash=bytes(old.leaf_hash))
    first = _invalid(rich_log)
    assert (first["code"], first["seq"]) == ("entry.seq", AT)


def test_all_findings_come_in_order_of_seq(rich_log: str) -> None:
    with guards_lifted():
        _insert_event(rich_log)
        for seq in (9, 2, 5):
            update(Event, {"id": event_at(rich_log, seq).id}, severity="critical")
        delete(Entry, {"tenant": rich_log, "seq": 7})
    seqs = [finding.seq for finding in auditlog.verify(rich_log).findings]
    assert seqs == [2, 5, 7, 9, None, None]


def test_a_thousand_findings_are_kept_and_the_rest_counted(rich_log: str) -> None:
    with guards_lifted():
        update(Entry, {"tenant": rich_log, "seq": LAST}, seq=5000)
        report = auditlog.verify(rich_log)
    assert report.verdict == "INVALID"
    assert len(report.findings) == 1000
    assert report.findings[0].seq == LAST
    assert report.omitted > 0


def test_rewriting_a_whole_log_is_missed_without_a_checkpoint_held_elsewhere(rich_log: str) -> None:
    """The chain proves order and wholeness of what stands there, not that it is what once stood there: whoever owns the
    database can make a new chain from the first changed event on. Published checkpoints are what finds that."""
    origin = Log.objects.get(tenant=rich_log).origin
    with guards_lifted():
        update(Event, {"id": event_at(rich_log, AT).id}, action="member.joined")
        entries = list(Entry.objects.filter(tenant=rich_log).order_by("seq"))
        time = datetime.fromisoformat(json.loads(bytes(entries[0].body))["time"])
        head = Head(tenant=rich_log, epoch=0, origin=origin, size=0, hash=ZERO_HASH, time=time)
        rows = [EventRow(*copy_of(Event.objects.get(id=entry.event_id)).values()) for entry in entries]
        forged = extend(head, rows, now=time)
        for entry in forged:
            update(Entry, {"tenant": rich_log, "seq": entry.seq}, body=entry.body, leaf_hash=entry.leaf_hash)
        _set_head(rich_log)
    assert auditlog.verify(rich_log).verdict == "VALID"
    assert not list(naive.faults(*naive.stored_rows(rich_log)))


def test_cutting_the_tail_with_its_events_and_the_head_is_missed_without_a_checkpoint(rich_log: str) -> None:
    """A shorter log is a whole log: only who remembers a larger size (a published checkpoint, a bundle) can tell."""
    with guards_lifted():
        _cut(rich_log, size=10, with_events=True, with_head=True)
    report = auditlog.verify(rich_log)
    assert (report.verdict, report.size) == ("VALID", 10)
    assert not list(naive.faults(*naive.stored_rows(rich_log)))


def test_an_invalid_verdict_is_kept_for_the_pages_and_signalled(rich_log: str) -> None:
    from auditkit_django.signals import verification_failed

    heard: list[object] = []

    def hear(sender: object, report: object, **_kwargs: object) -> None:
        heard.append(report)

    verification_failed.connect(hear)
    try:
        auditlog.verify(rich_log)
        assert (Log.objects.get(tenant=rich_log).verdict, heard) == ("VALID", [])
        with guards_lifted():
            execute("UPDATE auditkit_django_event SET severity = 'low' WHERE action = 'member.invited'")
        report = auditlog.verify(rich_log)
    finally:
        verification_failed.disconnect(hear)
    assert (Log.objects.get(tenant=rich_log).verdict, heard) == ("INVALID", [report])
