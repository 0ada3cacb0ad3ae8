"""Who is let in: keys, tokens, sessions; scopes, addresses, limits. And what a refusal says."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache.backends.locmem import LocMemCache
from django.db import connection
from django.test import AsyncClient, Client
from django.utils import timezone

from auditkit_django.access import api_keys, secrets
from auditkit_django.access.api_keys import revoke_key
from auditkit_django.access.grant import EXPORT, READ, SCOPES, VERIFY, WRITE
from auditkit_django.access.secrets import new_key
from auditkit_django.access.viewer_tokens import create_token
from auditkit_django.api.views import catalogue
from auditkit_django.models import ApiKey, Event
from tests.api.conftest import Api

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.fixtures import DjangoAssertNumQueries, SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db

EVENT = {"action": "member.invited"}


def problem(response: Any) -> tuple[int, str]:
    """Status and code of a refusal, which has the form of RFC 9457."""
    assert response["Content-Type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == response.status_code
    assert body["type"] == "about:blank"
    assert {"title", "detail", "code", "request_id"} <= body.keys()
    return response.status_code, body["code"]


# Keys


@pytest.mark.parametrize(
    ("header", "code"),
    [
        (None, "key_missing"),
        ("", "key_missing"),
        ("Bearer", "key_malformed"),
        ("Bearer x", "key_malformed"),
        ("Bearer {text}x", "key_malformed"),
        ("Bearer {other}", "key_unknown"),
        ("Basic {text}", "key_missing"),
        ("{text}", "key_missing"),
        ("Bearer akv_x", "token_malformed"),
    ],
)
def test_without_a_key_that_is_known_nobody_comes_in(api: Api, header: str | None, code: str) -> None:
    headers = {} if header is None else {"Authorization": header.format(text=api.text, other=new_key().text)}
    response = Client().get("/api/v1/events", headers=headers)
    assert problem(response) == (401, code)
    assert response["WWW-Authenticate"].startswith("Bearer")


def test_revoked_expired_and_from_elsewhere(api: Api, made_key: tuple[ApiKey, str]) -> None:
    key, text = made_key
    assert api.get("events").status_code == 200
    ApiKey.objects.filter(pk=key.pk).update(networks=["198.51.100.0/24"])
    assert problem(api.get("events")) == (403, "address_refused")
    ApiKey.objects.filter(pk=key.pk).update(networks=[], expires_at=timezone.now())
    assert problem(api.get("events")) == (401, "key_expired")
    revoke_key(key)
    response = api.get("events")
    assert problem(response) == (401, "key_revoked")
    assert text not in response.content.decode()


def test_the_address_is_counted_from_the_right_of_what_proxies_wrote(
    api: Api, made_key: tuple[ApiKey, str], settings: SettingsWrapper
) -> None:
    ApiKey.objects.filter(pk=made_key[0].pk).update(networks=["198.51.100.0/24"])
    assert api.get("events", X_Forwarded_For="198.51.100.1").status_code == 403
    settings.AUDITKIT = {**settings.AUDITKIT, "TRUSTED_PROXY_COUNT": 1}
    assert api.get("events", X_Forwarded_For="198.51.100.1").status_code == 200
    assert api.get("events", X_Forwarded_For="198.51.100.1, 203.0.113.9").status_code == 403


@pytest.mark.parametrize("name", ["key", "api_key", "access_token", "q"])
def test_a_key_in_a_url_is_refused_and_reported(api: Api, acme: Organization, name: str) -> None:
    response = api.get(f"events?{name}={api.text}")
    assert problem(response) == (400, "key_in_query")
    assert str(api.text) not in response.content.decode()
    assert Event.objects.filter(tenant=str(acme.pk), action="apikey.rejected").count() == 1
    assert problem(Api().get(f"events?{name}={api.text}")) == (400, "key_in_query")
    assert problem(Api().get(f"events?token={create_token(acme, viewer='user:1')}")) == (400, "key_in_query")
    assert api.get("events?text=akv_").status_code == 200, "to look for the word is no token"


ENTRY_POINTS = [
    ("GET", "events", READ),
    ("POST", "events", WRITE),
    ("GET", "events/018f0000-0000-7000-8000-000000000000", READ),
    ("GET", "events/018f0000-0000-7000-8000-000000000000/proof", READ),
    ("GET", "checkpoint", VERIFY),
    ("GET", "consistency", VERIFY),
    ("GET", "tile/0/000", VERIFY),
    ("POST", "verify", VERIFY),
    ("GET", "export", EXPORT),
]


@pytest.mark.parametrize(("method", "path", "scope"), ENTRY_POINTS, ids=lambda value: str(value))
def test_each_address_takes_its_scope(
    make_api: Callable[..., Api], acme: Organization, method: str, path: str, scope: str
) -> None:
    data = EVENT if path == "events" else {}
    body = data if method == "POST" else None
    others = tuple(one for one in SCOPES if one != scope)
    response = make_api(acme, scopes=others).ask(method, path, body)
    assert problem(response) == (403, "scope_missing")
    assert response.json()["scope"] == scope
    assert make_api(acme, scopes=(scope,)).ask(method, path, body).status_code != 403
    if method == "GET":
        assert make_api(acme, scopes=others).ask("HEAD", path).status_code == 403
    assert problem(Api().ask(method, path, body)) == (401, "key_missing")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"])
def test_nothing_is_changed_or_deleted_over_the_api(api: Api, method: str) -> None:
    for path in ("events", "events/018f0000-0000-7000-8000-000000000000", "checkpoint"):
        assert problem(api.ask(method, path, {})) == (405, "method_not_allowed")


def test_an_address_that_is_none_is_a_problem_too(api: Api) -> None:
    for path in ("", "nope", "events/x", "events/", "tile/9/000"):
        assert problem(api.get(path)) == (404, "not_found")


def test_answers_are_kept_nowhere(api: Api) -> None:
    for response in (api.get("events"), api.get("health"), Api().get("events")):
        assert response["Cache-Control"] == "private, no-store"
        assert response["X-Content-Type-Options"] == "nosniff"


def test_the_request_id_is_that_of_the_caller(api: Api) -> None:
    response = api.get("events?nope=1", X_Request_ID="abc-123")
    assert response.json()["request_id"] == "abc-123"
    assert re.fullmatch(r"[0-9a-f]{32}", api.get("events?nope=1", X_Request_ID="<script>").json()["request_id"])


def test_health_asks_nobody_who_they_are(
    api: Api, settings: SettingsWrapper, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    catalogue._is_behind.cache_clear()
    assert Api().get("health").json() == {"status": "ok"}
    with django_assert_num_queries(1):
        Api().get("health")
    settings.AUDITKIT = {**settings.AUDITKIT, "APPEND": "worker", "PENDING_MAX_AGE_SECONDS": -1}
    api.post("events", EVENT)
    catalogue._is_behind.cache_clear()
    assert Api().get("health").json() == {"status": "behind"}
    catalogue._is_behind.cache_clear()


def test_a_traceback_shows_no_key(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    from django.test import RequestFactory
    from django.views.debug import ExceptionReporter

    def fail(*args: Any) -> None:
        raise RuntimeError("in the middle")

    request = RequestFactory().get("/api/v1/events", headers={"Authorization": f"Bearer {api.text}"})
    for name in ("_digest", "_peppers", "_checksum"):
        with monkeypatch.context() as patch, pytest.raises(RuntimeError) as caught:
            patch.setattr(secrets, name, fail)
            api_keys.grant_of_key(str(api.text), address="203.0.113.1")
        reporter = ExceptionReporter(request, caught.type, caught.value, caught.tb)
        frames = [frame for frame in reporter.get_traceback_frames() if "/auditkit_django/access/" in frame["filename"]]
        assert frames
        for frame in frames:
            assert str(api.text).split("_")[3] not in repr(frame["vars"]), frame["function"]


def test_it_answers_under_asgi_too(api: Api, acme: Organization) -> None:
    headers = {"Authorization": f"Bearer {api.text}"}

    async def ask() -> tuple[Any, Any, bytes]:
        client = AsyncClient()
        posted = await client.post("/api/v1/events", [EVENT] * 3, content_type="application/json", headers=headers)
        listed = await client.get("/api/v1/events?action=member.invited", headers=headers)
        exported = await client.get("/api/v1/export?proof=false", headers=headers)
        return posted, listed, b"".join([block async for block in exported.streaming_content])

    posted, listed, exported = async_to_sync(ask)()
    assert posted.json()["recorded"] == 3
    assert len(listed.json()["events"]) == 3
    assert exported.count(b'"member.invited"') >= 3


@pytest.mark.parametrize("status", [201, 422])
def test_a_request_may_be_one_transaction(
    api: Api, acme: Organization, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    items = [EVENT, EVENT if status == 201 else {"action": "nope"}]
    assert api.post("events", items).status_code == status
    assert Event.objects.filter(action="member.invited").count() == (2 if status == 201 else 0)
    assert api.get("events").status_code == 200
    assert problem(Api("ak_live_x").get("events"))[0] == 401


# People who are signed in


@pytest.fixture
def session(ada: User) -> Api:
    """Ada in her browser, on her organization's address."""
    client = Client(enforce_csrf_checks=True)
    client.force_login(ada)
    return Api(base="/o/acme/audit/api/v1/", client=client)


