"""The trail page: who gets in, what is listed, how it is filtered and paged, and what each answer carries."""

from __future__ import annotations

import csv
import datetime as dt
import re
from html import unescape
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.http import HttpRequest
from django.test import AsyncClient, Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import include, path
from django.utils import timezone

from auditkit_django import actions, auditlog
from auditkit_django.drafts import Actor, Change, Target
from auditkit_django.models import Event
from auditkit_django.query.state import PENDING_CAP, LogState
from auditkit_django.templatetags.auditkit_visible import visible, visible_json
from auditkit_django.testing import append_now, guards_lifted
from auditkit_django.trail import urls as trail_urls
from auditkit_django.trail.access import TrailView
from auditkit_django.trail.forms import FilterForm
from auditkit_django.trail.integrity import integrity_of
from auditkit_django.trail.rows import party_of, shown
from tests.host.models import Organization

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

URL = "/o/acme/audit/"
GRACE = Actor("user", "77", "Grace Hopper", "grace@acme.example")


class OurTrail(TrailView):
    """A host's own: no resolver, another page size, and only the viewer's own events."""

    page_size = 3

    def get_tenant(self) -> object:
        return Organization.objects.get(slug=self.kwargs["customer"])

    def has_access(self, tenant: str) -> bool:
        return self.request.user.is_authenticated and self.request.user.get_username() == "ada"

    def get_filter(self, form: FilterForm) -> Any:
        form.cleaned_data["actor"] = f"user:{self.request.user.pk}"
        return super().get_filter(form)


urlpatterns = [
    path("first/<slug:customer>/", include((trail_urls.patterns(OurTrail), "auditkit_trail"), namespace="first")),
    path(
        "second/<slug:customer>/",
        include((trail_urls.patterns(OurTrail), "auditkit_trail"), namespace="second"),
        {"layout": "wide"},
    ),
]


@pytest.fixture
def owner(client: Client, ada: User) -> Client:
    """A client signed in as an owner of acme."""
    client.force_login(ada)
    return client


def invite(acme: Organization, number: int = 1, **rest: Any) -> Any:
    target = Target("invitation", str(number), f"guest{number}@acme.example")
    return auditlog.event(**{"action": "member.invited", "tenant": acme, "actor": GRACE, "resource": target, **rest})


def text(response: Any) -> str:
    return response.content.decode()


def sentences(response: Any) -> list[str]:
    return re.findall(r'class="ak-sentence"[^>]*><bdi>([^<]*)<', text(response))


# Who gets in


def test_somebody_not_signed_in_is_sent_to_sign_in_whatever_is_asked(client: Client, acme: Organization) -> None:
    for address in (URL, "/o/unknown/audit/", f"{URL}events/{uuid4()}/", f"{URL}export.csv", f"{URL}verify/"):
        response = client.get(address)
        assert response.status_code == 302
        assert response["Location"].startswith("/accounts/login/?next=/o/")


def test_an_unknown_a_foreign_and_a_refused_log_are_the_same_404(
    client: Client, acme: Organization, globex: Organization, make_user: Any
) -> None:
    client.force_login(make_user("bob", organization=acme, role="member"))
    answers = [client.get(f"/o/{slug}/audit/") for slug in ("acme", "globex", "unknown")]
    assert [answer.status_code for answer in answers] == [404, 404, 404]
    bodies = {
        answer.content.replace(slug, b"")
        for answer, slug in zip(answers, (b"acme", b"globex", b"unknown"), strict=True)
    }
    assert len(bodies) == 1


@pytest.mark.parametrize("setting", ["TRAIL_ACCESS", "TENANT_RESOLVER"])
def test_nobody_gets_in_where_the_host_has_set_nothing(owner: Client, settings: SettingsWrapper, setting: str) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, setting: None}
    assert owner.get(URL).status_code == 404


