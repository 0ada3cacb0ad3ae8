"""The forms of an export, in the admin and on the trail: what is asked for is what is downloaded, and it verifies."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from django.test import Client
from django.urls import include, path
from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.drafts import Actor, Target
from auditkit_django.evidence import report
from auditkit_django.ledger.evidence.check import verify_evidence
from auditkit_django.ledger.evidence.report import EvidenceReport
from auditkit_django.log.seal import seal
from auditkit_django.models import Checkpoint, Log
from auditkit_django.query.filters import EventFilter
from auditkit_django.testing import append_now
from auditkit_django.trail import urls as trail_urls
from auditkit_django.trail.access import TrailView
from auditkit_django.trail.forms import FilterForm
from tests.evidence.making import NOW, key
from tests.host.models import Organization

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

LOGS = "/admin/auditkit_django/log/"
PAGE = "/o/acme/audit/evidence/"
PLAIN = {"start": "", "end": "", "note": ""}
ADMIN = {**PLAIN, "action": "export_evidence", "ordered": "1", "sample": "5", "seed": "x"}
PROVEN = ("bundle", "csv", "json", "jsonl")


@pytest.fixture
def sealed(acme: Organization) -> Organization:
    """A tenant with seven sealed events of its own."""
    for number in range(6):
        target = Target("invitation", str(number), f"guest{number}@acme.example")
        action = "member.invited" if number % 2 else "org.updated"
        with auditlog.context(ip="203.0.113.9"):
            auditlog.event(action, tenant=acme, actor=Actor("user", "77", "Grace"), resource=target)
    append_now()
    seal(str(acme.pk))
    return acme


@pytest.fixture
def owner(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


@pytest.fixture
def admin(make_user: Callable[..., User]) -> Client:
    found = Client()
    found.force_login(make_user("root", is_staff=True, is_superuser=True))
    return found


def content(response: Any) -> bytes:
    assert response.status_code == 200, response.content
    assert response.streaming, response.content.decode()
    return bytes(response.getvalue())


def verified(data: bytes, acme: Organization, **given: Any) -> EvidenceReport:
    return verify_evidence(io.BytesIO(data), [key(str(acme.pk))], **given)


def exports(acme: Organization) -> list[Any]:
    return list(auditlog.list(acme, action="audit.log.exported"))


def ask(admin: Client, tenant: Organization, **given: Any) -> Any:
    """Send the form of the admin; its filter on an action is called ``of``."""
    of = given.pop("of", "")
    log = Log.objects.get(tenant=str(tenant.pk))
    return admin.post(LOGS, {**ADMIN, "_selected_action": log.pk, "kind": "jsonl", "of_action": of, **given})


# The admin


def test_the_admin_asks_what_is_wanted_and_says_how_the_log_stands(admin: Client, sealed: Organization) -> None:
    log = Log.objects.get()
    page = admin.post(LOGS, {"action": "export_evidence", "_selected_action": log.pk}).content.decode()
    assert "of 7 entries, sealed" in page
    assert f'name="_selected_action" value="{log.pk}"' in page
    assert exports(sealed) == []


@pytest.mark.parametrize("kind", PROVEN)
def test_the_admin_exports_what_verifies(admin: Client, sealed: Organization, kind: str) -> None:
    response = ask(admin, sealed, kind=kind)
    assert response["X-Content-Type-Options"] == "nosniff"
    suffix = "zip" if kind == "bundle" else kind
    assert response["Content-Disposition"] == f'attachment; filename="audit-log.{suffix}"'
    found = verified(content(response), sealed)
    assert (found.verdict, found.findings) == ("VALID", ())
    assert found.totals is not None
    assert found.totals.events == 7
    [event] = exports(sealed)
    assert event.actor["name"] == "root"
    assert found.manifest is not None
    assert found.manifest.export_event == str(event.id)


def test_the_admin_searches_and_marks_what_makes_no_sense(admin: Client, sealed: Organization) -> None:
    found = verified(content(ask(admin, sealed, query="-action:audit.* -action:org.*")), sealed)
    assert found.manifest is not None
    assert found.manifest.filter == {"query": "-action:audit.* -action:org.*"}
    before = len(exports(sealed))
    page = ask(admin, sealed, query="outcme:failure <b>").content.decode()
    assert "at character 1, got the field &quot;outcme&quot;" in page
    assert "<b>" not in page.partition("outcme")[2][:200]
    assert "at character 3, got the field" in ask(admin, sealed, query="  outcme:x").content.decode()
    found = verified(content(ask(admin, sealed, query="  ")), sealed)
    assert found.manifest is not None
    assert not found.manifest.filter
    before += 1
    assert len(exports(sealed)) == before


def test_the_admin_filters_withholds_and_leads_on_from_a_note(admin: Client, sealed: Organization) -> None:
    note = Checkpoint.objects.get().note
    auditlog.event("org.updated", tenant=sealed)
    append_now()
    seal(str(sealed.pk))
    today = f"{NOW:%Y-%m-%d}"
    data = content(
        ask(
            admin,
            sealed,
            of="member.*",
            withheld=["actor"],
            note=note.replace("\n", "\r\n"),
            start="2026-01-01",
            end=today,
        )
    )
    found = verified(data, sealed, since=[note])
    assert found.findings == ()
    assert {one.code for one in found.gaps} == {"check.left_out", "check.withheld"}
    assert found.manifest is not None
    assert found.totals is not None
    assert (found.manifest.filter, found.manifest.withheld) == ({"action": "member.*"}, ("actor",))
    assert found.totals.events == 3
    assert b"Grace" not in data


@pytest.mark.parametrize("kind", ["listing", "xlsx", "parquet"])
def test_copies_are_for_reading(admin: Client, sealed: Organization, kind: str) -> None:
    data = content(ask(admin, sealed, kind=kind))
    assert data.startswith({"listing": b'"seq"', "xlsx": b"PK", "parquet": b"PAR1"}[kind])
    assert verified(data, sealed).verdict in ("INCOMPLETE", "INVALID")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"kind": "docx"}, "docx is not one of the available choices"),
        ({"start": "2026-02-30"}, "Enter a valid date"),
        ({"start": "2026-02-02", "end": "2026-02-01"}, "before the first one"),
        ({"note": "no note"}, "note: got"),
        ({"note": "no note", "kind": "xlsx"}, "cannot lead on"),
        ({"withheld": ["salary"]}, "salary is not one of the available choices"),
        ({"of": "*.x"}, "wanted a name or a prefix"),
        ({"sample": "-1"}, "greater than or equal to 0"),
        ({"seed": "é"}, "valid value"),
        ({"pdf": "on"}, "Only a bundle"),
    ],
)
def test_what_cannot_be_meant_is_said_beside_its_field(
    admin: Client, sealed: Organization, given: dict[str, Any], said: str
) -> None:
    response = ask(admin, sealed, **given)
    assert response.status_code == 200
    page = response.content.decode()
    assert said in page
    assert 'role="alert"' in page
    assert exports(sealed) == []


def test_a_log_that_was_never_sealed_and_a_library_that_is_missing_are_said(
    admin: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    auditlog.event("org.updated", tenant=acme)
    append_now()
    assert "never sealed" in ask(admin, acme, kind="x").content.decode()
    assert "has no checkpoint" in ask(admin, acme).content.decode()
    seal(str(acme.pk))

    def missing(_name: str) -> None:
        raise ImportError("no such library")

    monkeypatch.setattr(report, "import_module", missing)
    assert "auditkit-django[pdf]" in ask(admin, acme, kind="bundle", pdf="on").content.decode()
    assert exports(acme) == []


def test_two_logs_are_not_exported_into_one_file(admin: Client, sealed: Organization, globex: Organization) -> None:
    auditlog.event("org.updated", tenant=globex)
    append_now()
    keys = list(Log.objects.values_list("pk", flat=True))
    page = admin.post(LOGS, {"action": "export_evidence", "_selected_action": keys}, follow=True)
    assert "Select one log" in page.content.decode()
    assert exports(sealed) == exports(globex) == []


def test_selected_events_are_exported_with_their_proof(admin: Client, sealed: Organization) -> None:
    ids = [event.id for event in auditlog.list(sealed, action="member.invited")][:2]
    data = content(
        admin.post(
            f"/admin/auditkit_django/event/?tenant__exact={sealed.pk}",
            {"action": "export_with_proof", "_selected_action": [str(one) for one in ids]},
        )
    )
    found = verified(data, sealed)
    assert found.findings == ()
    assert found.totals is not None
    assert (found.totals.events, found.totals.left_out) == (2, 5)


# The trail


@pytest.mark.parametrize("kind", PROVEN)
def test_a_customer_exports_what_verifies(owner: Client, sealed: Organization, kind: str) -> None:
    page = owner.get(PAGE).content.decode()
    assert "7 entries that were sealed" in page
    data = content(owner.post(PAGE, {**PLAIN, "kind": kind}))
    found = verified(data, sealed)
    assert found.verdict == "VALID"
    if kind == "bundle":
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert "Acme" in re.sub(r"<title>.*?</title>", "", archive.read("report.html").decode(), flags=re.DOTALL)
    [event] = exports(sealed)
    assert event.actor["name"] == "Ada Lovelace"


def test_the_filter_of_the_list_comes_along(owner: Client, sealed: Organization) -> None:
    query = urlencode({"action": "member.*", "start": "2026-01-01"})
    listed = owner.get(f"/o/acme/audit/?{query}").content.decode()
    assert f'href="{PAGE}?{query.replace("&", "&amp;")}"' in listed
    page = owner.get(f"{PAGE}?{query}").content.decode()
    assert "member.*" in page
    assert 'value="2026-01-01"' in page
    data = content(owner.post(f"{PAGE}?{query}", {**PLAIN, "kind": "jsonl", "withheld": ["context"]}))
    found = verified(data, sealed)
    assert found.findings == ()
    assert found.totals is not None
    assert (found.totals.events, found.totals.left_out, found.totals.withheld) == (3, 4, 3)
    assert b"203.0.113.9" not in data


@pytest.mark.parametrize("kind", PROVEN)
def test_the_search_of_the_list_comes_along(owner: Client, sealed: Organization, kind: str) -> None:
    asked = "action:member.* -target:invitation:1"
    query = urlencode({"q": asked, "start": "2026-01-01"})
    listed = owner.get(f"/o/acme/audit/?{query}").content.decode()
    assert f'href="{PAGE}?{query.replace("&", "&amp;")}"' in listed
    page = owner.get(f"{PAGE}?{query}").content.decode()
    assert f"Search: <bdi>{asked}</bdi>" in page
    form = re.search(r'action="([^"]+)" novalidate', page)
    assert form is not None
    found = verified(content(owner.post(form[1].replace("&amp;", "&"), {**PLAIN, "kind": kind})), sealed)
    assert found.manifest is not None
    assert found.totals is not None
    assert found.manifest.filter == {"query": asked}
    # The days are those of the form, which are empty.
    assert (found.totals.events, found.totals.left_out) == (2, 5)
    [event] = exports(sealed)
    assert event.metadata["filter"] == {"query": asked}


class Recent(TrailView):
    """A host's own: nobody sees what is older than a day, or is not theirs."""

    def get_tenant(self) -> object:
        return Organization.objects.get(slug=self.kwargs["org"])

    def has_access(self, tenant: str) -> bool:
        return True

    def get_filter(self, form: FilterForm) -> EventFilter:
        return replace(super().get_filter(form), start=timezone.now() - timedelta(days=1), actor="user:77")