def test_a_member_reads_the_log_of_the_page(session: Api, api: Api) -> None:
    api.post("events", EVENT)
    assert "member.invited" in [event["action"] for event in session.get("events").json()["events"]]
    assert Event.objects.filter(action="audit.log.viewed", actor_type="user").count() == 1
    session.get("events")
    assert Event.objects.filter(action="audit.log.viewed").count() == 1, "once an hour"


def test_a_member_names_the_tenant_where_the_address_does_not(session: Api, acme: Organization, api: Api) -> None:
    session.base = "/api/v1/"
    assert session.get(f"events?tenant={acme.pk}").status_code == 200
    for query in ("", "?tenant=", "?tenant=nobody", "?tenant=999999"):
        assert problem(session.get(f"events{query}")) == (404, "not_found")


def test_a_member_of_another_organization_learns_nothing(session: Api, globex: Organization) -> None:
    session.base = "/o/globex/audit/api/v1/"
    assert problem(session.get("events")) == (404, "not_found")


def test_people_do_not_write_events_of_their_own_making(session: Api) -> None:
    assert problem(session.post("events", EVENT)) == (403, "refused"), "CSRF first"
    token = session.client.get("/admin/login/").cookies["csrftoken"].value
    assert problem(session.post("events", EVENT, X_CSRFToken=token)) == (403, "scope_missing")