@pytest.mark.parametrize("fault", ["denied", "missing"])
def test_a_resolver_that_refuses_is_a_404_and_never_a_403(owner: Client, settings: SettingsWrapper, fault: str) -> None:
    from django.core.exceptions import PermissionDenied

    def refuse(request: HttpRequest) -> object:
        raise PermissionDenied if fault == "denied" else Organization.DoesNotExist

    settings.AUDITKIT = {**settings.AUDITKIT, "TENANT_RESOLVER": refuse}
    assert owner.get(URL).status_code == 404


def test_every_answer_keeps_the_log_out_of_frames_caches_and_scripts(owner: Client, acme: Organization) -> None:
    event_id = invite(acme)
    append_now()
    for response in (
        owner.get(URL),
        owner.get(f"{URL}events/{event_id}/"),
        owner.post(f"{URL}verify/"),
        owner.post(f"{URL}export.csv"),
        owner.get(f"{URL}verify/"),
        owner.put(URL),
        Client().get(URL),
    ):
        policy = dict(part.strip().split(" ", 1) for part in response["Content-Security-Policy"].split(";"))
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["form-action"] == "'self'"
        assert response["X-Frame-Options"] == "DENY"
        assert response["X-Content-Type-Options"] == "nosniff"
        assert response["Cache-Control"] == "private, no-store"


def test_static_files_from_elsewhere_are_allowed_by_the_policy(owner: Client, settings: SettingsWrapper) -> None:
    settings.STATIC_URL = "https://cdn.example.org/s/"
    assert "script-src 'self' https://cdn.example.org;" in owner.get(URL)["Content-Security-Policy"]


def test_pages_have_no_inline_script_style_or_handler(owner: Client, acme: Organization) -> None:
    event_id = invite(acme)
    append_now()
    for response in (owner.get(URL), owner.get(f"{URL}events/{event_id}/"), owner.post(f"{URL}verify/")):
        assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", text(response))


def test_writing_requests_need_the_csrf_token(ada: User, acme: Organization) -> None:
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(ada)
    assert strict.post(f"{URL}verify/").status_code == 403
    assert strict.post(f"{URL}export.csv").status_code == 403
    assert not Event.objects.for_tenant(acme).filter(action="audit.log.exported").exists()  # type: ignore[attr-defined]


def test_a_permalink_survives_the_sign_in(client: Client, acme: Organization) -> None:
    address = f"{URL}events/{invite(acme)}/"
    assert client.get(address)["Location"] == f"/accounts/login/?next={address}"
    assert client.post(f"{URL}verify/")["Location"] == f"/accounts/login/?next={URL}"


# The list


def test_events_are_listed_newest_first_with_actor_sentence_target_and_seq(owner: Client, acme: Organization) -> None:
    invite(acme, 1, metadata={"role": "admin"})
    invite(acme, 2, outcome="denied")
    append_now()
    page = owner.get(URL)
    assert sentences(page) == [
        "Ada Lovelace viewed the audit log",
        "The log was opened",
        "Grace Hopper invited guest2@acme.example",
        "Grace Hopper invited guest1@acme.example as admin",
    ]
    for shown_text in ("grace@acme.example", "invitation:2", ">Denied<", "#1<", "member.invited", " UTC</span>"):
        assert shown_text in text(page)


def test_what_has_no_entry_yet_is_marked_pending(owner: Client, acme: Organization) -> None:
    invite(acme)
    page = text(owner.get(URL))
    assert page.count('<span class="ak-pending">pending</span>') == 2
    assert "2 events pending" in page
    append_now()
    assert '<span class="ak-pending">pending</span>' not in text(owner.get(URL))


