"""Erasure: the values go, everywhere, and every proof stays; what goes otherwise is found."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.db import Error, connection, transaction
from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.exceptions import MalformedError, RetentionError, UnknownTenantError
from auditkit_django.ledger.entry import FIELDS
from auditkit_django.ledger.licences import format_ranges, parse_ranges
from auditkit_django.log.control import append_control, locked_log
from auditkit_django.log.erase import Erasure, erase
from auditkit_django.log.holds import lift_hold, place_hold
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.own import own_event
from auditkit_django.log.seal import seal
from auditkit_django.log.verify import verify
from auditkit_django.log.writing import insert_own_event
from auditkit_django.models import Entry, Event, LegalHold, Log
from auditkit_django.sql import guards
from auditkit_django.testing import append_now, guards_lifted

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.fixtures import SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sealed(tmp_path: Path, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {
        **settings.AUDITKIT,
        "SIGNER": SecretSigner(bytes(range(32))),
        "SEAL_GUARD_DIR": str(tmp_path / "signed"),
    }


def rows(tenant: str) -> list[tuple[Any, ...]]:
    return [
        (event.action, event.actor_id, event.target_id, tuple(sorted(event.disclosed())))
        for event in Event.objects.filter(tenant=tenant).exclude(category="audit").order_by("recorded_at", "id")
    ]


def everything(tenant: str) -> str:
    events = Event.objects.filter(tenant=tenant)
    return "\n".join(f"{values}" for values in events.values_list())


@pytest.fixture
def story(acme: Organization, ada: User) -> str:
    """Ada acts, is acted upon, is stood in for and is mentioned; Bob does things of his own."""
    tenant = str(acme.pk)
    bob = auditlog.Actor("user", "900", "Bob", "bob@example.com")
    with auditlog.context(ip="192.0.2.7"):
        auditlog.event("org.updated", actor=ada, resource="org:1", tenant=acme, changes={"name": ("A", "B")})
        auditlog.event(
            "member.role.changed", actor=bob, resource=ada, tenant=acme, changes={"role": ("member", "admin")}
        )
        auditlog.event("org.updated", actor=bob, on_behalf_of=ada, tenant=acme, resource="org:1")
        auditlog.event(
            "member.invited",
            actor=bob,
            tenant=acme,
            resource="invitation:7",
            metadata={"to": [f"<{ada.email.upper()}>"]},
        )
        auditlog.event("org.updated", actor=bob, tenant=acme, resource="org:1")
        auditlog.event(
            "org.updated", actor=bob, resource="org:1", targets=[auditlog.Target("user", str(ada.pk))], tenant=acme
        )
    append_now()
    seal(tenant)
    return tenant


def test_what_a_subject_did_and_what_was_done_to_them_goes(story: str, ada: User) -> None:
    heads = list(Entry.objects.filter(tenant=story).order_by("seq").values_list("leaf_hash", flat=True))
    report = auditlog.erase(story, subject=ada, reason="request of the person", request="DSR-7")
    assert report.values == {"actor": 1, "changes": 1, "context": 2, "on_behalf_of": 1, "targets": 2}
    assert (report.events, report.left, report.is_dry_run) == (4, 0, False)
    assert rows(story) == [
        ("org.updated", None, "1", ("changes", "targets")),
        ("member.role.changed", "900", None, ("actor", "context")),
        ("org.updated", "900", "1", ("actor", "targets")),
        ("member.invited", "900", "7", ("actor", "context", "metadata", "targets")),
        ("org.updated", "900", "1", ("actor", "context", "targets")),
        ("org.updated", "900", None, ("actor", "context")),
    ]
    told = Event.objects.get(tenant=story, action="audit.subject.erased")
    assert told.disclosed()["targets"] == [{"type": "data_subject", "id": "DSR-7"}]
    assert told.disclosed()["metadata"]["reason"] == "request of the person"
    now = list(Entry.objects.filter(tenant=story).order_by("seq").values_list("leaf_hash", flat=True))
    assert [bytes(one) for one in now[: len(heads)]] == [bytes(one) for one in heads]
    seal(story)
    result = auditlog.verify(story)
    assert (result.verdict, [gap.code for gap in result.gaps]) == ("VALID_WITH_GAPS", ["check.erased"])
    assert "4 events" in result.gaps[0].message
    # The verdict of a whole check is kept although it has a gap.
    assert Log.objects.get(tenant=story).verdict == "VALID_WITH_GAPS"


def test_mentions_go_wherever_they_stand_in_any_case(story: str, ada: User) -> None:
    report = auditlog.erase(story, mentions=[ada.email], reason="request")
    assert report.values["metadata"] == 1
    assert ada.email not in everything(story).lower()
    assert auditlog.verify(story).is_valid


@pytest.mark.parametrize("text", ['say "cheese"', "naïve Ärger", "back\\slash", "100% _x_", "line\nbreak"])
def test_any_text_is_found(acme: Organization, text: str) -> None:
    auditlog.event("org.updated", tenant=acme, metadata={"note": [{text.upper(): 1}]})
    auditlog.event("org.updated", tenant=acme, metadata={"note": "another"})
    report = auditlog.erase(acme, mentions=[text], reason="request")
    assert report.values == {"metadata": 1}
    assert auditlog.verify(acme).is_valid


def test_fields_limit_it_and_alone_mean_every_event(story: str, ada: User) -> None:
    assert auditlog.erase(story, subject=ada, fields=["changes"], reason="r").values == {"changes": 1}
    moment = timezone.now()
    auditlog.event("org.updated", tenant=story, actor="user:1")
    with auditlog.context(ip="192.0.2.9"):
        auditlog.event("org.updated", tenant=story, actor="user:1")
    assert auditlog.erase(story, fields=["context"], before=moment, reason="old addresses").values == {"context": 6}
    assert "192.0.2.7" not in everything(story)
    assert "192.0.2.9" in everything(story)
    assert auditlog.erase(story, fields=["context"], before=moment, reason="again").events == 0
    assert auditlog.verify(story).verdict == "VALID_WITH_GAPS"


def test_a_dry_run_counts_and_changes_nothing(story: str, ada: User) -> None:
    before = everything(story)
    report = auditlog.erase(story, subject=ada, reason="r", dry_run=True)
    assert (report.events, report.is_dry_run) == (4, True)
    assert everything(story) == before
    assert auditlog.verify(story).verdict == "VALID"


def test_what_verification_reads_is_never_erased(acme: Organization) -> None:
    auditlog.event("org.updated", tenant=acme, metadata={"who": "ada"})
    with pytest.raises(MalformedError, match="text that is to be erased"):
        auditlog.erase(acme, mentions=["ada"], reason="first: Ada")
    auditlog.erase(acme, mentions=["who"], reason="first")
    auditlog.erase(acme, mentions=["first"], reason="second")
    auditlog.erase(acme, fields=FIELDS, reason="all of it")
    report = auditlog.verify(acme)
    assert report.verdict == "VALID_WITH_GAPS", report.findings
    assert Event.objects.filter(tenant=str(acme.pk), action="audit.log.opened").get().disclosed()["metadata"]["nonce"]


def test_an_erasure_covers_only_what_it_names(story: str, ada: User) -> None:
    auditlog.erase(story, subject=ada, reason="r")
    with guards_lifted():
        event = Event.objects.filter(tenant=story, target_id="7").get()
        with connection.cursor() as cursor:
            cursor.execute(
                "UPDATE auditkit_django_event SET disclosures = NULL, actor_id = NULL, actor_type = NULL, target_id = NULL,"
                " target_type = NULL WHERE target_id = '7'"
            )
    found = auditlog.verify(story).findings
    assert {one.code for one in found} == {"disclosure.missing"}
    assert {one.event_id for one in found} == {event.id}
    assert len(found) == 4


def test_an_erasure_that_is_not_in_the_log_or_speaks_of_later_events_excuses_nothing(story: str, ada: User) -> None:
    forged = {"erased": [{"epoch": 0, "fields": list(FIELDS), "seqs": "0-1000"}], "reason": "trust me"}
    with pytest.raises(MalformedError, match="which the log alone records"):
        auditlog.event("audit.subject.erased", tenant=story, resource="data_subject:1", metadata=forged)
    now = timezone.now()
    event = own_event(story, "audit.subject.erased", target=auditlog.Target("x"), metadata=forged, now=now)
    insert_own_event(connection, event)  # type: ignore[arg-type]
    with transaction.atomic():
        beyond = own_event(story, "audit.subject.erased", target=auditlog.Target("x"), metadata=forged, now=now)
        append_control(locked_log(story), beyond, now=now)
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_event SET disclosures = NULL WHERE target_id = '7'")
    assert "disclosure.missing" in {one.code for one in auditlog.verify(story).findings}


def test_the_database_refuses_what_is_no_erasure(story: str) -> None:
    changes = [
        "UPDATE auditkit_django_event SET action = 'x.y'",
        "UPDATE auditkit_django_event SET disclosures = disclosures || ' '",
        "UPDATE auditkit_django_event SET actor_id = 'mallory'",
        "DELETE FROM auditkit_django_event",
    ]
    if connection.vendor == "sqlite":
        changes = changes[3:]  # Its triggers know no more than that there is an update.
    for sql in changes:
        with pytest.raises(Error), transaction.atomic(), guards.permitted(connection, "erase"):
            connection.cursor().execute(sql)
    assert guards.problems(connection) == []
    with pytest.raises(Error), transaction.atomic():
        connection.cursor().execute("UPDATE auditkit_django_event SET disclosures = NULL")
    with pytest.raises(Error), transaction.atomic(), guards.permitted(connection, "erase"):
        connection.cursor().execute("DELETE FROM auditkit_django_entry")
    assert guards.problems(connection) == []


def test_another_tenants_events_are_never_touched(story: str, globex: Organization, ada: User) -> None:
    auditlog.event("org.updated", tenant=globex, actor=ada, resource=ada, metadata={"mail": ada.email})
    append_now()
    before = everything(str(globex.pk))
    auditlog.erase(story, subject=ada, mentions=[ada.email], reason="r")
    auditlog.erase(story, fields=FIELDS, reason="r")
    assert everything(str(globex.pk)) == before


def test_reads_that_are_being_counted_are_settled_first(
    settings: SettingsWrapper, acme: Organization, ada: User
) -> None:
    from auditkit_django.hooks.repeated_reads import record_read
    from auditkit_django.models import RepeatedRead

    for _ in range(3):
        record_read(action="data.record.viewed", resource="patient:1", tenant=acme, actor=ada)
    assert RepeatedRead.objects.get().draft
    auditlog.erase(acme, subject=ada, reason="r")
    assert not RepeatedRead.objects.exists()
    assert ada.email not in everything(str(acme.pk))
    assert Event.objects.filter(tenant=str(acme.pk), action="data.record.viewed").count() == 2
    assert auditlog.verify(acme).is_valid


def test_a_legal_hold_keeps_everything(story: str, ada: User) -> None:
    place_hold(story, reason="Smith v. Acme", actor=auditlog.Actor("user", "501"))
    before = everything(story)
    with pytest.raises(RetentionError, match="legal hold since .*Smith v. Acme"):
        auditlog.erase(story, subject=ada, reason="r")
    with pytest.raises(RetentionError, match="second one"):
        place_hold(story, reason="again")
    assert everything(story) == before
    lift_hold(story, reason="settled")
    with pytest.raises(RetentionError, match="got none"):
        lift_hold(story, reason="settled")
    assert auditlog.erase(story, subject=ada, reason="r").events == 4
    told = Event.objects.filter(tenant=story, action="audit.retention.changed").order_by("recorded_at")
    assert [one.disclosed()["metadata"]["retention"] for one in told] == ["legal hold placed", "legal hold lifted"]
    assert not LegalHold.objects.exists()
    assert auditlog.verify(story).is_valid


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "neither a subject nor a mention nor fields"),
        ({"fields": ["actor", "salary"]}, "got salary, wanted some of actor, changes"),
        ({"mentions": ["  "]}, "empty text"),
        ({"subject": "system"}, "without an id"),
        ({"mentions": "ada@example.com"}, "wanted a list of texts"),
        ({"mentions": [5]}, "wanted a list of texts"),
        ({"fields": "actor"}, "wanted a list of texts"),
        ({"subject": "user:1", "before": datetime(2026, 1, 1)}, "naive"),
        ({"subject": "user:1", "reason": ""}, "0 characters"),
        ({"subject": "user:1", "reason": "x" * 201}, "201 characters"),
    ],
)
def test_what_cannot_be_meant_is_refused(story: str, given: dict[str, Any], said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        auditlog.erase(story, **{"reason": "r", **given})
    assert auditlog.verify(story).verdict == "VALID"


def test_a_tenant_without_a_log_is_said() -> None:
    with pytest.raises(UnknownTenantError):
        auditlog.erase("nobody", subject="user:1", reason="r")


def test_a_subject_of_many_scattered_events_is_told_in_several(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditkit_django.log.erase._RANGES", 20)
    for number in range(24):
        auditlog.event("org.updated", tenant=acme, actor=f"user:{number % 2}")
    report = auditlog.erase(acme, subject="user:1", reason="r")
    assert report.events == 12
    # "2,4,6,8,10,12,14,16" and the rest, in pieces of 20 characters.
    assert Event.objects.filter(action="audit.subject.erased").count() == 2
    assert auditlog.verify(acme).is_valid


def test_ranges_are_written_and_read() -> None:
    seqs = [0, 1, 2, 5, 7, 8, 9, 10, 2**52]
    assert ",".join(format_ranges(seqs)) == f"0-2,5,7-10,{2**52}"
    assert parse_ranges("0-2,5,7-10") == [(0, 2), (5, 5), (7, 10)]
    assert list(format_ranges([])) == []


def test_values_that_were_erased_while_we_verified_are_no_finding(
    story: str, ada: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditkit_django.log import verify as verifying

    read = verifying.stored_entries

    def late(*args: Any, **kwargs: Any) -> Any:
        erase(story, Erasure(subjects=(("user", str(ada.pk)),)), reason="meanwhile")
        monkeypatch.setattr(verifying, "stored_entries", read)
        return read(*args, **kwargs)

    monkeypatch.setattr(verifying, "stored_entries", late)
    assert verify(story).verdict == "VALID_WITH_GAPS"


def test_the_command_says_what_would_go_and_does_it_when_told(
    story: str, ada: User, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["auditkit_erase", "--tenant", story, "--subject", f"user:{ada.pk}", "--reason", "request"]
    call_command(*told)
    printed = capsys.readouterr().out
    assert f"{story}: values of 4 events would be erased" in printed
    assert "--yes does it" in printed
    call_command(*told, "--yes", "--json", "--actor", "user:5")
    assert json.loads(capsys.readouterr().out)["events"] == 4
    assert Event.objects.get(action="audit.subject.erased").actor_id == "5"
    for wrong, said in (
        (["--before", "yesterday"], "wanted a time with its zone"),
        (["--subject", "system"], 'wanted "type:id"'),
        (["--tenant", "nobody"], "wanted one with a log"),
    ):
        with pytest.raises(CommandError, match=said):
            call_command(*told, *wrong)


def test_the_page_says_erased(story: str, acme: Organization, ada: User, client: Any) -> None:
    event = Event.objects.filter(tenant=story, actor_id=str(ada.pk)).latest("recorded_at")
    auditlog.erase(story, subject=ada, reason="r")
    client.force_login(ada)
    page = client.get(f"/o/{acme.slug}/audit/events/{event.pk}/").content.decode()
    assert "rased" in page
    assert ada.email not in page.split("</nav>")[-1]


def test_a_model_of_a_hosts_own_is_found_as_actor_and_as_target(acme: Organization, ada: User) -> None:
    from tests.host.models import Organization as Model

    auditlog.event("org.updated", tenant=acme, resource=acme, actor=acme)
    report = auditlog.erase(acme, subject=Model.objects.get(pk=acme.pk), reason="request")
    assert report.values["actor"] == report.values["targets"] == 1


def test_numbers_and_other_ways_to_write_a_letter_are_found(acme: Organization) -> None:
    auditlog.event("org.updated", tenant=acme, metadata={"phone": 4917612345678})
    auditlog.event("org.updated", tenant=acme, metadata={"name": "Jose\u0301"})
    report = auditlog.erase(acme, mentions=["4917612345678", "Jos\u00e9"], reason="request")
    assert report.values == {"metadata": 2}


def test_an_event_that_cannot_be_read_keeps_no_other_from_being_erased(acme: Organization, ada: User) -> None:
    auditlog.event("org.updated", tenant=acme, actor=ada)
    auditlog.event("org.updated", tenant=acme, actor=ada, resource="org:2")
    append_now()
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_event SET disclosures = 'no json' WHERE target_id = '2'")
    report = auditlog.erase(acme, subject=ada, reason="request")
    assert (report.values, report.left) == ({"actor": 1}, 1)


def test_personal_data_in_what_hosts_record_about_the_log_goes_too(acme: Organization) -> None:
    auditlog.event("audit.log.exported", tenant=acme, metadata={"filter": "actor:ada@example.com"})
    assert auditlog.erase(acme, mentions=["ada@example.com"], reason="request").values == {"metadata": 1}
    assert auditlog.verify(acme).is_valid