def test_what_a_session_posts_needs_a_csrf_token(session: Api, api: Api) -> None:
    api.post("events", EVENT)
    assert problem(session.post("verify", {})) == (403, "refused")
    token = session.client.get("/admin/login/").cookies["csrftoken"].value
    assert session.post("verify", {}, X_CSRFToken=token).status_code == 200


def test_with_a_key_cookies_are_not_looked_at(session: Api, foreign: Api, globex: Organization) -> None:
    session.base = "/api/v1/"
    session.text = foreign.text
    assert session.post("events", EVENT).status_code == 201
    assert Event.objects.filter(tenant=str(globex.pk), action="member.invited").count() == 1
    session.text = "ak_live_wrong"
    assert problem(session.get("events")) == (401, "key_malformed")


# Viewer tokens


def test_a_viewer_reads_and_does_nothing_else(acme: Organization, api: Api) -> None:
    api.post("events", EVENT)
    viewer = Api(create_token(acme, viewer="user:42"))
    assert "member.invited" in [event["action"] for event in viewer.get("events").json()["events"]]
    for method, path, scope in ENTRY_POINTS:
        if scope != READ:
            assert problem(viewer.ask(method, path, {} if method == "POST" else None)) == (403, "scope_missing")
    viewed = Event.objects.get(action="audit.log.viewed")
    assert (viewed.actor_type, viewed.actor_id) == ("user", "42")


def test_a_viewer_of_ones_own_activity_sees_no_other(acme: Organization, api: Api) -> None:
    own = api.post("events", {**EVENT, "actor": "user:42"}).json()["id"]
    other = api.post("events", {**EVENT, "actor": "user:43"}).json()["id"]
    viewer = Api(create_token(acme, viewer="user:42", only_actor="user:42", scopes=[READ, EXPORT]))
    assert {event["actor"]["id"] for event in viewer.get("events").json()["events"]} == {"42"}
    assert viewer.get("events?actor=user:43").json()["events"] == []
    assert viewer.get(f"events/{own}").status_code == 200
    for path in (f"events/{other}", f"events/{other}/proof"):
        assert problem(viewer.get(path)) == (404, "not_found")
    assert problem(viewer.get("export?start=2026-01-01")) == (400, "malformed")
    exported = b"".join(viewer.get("export?proof=false").streaming_content).decode()
    assert own in exported
    assert other not in exported


def test_the_tree_and_the_verdict_are_of_everybodys_events(acme: Organization) -> None:
    viewer = Api(create_token(acme, viewer="user:42", only_actor="user:42", scopes=[READ, VERIFY]))
    for method, path, scope in ENTRY_POINTS:
        if scope == VERIFY:
            assert problem(viewer.ask(method, path, {} if method == "POST" else None)) == (404, "not_found")