def test_a_log_without_events_says_so(owner: Client) -> None:
    response = owner.get(URL, {"actor": "user:nobody"})
    assert "No event matches this filter" in text(response)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("action=member.invited", {1, 2}),
        ("action=member.*", {1, 2, 3}),
        ("action=%20MEMBER.removed%20", {3}),
        ("actor=user:77", {1, 3}),
        ("actor=78", {2}),
        ("target=invitation:2", {2}),
        ("outcome=denied", {3}),
        ("start=2026-03-02", {2, 3}),
        ("end=2026-03-02", {1, 2}),
        ("start=2026-03-02&end=2026-03-02", {2}),
        ("actor=user:77&outcome=denied", {3}),
        ("actor=user:77&outcome=failure", set()),
        ("q=guest2", {2}),
        ("q=-outcome:success", {3}),
        ("q=after:2026-03-02 actor:user:77", {3}),
        ("q=action:member.* -target:invitation:1", {2, 3}),
        ("q=Turing&action=member.*", {2}),
        ("q=Turing&outcome=denied", set()),
        ("q=  ", {1, 2, 3}),
    ],
)
def test_filters_narrow_the_list(owner: Client, acme: Organization, query: str, expected: set[int]) -> None:
    def day(number: int) -> dt.datetime:
        return dt.datetime(2026, 3, number, 23, 59, 59, 999999, tzinfo=dt.UTC)

    invite(acme, 1, occurred_at=day(1))
    invite(acme, 2, occurred_at=day(2), actor=Actor("user", "78", "Alan Turing"))
    invite(acme, 3, occurred_at=day(3), action="member.removed", outcome="denied")
    found = {int(number) for number in re.findall(r"guest(\d)@", " ".join(sentences(owner.get(f"{URL}?{query}"))))}
    assert found == expected


def test_days_are_days_of_the_viewers_time_zone(owner: Client, acme: Organization) -> None:
    invite(acme, 1, occurred_at=dt.datetime(2026, 3, 1, 22, 30, tzinfo=dt.UTC))
    query = {"start": "2026-03-02", "end": "2026-03-02"}
    assert sentences(owner.get(URL, query)) == []
    with timezone.override("Europe/Helsinki"):
        assert len(sentences(owner.get(URL, query))) == 1


def test_a_period_counts_back_from_now(owner: Client, acme: Organization) -> None:
    now = timezone.now()
    for days in (0, 2, 8, 40, 100):
        invite(acme, days, occurred_at=now - dt.timedelta(days=days, minutes=1))
    counts = {
        period: len(sentences(owner.get(URL, {"period": period, "actor": "77"})))
        for period in ("24h", "7d", "30d", "90d")
    }
    assert counts == {"24h": 1, "7d": 2, "30d": 3, "90d": 4}


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"action": "Drop Table;"}, "Write an action such as member.invited"),
        ({"action": "*"}, "Write an action such as member.invited"),
        ({"action": "x" * 97}, "at most 96 characters"),
        ({"actor": "a\x00b"}, "Null characters are not allowed"),
        ({"outcome": "maybe"}, "Select a valid choice"),
        ({"start": "yesterday"}, "“yesterday” is not a date"),
        ({"end": "0001-01-01"}, "greater than or equal to"),
        ({"end": "9999-12-31"}, "less than or equal to"),
        ({"start": "2026-03-02", "end": "2026-03-01"}, "This day is before the first one"),
    ],
)
def test_a_wrong_filter_is_answered_beside_its_field_and_nothing_typed_is_lost(
    owner: Client, acme: Organization, query: dict[str, str], message: str
) -> None:
    invite(acme)
    response = owner.get(URL, {"target": "invitation:1", **query})
    name = list(query)[-1]
    assert response.status_code == 200
    assert re.search(rf'<p class="ak-error" id="ak-{name}_error">[^<]*{re.escape(message)}', text(response))
    assert f'aria-describedby="ak-{name}_error"' in text(response)
    assert 'value="invitation:1"' in text(response)
    assert sentences(response) == []


