"""The admin: read-only for everybody, one tenant at a time, by key and without counting."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse

from auditkit_django import auditlog
from auditkit_django.admin import EventAdmin, LogAdmin
from auditkit_django.drafts import Actor, Change, Target
from auditkit_django.models import Event, Log, Pending
from auditkit_django.testing import append_now, guards_lifted

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db

EVENTS = "/admin/auditkit_django/event/"
LOGS = "/admin/auditkit_django/log/"


@pytest.fixture
def superuser(client: Client, make_user: Callable[..., User]) -> Client:
    """A client signed in as a superuser."""
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


@pytest.fixture
def staff(make_user: Callable[..., User]) -> Callable[..., Client]:
    """Makes a client of a staff user with just these permissions."""

    def make(*codenames: str) -> Client:
        user = make_user(f"staff-{uuid4().hex[:6]}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client()
        client.force_login(user)
        return client

    return make


def invite(tenant: Organization, number: int = 1, **rest: Any) -> Any:
    target = Target("invitation", str(number), f"guest{number}@example.org")
    actor = Actor("user", "77", "Grace Hopper")
    return auditlog.event(**{"action": "member.invited", "tenant": tenant, "actor": actor, "resource": target, **rest})


def of(tenant: Organization, **query: str) -> dict[str, str]:
    return {"tenant__exact": str(tenant.pk), **query}


def text(response: Any) -> str:
    return response.content.decode()


def guests(response: Any) -> list[int]:
    return [int(number) for number in re.findall(r">[^<]*invited guest(\d+)@", text(response))]


def run(client: Client, address: str, action: str, *selected: object) -> Any:
    return client.post(address, {"action": action, "_selected_action": [str(key) for key in selected]}, follow=True)


def exported(tenant: Organization) -> list[Any]:
    return list(auditlog.list(tenant, action="audit.log.exported"))


# Read-only


@pytest.mark.parametrize("model", [Event, Log])
def test_superusers_cannot_add_change_or_delete(superuser: Client, acme: Organization, rf: Any, model: Any) -> None:
    invite(acme)
    append_now()
    request = rf.get("/")
    request.user = superuser.get("/admin/").wsgi_request.user
    model_admin = admin.site._registry[model]
    assert model_admin.has_view_permission(request)
    assert not model_admin.has_add_permission(request)
    assert not model_admin.has_change_permission(request)
    assert not model_admin.has_delete_permission(request)
    assert "delete_selected" not in model_admin.get_actions(request)
    for name in ("add", "delete", "history"):
        with pytest.raises(NoReverseMatch):
            reverse(f"admin:auditkit_django_{model._meta.model_name}_{name}", args=[] if name == "add" else ["x"])


def test_a_post_to_a_detail_page_changes_nothing(superuser: Client, acme: Organization) -> None:
    event_id = invite(acme)
    append_now()
    log = Log.objects.get()
    assert superuser.post(f"{EVENTS}{acme.pk}_3A{event_id.hex}/change/", {"action": "x"}).status_code == 403
    assert superuser.post(f"{LOGS}{log.pk}/change/", {"tenant": "x"}).status_code == 403
    assert superuser.get(f"{EVENTS}add/").status_code in (302, 404)
    assert superuser.post(f"{EVENTS}{acme.pk}_3A{event_id.hex}/delete/", {"post": "yes"}).status_code in (302, 404)
    assert Event.objects.filter(pk=event_id).exists()


def test_pending_and_entries_have_no_admin() -> None:
    registered = {model.__name__ for model in admin.site._registry}
    assert not {"Pending", "Entry"} & registered


# Permissions


def test_who_is_not_staff_is_sent_to_sign_in(client: Client, ada: User, acme: Organization) -> None:
    client.force_login(ada)
    for address in (LOGS, EVENTS, f"{EVENTS}{acme.pk}_3A{uuid4().hex}/change/"):
        assert client.get(address).status_code == 302


def test_staff_without_the_permission_see_nothing(staff: Callable[..., Client], acme: Organization) -> None:
    event_id = invite(acme)
    client = staff("verify_log", "export_event")
    for address in (LOGS, EVENTS, f"{EVENTS}?tenant__exact={acme.pk}", f"{EVENTS}{acme.pk}_3A{event_id.hex}/change/"):
        assert client.get(address).status_code == 403


def test_actions_are_offered_only_with_their_permission(staff: Callable[..., Client], acme: Organization) -> None:
    invite(acme)
    append_now()
    log = Log.objects.get()
    viewer = staff("view_log", "view_event")
    assert 'value="verify_log"' not in text(viewer.get(LOGS))
    assert 'value="export_as_csv"' not in text(viewer.get(LOGS)) + text(viewer.get(EVENTS, of(acme)))
    run(viewer, LOGS, "verify_log", log.pk)
    run(viewer, LOGS, "export_as_csv", log.pk)
    assert Log.objects.get().verified_at is None
    assert exported(acme) == []
    assert 'value="verify_log"' in text(staff("view_log", "verify_log").get(LOGS))


# Events


def test_events_are_asked_for_one_tenant_at_a_time(superuser: Client, acme: Organization, globex: Organization) -> None:
    invite(acme, 1)
    invite(globex, 2)
    for query in (
        "",
        "?tenant__exact=",
        f"?tenant__exact={acme.pk}&tenant__exact={globex.pk}",
        "?tenant__in=1,2",
        "?e=1",
    ):
        response = superuser.get(EVENTS + query)
        assert response.status_code == 200
        assert "read one tenant at a time" in text(response)
        assert guests(response) == []
    assert guests(superuser.get(EVENTS, of(acme))) == [1]


@pytest.mark.parametrize("query", ["tenant__startswith=", "tenant__in={0},{1}", "tenant={1}", "tenant__regex=.*"])
def test_no_further_parameter_widens_the_list(
    superuser: Client, acme: Organization, globex: Organization, query: str
) -> None:
    invite(globex, 2)
    response = superuser.get(f"{EVENTS}?tenant__exact={acme.pk}&{query.format(acme.pk, globex.pk)}", follow=True)
    assert guests(response) == []


def test_the_list_shows_sentence_action_and_seq(superuser: Client, acme: Organization) -> None:
    invite(acme, 1)
    append_now()
    invite(acme, 2)
    page = text(superuser.get(EVENTS, of(acme)))
    for expected in ("Grace Hopper invited guest1@example.org", ">#1<", ">pending<", "member.invited"):
        assert expected in page


def test_the_search_is_exact_on_actor_target_and_action(superuser: Client, acme: Organization) -> None:
    invite(acme, 1)
    invite(acme, 2, actor=Actor("user", "78", "Alan Turing"))
    invite(acme, 3, action="member.removed")
    assert guests(superuser.get(EVENTS, of(acme, q="78"))) == [2]
    assert guests(superuser.get(EVENTS, of(acme, q="2"))) == [2]
    assert guests(superuser.get(EVENTS, of(acme, q="member.invited"))) == [2, 1]
    assert guests(superuser.get(EVENTS, of(acme, q="member"))) == []
    assert guests(superuser.get(EVENTS, of(acme, outcome="denied"))) == []
    assert guests(superuser.get(EVENTS, of(acme, outcome="success", q="78"))) == [2]


def test_pages_follow_each_other_by_key(superuser: Client, acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(EventAdmin, "list_per_page", 4)
    moment = invite(acme, 0) and Event.objects.get().occurred_at
    for number in range(1, 11):
        invite(acme, number, occurred_at=moment)
    found: list[int] = []
    address: str | None = f"{EVENTS}?tenant__exact={acme.pk}&q=member.invited"
    while address:
        page = superuser.get(address)
        found += guests(page)
        following = re.search(r'<a href="([^"]+)" rel="next">', text(page))
        address = EVENTS + following[1].replace("&amp;", "&") if following else None
    assert sorted(found) == list(range(11))


@pytest.mark.parametrize("after", ["x", "WzFd:aaa:bbb"])
def test_a_page_key_that_is_not_ours_leads_back(superuser: Client, acme: Organization, after: str) -> None:
    assert superuser.get(EVENTS, of(acme, after=after)).status_code == 302


@pytest.mark.parametrize("address", [EVENTS, LOGS])
def test_the_number_of_queries_does_not_grow_and_nothing_is_counted(
    superuser: Client, acme: Organization, make_organization: Callable[[str], Organization], address: str
) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            assert superuser.get(address, of(acme) if address == EVENTS else {}).status_code == 200
        return [query["sql"] for query in captured.captured_queries]

    invite(acme)
    superuser.get(address, of(acme) if address == EVENTS else {})
    append_now()
    few = queries()
    for number in range(110):
        invite(acme, number)
    for number in range(5):
        invite(make_organization(f"org{number}"))
    append_now()
    many = queries()
    assert len(few) == len(many) <= 6
    assert not [sql for sql in many if "COUNT(" in sql or "OFFSET" in sql]


# One event


def test_an_event_is_found_by_tenant_and_id(superuser: Client, acme: Organization, globex: Organization) -> None:
    event_id = invite(acme, changes=[Change("role", "member", "admin")], metadata={"note": "x\u202ey"})
    append_now()
    address = re.search(r'href="([^"]+/change/[^"]*)"', text(superuser.get(EVENTS, of(acme))).partition("results")[2])
    assert address is not None
    listed = auditlog.list(acme, action="member.invited")[0]
    addresses = [f"{EVENTS}{acme.pk}_3A{event_id.hex}/change/"]
    for page in map(text, map(superuser.get, addresses)):
        assert listed.entry is not None
        for expected in (
            str(event_id),
            "x\\u202ey",
            "&quot;new&quot;: &quot;admin&quot;",
            listed.entry.decode()[:40].replace('"', "&quot;"),
        ):
            assert expected in page
        assert "\u202e" not in page
    for key in (
        f"{globex.pk}_3A{event_id.hex}",
        event_id.hex,
        str(event_id),
        f"{acme.pk}_3Ax",
        "_3A",
        f"{acme.pk}_3A{uuid4().hex}",
    ):
        response = superuser.get(f"{EVENTS}{key}/change/")
        assert response.status_code == 302, key
        assert response["Location"] == "/admin/"


def test_every_link_of_the_list_leads_to_its_event(superuser: Client, acme: Organization) -> None:
    invite(acme, 1)
    page = text(superuser.get(EVENTS, of(acme)))
    links = re.findall(r'href="(/admin/auditkit_django/event/[^"?]+/change/)[^"]*">([^<]+)<', page)
    assert {sentence for _address, sentence in links} >= {"Grace Hopper invited guest1@example.org"}
    for address, sentence in links:
        assert sentence in text(superuser.get(address))


def test_tenant_keys_with_odd_characters_lead_to_their_events(superuser: Client) -> None:
    key = "a:b/c_3A?&#é %"
    event_id = auditlog.event("member.invited", tenant=key, actor="service:x", metadata={"role": "admin"})
    append_now()
    logs = text(superuser.get(LOGS))
    [events] = re.findall(r'href="(/admin/auditkit_django/event/\?[^"]+)"', logs)
    page = text(superuser.get(events.replace("&amp;", "&")))
    addresses = re.findall(r'href="(/admin/auditkit_django/event/[^"?]+/change/)', page)
    assert addresses
    assert any(str(event_id) in text(superuser.get(address)) for address in addresses)


def test_content_changed_by_hand_never_breaks_a_page(superuser: Client, acme: Organization) -> None:
    event_id = invite(acme)
    append_now()
    with guards_lifted(), connection.cursor() as cursor:
        broken = '{"actor":["s","actor",7],"targets":["s","targets",["x"]]}'
        cursor.execute("UPDATE auditkit_django_event SET disclosures = %s WHERE action = 'member.invited'", [broken])
    assert superuser.get(EVENTS, of(acme)).status_code == 200
    assert superuser.get(f"{EVENTS}{acme.pk}_3A{event_id.hex}/change/").status_code == 200


def test_markup_in_events_is_escaped(superuser: Client, acme: Organization) -> None:
    payload = "<script>alert(1)</script>"
    event_id = invite(acme, actor=Actor("user", "1", payload), metadata={payload: payload})
    append_now()
    for response in (superuser.get(EVENTS, of(acme)), superuser.get(f"{EVENTS}{acme.pk}_3A{event_id.hex}/change/")):
        assert payload not in text(response)
        assert "&lt;script&gt;" in text(response)


def test_looking_is_recorded_in_the_tenants_own_log(superuser: Client, acme: Organization) -> None:
    invite(acme)
    superuser.get(EVENTS, of(acme))
    superuser.get(EVENTS, of(acme))
    [viewing] = auditlog.list(acme, action="audit.log.viewed")
    assert viewing.actor is not None
    assert (viewing.actor["name"], viewing.metadata) == ("root", {"through": "admin"})


# Logs


def test_logs_are_listed_with_how_they_stand(superuser: Client, acme: Organization, globex: Organization) -> None:
    invite(acme)
    invite(globex)
    append_now()
    auditlog.verify(acme)
    invite(globex)
    page = text(superuser.get(LOGS))
    assert ">VALID<" in page
    assert "never verified" in page
    assert page.count("icon-yes") == page.count("icon-no") == 1  # pending
    assert f"/admin/auditkit_django/event/?tenant__exact={acme.pk}" in page
    assert text(superuser.get(LOGS, {"q": str(acme.pk)})).count("Show events") == 1


def test_logs_are_paged_by_key(
    superuser: Client, make_organization: Callable[[str], Organization], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LogAdmin, "list_per_page", 3)
    for number in range(7):
        invite(make_organization(f"org{number}"))
    append_now()
    found: list[str] = []
    address: str | None = LOGS
    while address:
        page = text(superuser.get(address))
        found += re.findall(r"tenant__exact=(\d+)", page)
        following = re.search(r'<a href="([^"]+)" rel="next">', page)
        address = LOGS + following[1].replace("&amp;", "&") if following else None
    assert len(found) == len(set(found)) == 7


def test_a_log_has_a_page(superuser: Client, acme: Organization) -> None:
    invite(acme)
    append_now()
    log = Log.objects.get()
    page = text(superuser.get(f"{LOGS}{log.pk}/change/"))
    assert log.origin in page
    assert bytes(log.head_hash).hex() in page
    assert "/history/" not in page


def test_verify_this_log_says_verdict_and_first_finding(superuser: Client, acme: Organization) -> None:
    invite(acme)
    append_now()
    log = Log.objects.get()
    assert "VALID, 2 of 2 entries checked" in text(run(superuser, LOGS, "verify_log", log.pk))
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_event SET severity = 'critical' WHERE action = 'member.invited'")
    page = text(run(superuser, LOGS, "verify_log", log.pk))
    assert "INVALID, 2 of 2 entries checked. First finding: #1: " in page
    assert 'class="error"' in page


def test_a_log_is_exported_as_a_streamed_attachment_and_the_export_is_recorded(
    superuser: Client, acme: Organization, globex: Organization
) -> None:
    invite(acme, 1)
    invite(globex, 2)
    append_now()
    log = Log.objects.get(tenant=str(acme.pk))
    response = run(superuser, LOGS, "export_as_csv", log.pk)
    assert response.streaming
    assert response["Content-Disposition"] == 'attachment; filename="audit-log.csv"'
    assert {"private", "no-store"} <= set(response["Cache-Control"].split(", "))
    assert response["X-Content-Type-Options"] == "nosniff"
    rows = list(csv.DictReader(response.getvalue().decode().splitlines()))
    assert [row["action"] for row in rows if row["target_id"] == "1"] == ["member.invited"]
    assert "guest2" not in str(rows)
    [export] = exported(acme)
    assert export.actor["name"] == "root"
    assert exported(globex) == []


def test_two_logs_are_not_exported_into_one_file(superuser: Client, acme: Organization, globex: Organization) -> None:
    invite(acme)
    invite(globex)
    append_now()
    response = run(superuser, LOGS, "export_as_csv", *Log.objects.values_list("pk", flat=True))
    assert "Select one log" in text(response)
    assert exported(acme) == exported(globex) == []


def test_selected_events_are_exported_and_no_others(
    superuser: Client, acme: Organization, globex: Organization
) -> None:
    ids = [invite(acme, number) for number in range(3)]
    foreign = invite(globex, 9)
    address = f"{EVENTS}?tenant__exact={acme.pk}"
    response = run(superuser, address, "export_as_csv", ids[0], ids[2], foreign)
    rows = list(csv.DictReader(response.getvalue().decode().splitlines()))
    assert [row["target_id"] for row in rows] == ["0", "2"]
    [export] = exported(acme)
    assert export.metadata["filter"] == {"ids": f"{ids[2].hex} {ids[0].hex}"}
    assert exported(globex) == []
    assert Pending.objects.filter(tenant=str(globex.pk)).count() == 1
