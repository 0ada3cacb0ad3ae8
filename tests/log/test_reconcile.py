"""An event without entry and pointer is found, said, and queued again."""

from __future__ import annotations

import pytest

from auditkit_django import auditlog
from auditkit_django.log.reconcile import reconcile, unlogged_events
from auditkit_django.log.worker import Worker
from auditkit_django.models import Entry, Pending
from auditkit_django.testing import append_now
from tests.log.attacker import Raw, delete, insert

pytestmark = pytest.mark.django_db


def test_an_event_whose_pointer_was_lost_is_queued_again(caplog: pytest.LogCaptureFixture) -> None:
    auditlog.event("member.invited", tenant="acme")
    append_now()
    lost = auditlog.event("member.removed", tenant="acme")
    delete(Pending, {"tenant": "acme"})
    assert append_now() == 0
    assert unlogged_events("acme") == [lost]
    assert auditlog.verify("acme").verdict == "INVALID"
    assert reconcile("acme") == 1
    assert "1 events of tenant acme" in caplog.text
    assert append_now() == 1
    assert Entry.objects.get(tenant="acme", seq=2).event_id == lost
    assert auditlog.verify("acme").verdict == "VALID"


def test_what_is_logged_or_pending_is_left_alone() -> None:
    auditlog.event("member.invited", tenant="acme")
    append_now()
    auditlog.event("member.removed", tenant="acme")
    assert reconcile("acme") == 0
    assert Pending.objects.count() == 1


def test_reconciling_looks_at_one_tenant_alone() -> None:
    for tenant in ("acme", "globex"):
        auditlog.event("member.invited", tenant=tenant)
    delete(Pending, {"tenant": "globex"})
    assert reconcile("acme") == 0
    assert reconcile("globex") == 1


def test_two_reconcilers_at_once_still_make_one_entry() -> None:
    lost = auditlog.event("member.invited", tenant="acme")
    delete(Pending, {"tenant": "acme"})
    assert reconcile("acme") == 1
    insert(Pending, tenant="acme", event_id=lost)
    assert append_now() == 1
    assert Entry.objects.filter(tenant="acme", event_id=lost).count() == 1
    assert auditlog.verify("acme").verdict == "VALID"


def test_a_worker_finds_lost_events_of_tenants_that_have_no_log_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    auditlog.event("member.invited", tenant="acme")
    delete(Pending, {"tenant": "acme"})
    assert Worker().reconcile() == 1


def test_an_id_that_is_none_is_reported_and_never_queued(is_postgresql: bool) -> None:
    if is_postgresql:
        pytest.skip("the column refuses it")
    from auditkit_django.models import Event
    from auditkit_django.testing import guards_lifted
    from tests.log.attacker import event_at, update

    auditlog.event("member.invited", tenant="acme")
    append_now()
    auditlog.event("member.removed", tenant="acme")
    with guards_lifted():
        update(Event, {"id": event_at("acme", 1).id}, id=Raw("zzz"))
    assert reconcile("acme") == 0
    assert append_now() == 1
    assert [finding.code for finding in auditlog.verify("acme").findings] == ["event.missing", "event.unlogged"]