@pytest.mark.parametrize(
    ("query", "message", "marked"),
    [
        ("outcme:failure", "At character 1, got the field &quot;outcme&quot;", "o"),
        ("action:member.* outcome:maybe", "outcome: got &#x27;maybe&#x27;", "m"),
        ('"open', "At character 1", "&quot;"),
        ("OutCME:x", "got the field &quot;OutCME&quot;", "O"),
        ("after:Tuesday", "such as 2026-01-31T12:00Z", "T"),
        ("   outcme:x", "At character 4", "o"),
        ("actor:", "At character 7", "&nbsp;"),
        ("actor: x", "At character 7", "&nbsp;"),
        ("<b>:x <script>", "At character", None),
        ("a\u202e:x", "At character", None),
    ],
)
def test_a_search_that_makes_no_sense_is_marked_where_it_stops_making_it(
    owner: Client, acme: Organization, query: str, message: str, marked: str | None
) -> None:
    invite(acme)
    page = owner.get(URL, {"q": query})
    found = text(page)
    assert re.search(rf'<p class="ak-error" id="ak-q_error">[^<]*{re.escape(message)}', found), found[:3000]
    assert marked is None or f"<mark>{marked}</mark>" in found
    assert 'aria-describedby="ak-q_error"' in found
    assert re.search(r'<input[^>]* name="q"[^>]* aria-invalid="true"', found)
    assert sentences(page) == []
    assert "\u202e" not in found.partition("ak-misread")[2].partition("</p>")[0]
    assert "<script>" not in found.partition("ak-filters")[2]


def test_a_search_stays_in_links_pages_and_exports(owner: Client, acme: Organization) -> None:
    for number in range(70):
        invite(acme, number, metadata={"role": "admin" if number % 7 else "owner"})
    asked = {"q": "metadata.role:admin action:member.*"}
    page = text(owner.get(URL, asked))
    assert "Search: <bdi>metadata.role:admin action:member.*</bdi>" in page
    older = re.search(r'href="([^"]+)" rel="next"', page)
    assert older is not None
    second = owner.get(older[1].replace("&amp;", "&"))
    assert len(sentences(owner.get(URL, asked))) + len(sentences(second)) == 60
    export = re.search(r'action="(/o/acme/audit/export.csv[^"]*)"', page)
    assert export is not None
    lines = owner.post(export[1].replace("&amp;", "&")).getvalue().decode()
    assert lines.count("guest") == 60 or len(lines.splitlines()) == 61
    assert "owner" not in lines
    viewed = Event.objects.get(action="audit.log.viewed").disclosed()
    assert viewed["metadata"]["filters"] == asked
    evidence = text(owner.get(f"{URL}evidence/", asked))
    assert "metadata.role:admin" in evidence


@pytest.mark.parametrize("query", ["outcme:failure", "x" * 1001, "a\0b", '"open'])
def test_a_search_that_makes_no_sense_exports_nothing(owner: Client, acme: Organization, query: str) -> None:
    invite(acme)
    asked = urlencode({"q": query})
    for page in ("export.csv", "evidence/"):
        response = owner.post(f"{URL}{page}?{asked}", {"kind": "listing"})
        assert (response.status_code, response["Location"]) == (302, f"{URL}?{asked}")
    assert "ak-q_error" in text(owner.get(f"{URL}?{asked}"))
    assert not Event.objects.filter(action="audit.log.exported").exists()


def test_a_blank_search_is_none(owner: Client, acme: Organization) -> None:
    invite(acme)
    page = text(owner.get(URL, {"q": "  "}))
    assert "Active filters" not in page
    assert "filters" not in (Event.objects.get(action="audit.log.viewed").disclosed().get("metadata") or {})


def test_a_search_is_kept_by_the_other_filters_and_left_by_its_chip(owner: Client, acme: Organization) -> None:
    invite(acme)
    page = text(owner.get(URL, {"q": 'action:member.* "guest"', "outcome": "success"}))
    periods = re.findall(r'href="([^"]+)"[^>]*>(?:24 hours|7 days|30 days|90 days)<', page)
    assert len(periods) == 4
    assert all("q=action%3Amember.%2A+%22guest%22" in one for one in periods)
    chip = re.search(r'<a href="([^"]+)"><span class="ak-hidden">Remove filter</span> <span>Search:', page)
    assert chip is not None
    assert unescape(chip[1]) == f"{URL}?outcome=success"


def test_the_examples_are_searches(owner: Client, acme: Organization) -> None:
    invite(acme)
    page = text(owner.get(URL, {"actor": "user:77"}))
    links = re.findall(r'<dt><a href="([^"]+)"><code>([^<]+)</code></a></dt>', page)
    assert 6 <= len(links) <= 8
    for link, query in links:
        answer = owner.get(unescape(link))
        assert "ak-error" not in text(answer)
        assert f'value="{query}"' in text(answer)
        assert 'value="user:77"' in text(answer)