def test_a_viewers_time_is_over(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    from auditkit_django.access import viewer_tokens

    viewer = Api(create_token(acme, viewer="user:42"))
    later = timezone.now() + timedelta(minutes=16)
    monkeypatch.setattr(viewer_tokens.timezone, "now", lambda: later)
    assert problem(viewer.get("events")) == (401, "token_expired")


def test_pages_of_known_origins_read_the_api_and_no_others(acme: Organization, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "EMBED_ORIGINS": ["https://app.example"]}
    viewer = Api(create_token(acme, viewer="user:42"))
    asked = viewer.ask("OPTIONS", "events", Origin="https://app.example", Access_Control_Request_Method="GET")
    assert (asked.status_code, asked["Access-Control-Allow-Origin"]) == (204, "https://app.example")
    assert "Authorization" in asked["Access-Control-Allow-Headers"]
    assert viewer.get("events", Origin="https://app.example")["Access-Control-Allow-Origin"] == "https://app.example"
    for origin in ("https://evil.example", "null", "https://app.example.evil.example"):
        assert not viewer.get("events", Origin=origin).has_header("Access-Control-Allow-Origin")
        assert not viewer.ask("OPTIONS", "events", Origin=origin).has_header("Access-Control-Allow-Origin")
    assert not asked.has_header("Access-Control-Allow-Credentials")


# Limits


def limited(settings: SettingsWrapper, **rates: int | None) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "API_RATES": {"read": None, "write": None, "export": None, **rates}}


@pytest.fixture(autouse=True)
def _a_minute_that_does_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    from auditkit_django.api import throttling

    monkeypatch.setattr(throttling.time, "time", lambda: 1_800_000_000.0)


def test_reading_and_writing_are_counted_apart(api: Api, settings: SettingsWrapper) -> None:
    limited(settings, read=2, write=3)
    assert [api.get("events").status_code for _ in range(3)] == [200, 200, 429]
    assert [api.post("events", EVENT).status_code for _ in range(4)] == [201, 201, 201, 429]
    response = api.get("events")
    assert problem(response) == (429, "throttled")
    assert 0 < int(response["Retry-After"]) <= 60


def test_a_tenant_is_counted_over_all_its_keys(
    make_api: Callable[..., Api], acme: Organization, foreign: Api, settings: SettingsWrapper
) -> None:
    limited(settings, read=2)
    keys = [make_api(acme) for _ in range(3)]
    assert [key.get("events").status_code for key in keys] == [200, 200, 429]
    assert foreign.get("events").status_code == 200


def test_a_viewer_is_counted(acme: Organization, settings: SettingsWrapper) -> None:
    limited(settings, read=1)
    viewer = Api(create_token(acme, viewer="user:42"))
    assert [viewer.get("events").status_code for _ in range(2)] == [200, 429]


def test_who_tries_keys_has_to_wait(api: Api, made_key: tuple[ApiKey, str], settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "API_FAILURES_PER_MINUTE": 3}
    guesser = Api(address="198.51.100.66")
    codes = []
    for _ in range(5):
        guesser.text = new_key().text
        codes.append(guesser.get("events").status_code)
    assert codes == [401, 401, 401, 429, 429]
    guesser.text = api.text
    assert guesser.get("events").status_code == 429, "even with a key that is right"
    assert api.get("events").status_code == 200, "from elsewhere"


def test_who_tries_one_prefix_from_many_addresses_has_to_wait(api: Api, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "API_FAILURES_PER_MINUTE": 3}
    text = new_key().text
    codes = [Api(text, address=f"198.51.100.{n}").get("events").status_code for n in range(5)]
    assert codes == [401, 401, 401, 429, 429]


@pytest.mark.parametrize(("fails", "status"), [("open", 200), ("closed", 503)])
def test_a_cache_that_does_not_answer(
    api: Api, settings: SettingsWrapper, monkeypatch: pytest.MonkeyPatch, fails: str, status: int
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "API_THROTTLE_FAILS": fails}

    def refuse(*args: Any, **kwargs: Any) -> None:
        raise ConnectionError("the cache is down")

    for name in ("add", "incr", "get"):
        monkeypatch.setattr(LocMemCache, name, refuse)
    response = api.get("events")
    assert response.status_code == status
    assert b"cache is down" not in response.content


# What a hostile reader found


def test_a_dead_key_in_urls_does_not_fill_the_log(api: Api, made_key: tuple[ApiKey, str], acme: Organization) -> None:
    revoke_key(made_key[0])
    for _ in range(5):
        Api().get("health?" + "&".join(f"a={api.text}" for _ in range(30)))
    assert Event.objects.filter(tenant=str(acme.pk), action="apikey.rejected").count() == 1
    statuses = {Api(address="198.51.100.9").get(f"health?a={new_key().text}").status_code for _ in range(25)}
    assert statuses == {400, 429}


