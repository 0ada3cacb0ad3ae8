"""A malformed event, written past ``record()``, gets a visible stand-in and stops nobody."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest

from auditkit_django import auditlog
from auditkit_django.models import Entry, Event, Pending
from auditkit_django.testing import append_now, guards_lifted
from tests.log.attacker import Raw, copy_of, delete, event_at, insert, update

pytestmark = pytest.mark.django_db

POISON = [
    pytest.param({"action": 'a","b":"c'}, None, id="quotes in the action"),
    pytest.param({"action": "no_dot"}, None, id="an action that is no name"),
    pytest.param({"action": ""}, None, id="no action"),
    pytest.param({"category": "Büro"}, None, id="a category that is not ASCII"),
    pytest.param({"severity": "dire"}, None, id="an unknown severity"),
    pytest.param({"outcome": "maybe"}, None, id="an unknown outcome"),
    pytest.param({"disclosures": "]["}, None, id="disclosures that are not JSON"),
    pytest.param({"disclosures": '{"extra":["s","extra",1]}'}, None, id="an unknown field"),
    pytest.param({"occurred_at": Raw("infinity")}, "postgresql", id="a time without end"),
    pytest.param({"recorded_at": Raw("0044-03-15 12:00:00+00 BC")}, "postgresql", id="a time before Christ"),
    pytest.param({"occurred_at": Raw("tomorrow")}, "sqlite", id="a time that is none"),
    pytest.param({"occurred_at": Raw("2025-02-31 00:00:00")}, "sqlite", id="a day that is none"),
    pytest.param({"action": Raw(b"\xff")}, "sqlite", id="bytes for an action"),
]


def _insert_poison(changed: dict[str, Any]) -> uuid.UUID:
    auditlog.event("member.invited", tenant="acme")
    append_now()
    poison = uuid.uuid4()
    insert(Event, **copy_of(event_at("acme", 1), id=poison, **changed))
    insert(Pending, tenant="acme", event_id=poison)
    return poison


@pytest.mark.parametrize(("changed", "vendor"), POISON)
def test_a_malformed_event_is_quarantined_and_stops_nobody(
    changed: dict[str, Any], vendor: str | None, is_postgresql: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if vendor not in (None, "postgresql" if is_postgresql else "sqlite"):
        pytest.skip(f"{vendor} alone can store that value")
    poison = _insert_poison(changed)
    after = auditlog.event("member.removed", tenant="acme")
    elsewhere = auditlog.event("member.removed", tenant="globex")
    assert append_now() == 3
    assert "is quarantined" in caplog.text
    entries = list(Entry.objects.filter(tenant="acme").order_by("seq"))
    assert [entry.seq for entry in entries] == [0, 1, 2, 3]
    assert entries[3].event_id == after
    stand_in = Event.objects.get(id=entries[2].event_id)
    assert stand_in.action == "audit.event.quarantined"
    assert stand_in.target_id == poison.hex
    assert stand_in.disclosed()["metadata"].keys() == {"sha256", "reason"}
    assert Entry.objects.get(tenant="globex", seq=1).event_id == elsewhere
    assert not Pending.objects.exists()
    assert auditlog.verify("acme").verdict == "VALID"


@pytest.mark.parametrize(
    "tamper",
    [
        pytest.param(lambda poison: update(Event, {"id": poison}, action="member.joined"), id="changed"),
        pytest.param(lambda poison: update(Event, {"id": poison}, disclosures=None), id="emptied"),
        pytest.param(lambda poison: delete(Event, {"id": poison}), id="deleted"),
    ],
)
def test_tampering_with_a_quarantined_event_is_found(tamper: Any) -> None:
    poison = _insert_poison({"severity": "dire"})
    append_now()
    assert auditlog.verify("acme").verdict == "VALID"
    with guards_lifted():
        tamper(poison)
    [finding] = auditlog.verify("acme").findings
    assert (finding.code, finding.seq) == ("quarantine.mismatch", 2)


def test_a_quarantined_event_is_not_queued_again() -> None:
    from auditkit_django.log.reconcile import reconcile

    _insert_poison({"severity": "dire"})
    append_now()
    assert reconcile("acme") == 0


def test_a_stand_in_pointed_elsewhere_is_found_and_does_not_stop_the_check() -> None:
    _insert_poison({"severity": "dire"})
    append_now()
    with guards_lifted():
        update(Event, {"id": event_at("acme", 2).id}, target_id="no uuid")
    codes = {(finding.code, finding.seq) for finding in auditlog.verify("acme").findings}
    assert ("event.column", 2) in codes
    assert ("quarantine.mismatch", 2) in codes


def test_the_stand_in_holds_no_content_of_the_event() -> None:
    auditlog.event("member.invited", tenant="acme", metadata={"iban": "DE02"})
    append_now()
    poison = uuid.uuid4()
    insert(Event, **copy_of(event_at("acme", 1), id=poison, severity="dire"))
    insert(Pending, tenant="acme", event_id=poison)
    append_now()
    stand_in = event_at("acme", 2)
    assert "DE02" not in (stand_in.disclosures or "")
    assert len(json.loads(stand_in.disclosures or "")["metadata"][2]["sha256"]) == 64