def test_what_is_asked_stays_in_every_link(owner: Client, acme: Organization) -> None:
    for number in range(55):
        invite(acme, number)
    page = text(owner.get(URL, {"actor": "user:77", "outcome": "success", "period": "7d"}))
    older = re.search(r'href="([^"]+)" rel="next"', page)
    assert older is not None
    assert {"actor=user%3A77", "outcome=success", "period=7d"} < set(re.split("[?&]", older[1].replace("&amp;", "&")))
    assert 'href="/o/acme/audit/?outcome=success&amp;period=7d"' in page  # the chip that removes the actor
    assert "Grace Hopper (user:77)" in page


# Paging


def test_pages_follow_each_other_without_gap_or_repeat(owner: Client, acme: Organization) -> None:
    moment = timezone.now() - dt.timedelta(hours=1)
    for number in range(120):
        invite(acme, number, occurred_at=moment)  # the same microsecond: the id decides
    found: list[str] = []
    address: str | None = f"{URL}?action=member.*&period=24h"
    pages = 0
    while address:
        page = owner.get(address)
        assert page.status_code == 200
        found += sentences(page)
        pages += 1
        older = re.search(r'href="([^"]+)" rel="next"', text(page))
        address = older[1].replace("&amp;", "&") if older else None
    assert pages == 3
    assert len(found) == len(set(found)) == 120


@pytest.mark.parametrize("cursor", ["x", "", "eyJ:aaa:bbb", "\x00", "x" * 5000])
def test_a_cursor_that_is_not_ours_is_a_400_with_a_way_back(owner: Client, acme: Organization, cursor: str) -> None:
    invite(acme)
    response = owner.get(URL, {"cursor": cursor})
    assert response.status_code == 400
    assert sentences(response) == []
    assert "Go to the newest events" in text(response)


def test_a_cursor_of_another_filter_is_refused(owner: Client, acme: Organization) -> None:
    for number in range(55):
        invite(acme, number)
    older = re.search(r'href="([^"]+)" rel="next"', text(owner.get(URL)))
    assert older is not None
    assert owner.get(older[1]).status_code == 200
    assert owner.get(older[1] + "&outcome=success").status_code == 400


def test_the_number_of_queries_does_not_grow_and_nothing_is_counted(owner: Client, acme: Organization) -> None:
    def queries() -> list[str]:
        with CaptureQueriesContext(connection) as captured:
            owner.get(URL)
        return [query["sql"] for query in captured.captured_queries]

    invite(acme)
    append_now()
    owner.get(URL)
    append_now()
    few = queries()
    for number in range(60):
        invite(acme, number)
    append_now()
    many = queries()
    assert len(many) == len(few) <= 12
    assert not [sql for sql in many if "COUNT(" in sql and "LIMIT" not in sql]
    assert not [sql for sql in many if "OFFSET" in sql]


# One event


def test_the_detail_page_shows_everything_that_is_disclosed_and_the_entry(owner: Client, acme: Organization) -> None:
    event_id = invite(
        acme,
        targets=[Target("team", "3", "Finance")],
        on_behalf_of=Actor("user", "1", "Charles Babbage"),
        changes=[Change("role", "member", "admin"), Change("pin", is_redacted=True), Change("note", None, "")],
        metadata={"ticket": "SEC-1", "nested": {"a": [1, 2]}},
    )
    append_now()
    listed = auditlog.list(acme, action="member.invited")[0]
    page = text(owner.get(f"{URL}events/{event_id}/"))
    assert listed.entry is not None
    assert listed.leaf_hash is not None
    for expected in (
        "Finance", "Charles Babbage", "<del><bdi>member</bdi></del>", "<ins><bdi>admin</bdi></ins>",
        "changed; values not recorded", "<bdi>“”</bdi>", "SEC-1", "&quot;a&quot;: [", str(event_id),
        listed.leaf_hash.hex(), listed.entry.decode().replace('"', "&quot;"),
    ):  # fmt: skip
        assert expected in page