urlpatterns = [path("recent/<slug:org>/", include((trail_urls.patterns(Recent), "auditkit_trail")))]


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("kind", ["bundle", "csv", "json", "jsonl", "listing"])
@pytest.mark.parametrize("query", ["", "?start=2020-01-01", "?actor=user:1", "?period=90d"])
def test_the_limits_that_a_host_sets_hold_for_evidence(
    owner: Client, sealed: Organization, kind: str, query: str
) -> None:
    old = timezone.now() - timedelta(days=30)
    for actor in ("user:77", "user:1"):
        target = Target("invitation", "99", "secret-guest")
        auditlog.event("member.invited", tenant=sealed, actor=actor, resource=target, occurred_at=old)
        auditlog.event("member.invited", tenant=sealed, actor="user:1", resource=target)
    append_now()
    seal(str(sealed.pk))
    data = content(owner.post(f"/recent/acme/evidence/{query}", {**PLAIN, "kind": kind, "start": "2020-01-01"}))
    if kind == "bundle":
        # In a bundle texts are base64: that only what was left is disclosed shows it.
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.read("disclosures.jsonl").count(b"\n") == 6
            data = archive.read("entries.jsonl") + archive.read("report.html")
    assert b"secret-guest" not in data
    assert data.count(b"member.invited") >= 3


def test_an_export_is_asked_by_post_with_a_token_and_with_sense(owner: Client, ada: User, sealed: Organization) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    assert strict.post(PAGE, {**PLAIN, "kind": "csv"}).status_code == 403
    assert owner.get(PAGE, {"kind": "csv"}).streaming is False
    wrong = owner.post(PAGE, {**PLAIN, "kind": "csv", "start": "2026-02-02", "end": "2026-02-01"})
    assert wrong.status_code == 400
    assert "before the first one" in wrong.content.decode()
    assert 'aria-invalid="true"' in wrong.content.decode()
    assert owner.post(f"{PAGE}?start=x", {**PLAIN, "kind": "csv"}).status_code == 302
    assert exports(sealed) == []


def test_a_log_that_was_never_sealed_has_a_copy_to_offer(owner: Client, acme: Organization) -> None:
    auditlog.event("org.updated", tenant=acme)
    append_now()
    assert "No evidence yet" in owner.get(PAGE).content.decode()
    refused = owner.post(PAGE, {**PLAIN, "kind": "bundle"})
    assert refused.status_code == 400
    assert "has no checkpoint" in refused.content.decode()
    assert b"org.updated" in content(owner.post(PAGE, {**PLAIN, "kind": "listing"}))
