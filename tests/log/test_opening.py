"""A log opens with its first event, and says so at seq 0."""

from __future__ import annotations

import base64
import json

import pytest
from django.db import IntegrityError, transaction

from auditkit_django import auditlog
from auditkit_django.log.opening import open_logs
from auditkit_django.models import Entry, Event, Log
from auditkit_django.testing import append_now

pytestmark = pytest.mark.django_db


def test_seq_0_is_the_opening_with_a_nonce_and_the_origin() -> None:
    auditlog.event("member.invited", tenant="acme")
    append_now()
    log = Log.objects.get(tenant="acme")
    first = Entry.objects.get(tenant="acme", seq=0)
    said = json.loads(bytes(first.body))
    assert (said["action"], said["seq"], said["log"]) == ("audit.log.opened", 0, log.origin)
    assert base64.b64decode(said["prev"]) == bytes(32)
    opened = Event.objects.get(tenant="acme", id=first.event_id).disclosed()
    assert opened["metadata"]["origin"] == log.origin == f"audit.example.org/t/{log.pk}"
    assert len(bytes.fromhex(opened["metadata"]["nonce"])) == 16
    assert opened["actor"]["type"] == "system"


def test_no_two_logs_share_an_origin_or_a_first_hash() -> None:
    for tenant in ("acme", "globex", "initech"):
        auditlog.event("member.invited", tenant=tenant)
    append_now()
    assert len({log.origin for log in Log.objects.all()}) == 3
    assert len({bytes(entry.leaf_hash) for entry in Entry.objects.filter(seq=0)}) == 3


def test_opening_an_open_log_again_changes_nothing() -> None:
    open_logs(["acme"])
    head = Log.objects.values().get(tenant="acme")
    open_logs(["acme"])
    assert Log.objects.values().get(tenant="acme") == head
    assert Event.objects.filter(tenant="acme").count() == 1
    assert auditlog.verify("acme").verdict == "VALID"


def test_an_opening_that_fails_for_another_reason_is_not_hushed_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from auditkit_django.log import opening

    def refuse(*_args: object) -> None:
        raise IntegrityError("another key")

    monkeypatch.setattr(opening, "insert_own_event", refuse)
    with pytest.raises(IntegrityError, match="another key"), transaction.atomic():
        open_logs(["acme"])
    assert not Log.objects.exists()


def test_the_origin_is_fixed_when_the_log_opens(settings: object) -> None:
    open_logs(["acme"])
    origin = Log.objects.get(tenant="acme").origin
    settings.AUDITKIT = {**settings.AUDITKIT, "ORIGIN": "elsewhere.example.org"}  # type: ignore[attr-defined]
    auditlog.event("member.invited", tenant="acme")
    append_now()
    assert Log.objects.get(tenant="acme").origin == origin
    assert auditlog.verify("acme").verdict == "VALID"