def test_a_key_that_is_escaped_in_a_url_is_noticed(api: Api) -> None:
    assert problem(api.get(f"events?text={str(api.text).replace('_', '%5F')}")) == (400, "key_in_query")


def test_a_key_is_asked_of_the_database_that_is_written_to(api: Api, settings: SettingsWrapper) -> None:
    settings.DATABASE_ROUTERS = ["tests.api.test_access.ReplicaForReads"]
    from django.db import router as routers

    routers.__dict__.pop("routers", None)
    try:
        assert api_keys.grant_of_key(str(api.text), address="203.0.113.1").tenant is not None
    finally:
        settings.DATABASE_ROUTERS = []
        routers.__dict__.pop("routers", None)


class ReplicaForReads:
    """Reads of keys go to a database that is not there."""

    def db_for_read(self, model: Any, **hints: Any) -> str | None:
        return "replica" if model is ApiKey else None


def test_another_site_causes_no_export_in_somebodys_name(session: Api, api: Api) -> None:
    api.post("events", EVENT)
    for site in ("cross-site", "same-site"):
        assert problem(session.ask("GET", "export?proof=false", Sec_Fetch_Site=site)) == (403, "refused")
    assert session.ask("HEAD", "export?proof=false").status_code == 405
    assert not Event.objects.filter(action="audit.log.exported").exists()
    assert session.ask("GET", "export?proof=false", Sec_Fetch_Site="same-origin").status_code == 200


def test_too_many_parameters_are_told_and_page_nobody(caplog: pytest.LogCaptureFixture) -> None:
    response = Api().get("health?" + "&".join(f"a{n}=1" for n in range(1001)))
    assert problem(response) == (400, "malformed")
    assert "Traceback" not in caplog.text


def test_a_session_opens_no_log_by_another_spelling(session: Api, api: Api, acme: Organization) -> None:
    api.post("events", EVENT)
    session.base = "/api/v1/"
    for spelling in (f"0{acme.pk}", f"00{acme.pk}", f"%2B{acme.pk}"):
        assert problem(session.get(f"events?tenant={spelling}")) == (404, "not_found")
    assert session.get(f"events?tenant={acme.pk}").status_code == 200
    assert set(Event.objects.values_list("tenant", flat=True)) == {str(acme.pk)}


def test_a_key_is_not_of_the_tenant_in_the_path(api: Api, globex: Organization) -> None:
    for method, path, data in (("GET", "events", None), ("POST", "events", EVENT), ("POST", "verify", {})):
        api.base = "/o/globex/audit/api/v1/"
        assert problem(api.ask(method, path, data)) == (404, "not_found")
        api.base = "/o/acme/audit/api/v1/"
        assert api.ask(method, path, data).status_code in (200, 201)
    assert not Event.objects.filter(tenant=str(globex.pk)).exists()


def test_viewers_do_not_use_up_what_a_key_may_do(api: Api, acme: Organization, settings: SettingsWrapper) -> None:
    limited(settings, read=2)
    viewer = Api(create_token(acme, viewer="user:1"))
    assert [viewer.get("events").status_code for _ in range(3)] == [200, 200, 429]
    assert api.get("events").status_code == 200


def test_who_is_signed_in_has_no_part_in_what_a_key_does(session: Api, foreign: Api, globex: Organization) -> None:
    session.base, session.text = "/api/v1/", foreign.text
    assert session.get("events").status_code == 200
    used = Event.objects.get(tenant=str(globex.pk), action="apikey.used").disclosed()
    assert "session" not in used["context"]
    assert used["actor"]["type"] == "api_key"


def test_what_is_noted_of_a_key_does_not_go_with_a_request_that_is_refused(
    api: Api, acme: Organization, made_key: tuple[ApiKey, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    assert api.get("events?limit=0").status_code == 400
    assert Event.objects.filter(tenant=str(acme.pk), action="apikey.used").count() == 1
    revoke_key(made_key[0])
    for _ in range(4):
        assert api.get("events").status_code == 401
    assert Event.objects.filter(tenant=str(acme.pk), action="apikey.rejected").count() <= 1


def test_a_token_without_its_mark_is_none(acme: Organization) -> None:
    from auditkit_django.access.viewer_tokens import grant_of_token
    from auditkit_django.exceptions import AccessError

    with pytest.raises(AccessError):
        grant_of_token(create_token(acme, viewer="user:1").removeprefix("akv_"))