def test_a_pending_event_has_a_page_that_explains_it(owner: Client, acme: Organization) -> None:
    page = text(owner.get(f"{URL}events/{invite(acme)}/"))
    assert "recorded and not yet in the log" in page
    assert "Exact bytes" not in page


def test_an_event_that_does_not_exist_is_a_404(owner: Client) -> None:
    assert owner.get(f"{URL}events/{uuid4()}/").status_code == 404


def test_erased_fields_are_named(owner: Client, acme: Organization) -> None:
    event_id = invite(acme, metadata={"role": "admin"})
    append_now()
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_event SET disclosures = NULL WHERE action = 'member.invited'")
    page = text(owner.get(f"{URL}events/{event_id}/"))
    assert "No longer disclosed: Actor, Metadata, Targets" in re.sub(r"\s+", " ", page) or "Erased" in page
    for name in ("Actor", "Metadata", "Targets"):
        assert name in page.partition("No longer disclosed:")[2].partition("</p>")[0]


@pytest.mark.parametrize(
    "disclosures",
    [
        '{"actor":["s","actor",7],"targets":["s","targets",["x",null]]}',
        "garbage",
        '{"changes":["s","changes",{"a":1}]}',
    ],
)
def test_content_changed_by_hand_never_breaks_a_page(owner: Client, acme: Organization, disclosures: str) -> None:
    event_id = invite(acme)
    append_now()
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute(
            "UPDATE auditkit_django_event SET disclosures = %s WHERE action = 'member.invited'", [disclosures]
        )
    assert owner.get(URL).status_code == 200
    assert owner.get(f"{URL}events/{event_id}/").status_code == 200


# Integrity


def test_verify_now_checks_the_chain_and_the_strip_remembers(owner: Client, acme: Organization) -> None:
    invite(acme)
    append_now()
    assert "Never verified" in text(owner.get(URL))
    append_now()
    assert "Chain verified through #2" in text(owner.post(f"{URL}verify/"))
    invite(acme)
    append_now()
    page = text(owner.get(URL))
    assert "Chain verified through #2" in page
    assert "1 newer entry" in page


def test_a_changed_event_is_named_in_plain_words(owner: Client, acme: Organization) -> None:
    event_id = invite(acme)
    append_now()
    with guards_lifted(), connection.cursor() as cursor:
        cursor.execute("UPDATE auditkit_django_event SET severity = 'low' WHERE action = 'member.invited'")
        cursor.execute("UPDATE auditkit_django_event SET severity = 'high' WHERE action = 'member.invited'")
    page = text(owner.post(f"{URL}verify/"))
    assert "BROKEN" in page
    assert "Entry #1: A column of the event is not what the entry says" in page
    assert f"{URL}events/{event_id}/" in page
    assert "BROKEN" in text(owner.get(URL))


def test_verify_asks_for_post(owner: Client, acme: Organization) -> None:
    invite(acme)
    append_now()
    assert owner.get(f"{URL}verify/").status_code == 302
    assert "Never verified" in text(owner.get(URL))


def test_verifying_where_nothing_was_recorded_leads_back(owner: Client) -> None:
    assert owner.post(f"{URL}verify/").status_code == 302


@pytest.mark.parametrize(
    ("verdict", "tone", "words"),
    [
        ("", "quiet", "Never verified"),
        ("VALID", "good", "Chain verified through #9"),
        ("VALID_WITH_GAPS", "good", "Chain verified through #9"),
        ("INVALID", "bad", "BROKEN"),
        ("INCOMPLETE", "unsure", "Not verified"),
    ],
)
def test_the_strip_says_each_verdict_in_words(verdict: str, tone: str, words: str) -> None:
    now = timezone.now()
    state = LogState(
        tenant="1",
        origin="o",
        size=12,
        pending=PENDING_CAP,
        oldest_pending_at=now,
        verified_at=now if verdict else None,
        verified_size=10 if verdict else None,
        verdict=verdict,
    )
    strip = integrity_of(state)
    assert (strip.tone, words in strip.headline) == (tone, True)
    assert strip.pending.startswith("1,000+ events pending")
    assert ("with gaps" in strip.detail) == (verdict == "VALID_WITH_GAPS")


