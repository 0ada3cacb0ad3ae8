"""Whoever edits the database by hand is found, and the finding says where: every column, every row, both databases."""

from __future__ import annotations

import json
from datetime import datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.db import IntegrityError, models

from auditkit_django import auditlog
from auditkit_django.ledger.entry import ZERO_HASH, leaf_hash
from auditkit_django.models import Entry, Event, Log
from auditkit_django.testing import append_now, guards_lifted
from tests.log import naive
from tests.log.attacker import Raw, delete, entry_at, event_at, execute, forged_body, replacing, update
from tests.log.attacks import AT, COLUMNS, LAST, ROWS, Case, cut_tail, insert_forged_event, set_head

pytestmark = pytest.mark.django_db


def _invalid(tenant: str) -> dict[str, Any]:
    """The first finding, the same from the function and the command."""
    report = auditlog.verify(tenant)
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command("auditkit_verify", tenant=[tenant], json=True, stdout=out)
    *_older, printed = json.loads(out.getvalue())
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
        insert_forged_event(rich_log)
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
        prev = ZERO_HASH
        for entry in entries:
            event = Event.objects.get(id=entry.event_id)
            body = forged_body(event, origin=origin, seq=entry.seq, prev=prev, time=time)
            prev = leaf_hash(body)
            update(Entry, {"tenant": rich_log, "seq": entry.seq}, body=body, leaf_hash=prev)
        set_head(rich_log)
    assert auditlog.verify(rich_log).verdict == "VALID"
    assert not list(naive.faults(*naive.stored_rows(rich_log)))


def test_cutting_the_tail_with_its_events_and_the_head_is_missed_without_a_checkpoint(rich_log: str) -> None:
    """A shorter log is a whole log: only who remembers a larger size (a published checkpoint, a bundle) can tell."""
    with guards_lifted():
        cut_tail(rich_log, size=10, with_events=True, with_head=True)
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
            execute("UPDATE auditkit_django_event SET severity = 'critical' WHERE action = 'member.invited'")
        report = auditlog.verify(rich_log)
    finally:
        verification_failed.disconnect(hear)
    assert (Log.objects.get(tenant=rich_log).verdict, heard) == ("INVALID", [report])