def test_the_strip_says_that_a_log_is_halted_or_was_pruned() -> None:
    now = timezone.now()
    facts = {"tenant": "1", "origin": "o", "size": 1200, "pending": 3, "oldest_pending_at": now}
    verified = {"verified_at": now, "verified_size": 1200, "verdict": "VALID_WITH_GAPS"}
    strip = integrity_of(LogState(**facts, **verified, first_seq=512))  # type: ignore[arg-type]
    assert "begins at #512, past its retention before" in strip.detail
    strip = integrity_of(LogState(**facts, **verified, is_halted=True))  # type: ignore[arg-type]
    assert (strip.tone, strip.headline) == ("bad", "HALTED: the log is shorter than what was signed of it")
    assert "wait until it is recovered" in strip.detail


# Viewing and exporting are events


def viewings(acme: Organization) -> list[Any]:
    return list(auditlog.list(acme, action="audit.log.viewed").events)


def test_looking_is_recorded_once_per_session_and_hour(owner: Client, acme: Organization, ada: User) -> None:
    event_id = invite(acme)
    owner.get(URL, {"actor": "user:77"})
    owner.get(URL)
    owner.get(f"{URL}events/{event_id}/")
    [viewing] = viewings(acme)
    assert viewing.actor["name"] == "Ada Lovelace"
    assert viewing.metadata == {"filters": {"actor": "user:77"}}
    session = owner.session
    session["auditkit_viewed"] = {str(acme.pk): int(timezone.now().timestamp()) - 3601}
    session.save()
    owner.get(URL)
    assert len(viewings(acme)) == 2
    other = Client()
    other.force_login(ada)
    other.get(URL)
    assert len(viewings(acme)) == 3


def test_nothing_is_recorded_for_somebody_who_is_refused(client: Client, acme: Organization, grace: User) -> None:
    client.force_login(grace)
    client.get(URL)
    assert viewings(acme) == []


def test_the_export_holds_what_the_filter_says_and_is_recorded(owner: Client, acme: Organization) -> None:
    invite(acme, 1)
    invite(acme, 2, outcome="denied")
    invite(acme, 3, actor=Actor("user", "9", "=cmd|' /C calc'!A0"))
    page = text(owner.get(URL, {"action": "member.*", "outcome": "success"}))
    found = re.search(r'action="([^"]+export\.csv[^"]*)"', page)
    assert found is not None
    response = owner.post(found[1].replace("&amp;", "&"))
    rows = list(csv.DictReader(response.getvalue().decode().splitlines()))
    assert [row["target_id"] for row in rows] == ["1", "3"]
    assert rows[1]["actor_name"].startswith("'=")
    assert response["Content-Disposition"] == 'attachment; filename="audit-log.csv"'
    [exported] = auditlog.list(acme, action="audit.log.exported")
    assert exported.actor is not None
    assert exported.actor["name"] == "Ada Lovelace"
    assert exported.metadata["filter"] == {"action": "member.*", "outcome": "success"}


def test_an_export_is_not_made_by_following_a_link_or_with_a_wrong_filter(owner: Client, acme: Organization) -> None:
    invite(acme)
    assert owner.get(f"{URL}export.csv").status_code == 302
    assert owner.post(f"{URL}export.csv?start=x").status_code == 302
    assert not list(auditlog.list(acme, action="audit.log.exported"))


@pytest.mark.django_db(transaction=True)
def test_an_export_streams_under_asgi(acme: Organization, ada: User) -> None:
    for number in range(600):
        invite(acme, number)

    async def steps() -> list[bytes]:
        client = AsyncClient()
        await client.aforce_login(ada)
        response = await client.post(f"{URL}export.csv")
        return [step async for step in response.streaming_content]

    found = async_to_sync(steps)()
    assert len(found) == 3
    assert len(b"".join(found).splitlines()) == 1 + 600 + 2


# A host's own


@pytest.mark.urls(__name__)
@pytest.mark.parametrize("prefix", ["first", "second"])
def test_a_host_replaces_a_method_at_a_time_and_links_stay_in_its_place(
    owner: Client, ada: User, acme: Organization, prefix: str
) -> None:
    for number in range(5):
        invite(acme, number)
        invite(acme, number, actor=ada)
    page = owner.get(f"/{prefix}/acme/")
    assert page.status_code == 200
    assert len(sentences(page)) == 3
    assert all(sentence.startswith("Ada Lovelace") for sentence in sentences(page))
    links = re.findall(r'(?:href|action)="(/[^"]*)"', text(page))
    assert {link.split("/")[1] for link in links} <= {prefix, "static"}
    older = re.search(r'href="([^"]+)" rel="next"', text(page))
    assert older is not None
    assert owner.get(older[1]).status_code == 200
    event = next(link for link in links if "/events/" in link)
    assert owner.get(event).status_code == 200


def test_a_host_puts_the_page_into_its_own_layout(owner: Client, settings: SettingsWrapper) -> None:
    layout = "<nav>Northwind</nav>{% block head %}{% endblock %}{% block content %}{% endblock %}"
    [engine] = settings.TEMPLATES
    loaders = [
        ("django.template.loaders.locmem.Loader", {"auditkit_django/base.html": layout}),
        "django.template.loaders.app_directories.Loader",
    ]
    settings.TEMPLATES = [{**engine, "APP_DIRS": False, "OPTIONS": {**engine["OPTIONS"], "loaders": loaders}}]
    page = text(owner.get(URL))
    assert page.startswith("<nav>Northwind</nav>")
    assert "trail.css" in page
    assert "Audit log</h1>" in page


def test_a_tenant_that_is_no_model_instance_is_enough(
    owner: Client, acme: Organization, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "TENANT_RESOLVER": lambda request: str(acme.pk)}
    assert owner.get(URL).status_code == 200


# What is shown


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("plain", "plain"),
        ("a\nb\tc", "a\\u000ab\\u0009c"),
        ("\x1b[31mred", "\\u001b[31mred"),
        ("\x9b31m", "\\u009b31m"),
        ("gpj\u202eexe", "gpj\\u202eexe"),
        ("\u2066x\u2069\u200b\ufeff", "\\u2066x\\u2069\\u200b\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
        ("مرحبا שלום 👩\u200d🚀", "مرحبا שלום 👩\u200d🚀"),
        (None, ""),
        (7, "7"),
        (True, "true"),
        ({"a": ["\u202e"]}, '{"a": ["\\u202e"]}'),
    ],
)
def test_unseen_characters_are_shown_as_escapes(recorded: object, expected: str) -> None:
    assert visible(recorded) == expected


def test_json_keeps_its_lines_and_escapes_the_rest() -> None:
    assert visible_json({"a": "x\ny\u202e"}) == '{\n  "a": "x\\ny\\u202e"\n}'


@pytest.mark.parametrize(("value", "expected"), [(None, "—"), ("", "“”"), (" x", "“ x”"), (0, "0"), ([], "[]")])
def test_a_value_that_would_look_like_nothing_is_shown(value: object, expected: str) -> None:
    assert shown(value) == expected


@pytest.mark.parametrize("party", [None, [], 7, "x", {}, {"type": 3, "id": []}, {"name": {"a": 1}}])
def test_a_party_of_any_shape_is_shown(rf: RequestFactory, acme: Organization, party: object) -> None:
    from django.urls import resolve

    from auditkit_django.trail.links import Links

    request = rf.get(URL)
    request.resolver_match = resolve(URL)
    party_of(party, Links(request), role="actor")


def test_every_action_is_offered_with_its_group(owner: Client) -> None:
    page = text(owner.get(URL))
    assert all(f'<option value="{action.name}">' in page for action in actions.all_actions())
    assert '<option value="member.*">' in page
