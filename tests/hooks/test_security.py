"""Security events of requests: what is recorded, once, and how little an attacker can have recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.http import HttpRequest
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from rest_framework.authtoken.models import Token

from auditkit_django import auditlog
from auditkit_django.hooks import addresses, security
from auditkit_django.hooks.addresses import Networks, origin_of
from auditkit_django.hooks.capping import Cap
from auditkit_django.hooks.security import KINDS, SecurityEventsMiddleware
from auditkit_django.models import Event
from tests.host.models import Organization

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.fixtures import SettingsWrapper

    from auditkit_django.auditlog import ListedEvent

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.hooks.security_views")]

Get = Callable[..., Any]
Configure = Callable[..., None]


class Clock:
    """Minutes that pass when told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch, settings: SettingsWrapper) -> Clock:
    clock = Clock()
    monkeypatch.setattr(security, "CAP", Cap(clock))
    middleware = list(settings.MIDDLEWARE)
    place = middleware.index("auditkit_django.hooks.middleware.AuditkitMiddleware") + 1
    middleware.insert(place, "auditkit_django.hooks.security.SecurityEventsMiddleware")
    settings.MIDDLEWARE = middleware
    settings.AUDITKIT = {**settings.AUDITKIT, "SECURITY_EVENTS": tuple(KINDS)}
    return clock


@pytest.fixture
def configure(settings: SettingsWrapper) -> Configure:
    def configure(**fields: Any) -> None:
        settings.AUDITKIT = {**settings.AUDITKIT, **fields}

    return configure


@pytest.fixture(params=["WSGI", "ASGI"])
def get(request: pytest.FixtureRequest, acme: Organization) -> Get:
    """GET under WSGI and under ASGI, with ``user`` signed in where given."""

    def get(path: str, *, user: Any = None, query: Any = None, **headers: Any) -> Any:
        if request.param == "ASGI":
            client: Any = AsyncClientFrom(raise_request_exception=False)
            client.address = headers.pop("REMOTE_ADDR", "127.0.0.1")
            named = {name.removeprefix("HTTP_").replace("_", "-"): value for name, value in headers.items()}
            return async_to_sync(_aget)(client, path, user, query, named)
        client = Client(raise_request_exception=False)
        if user is not None:
            client.force_login(user)
        return client.get(path, query, **headers)

    return get


class AsyncClientFrom(AsyncClient):
    address: str

    def _base_scope(self, **request: Any) -> Any:
        return super()._base_scope(**request, client=[self.address, 1])  # type: ignore[misc]


async def _aget(client: Any, path: str, user: Any, query: Any, headers: dict[str, str]) -> Any:
    if user is not None:
        await client.aforce_login(user)
    return await client.get(path, query, headers=headers)


def told(tenant: object) -> list[ListedEvent]:
    """Oldest first, without those of the log itself and of signing in."""
    return [event for event in auditlog.list(tenant, limit=1000)[::-1] if not event.action.startswith("audit.")]


def reasons(tenant: object) -> list[str]:
    return [event.metadata.get("reason", "") for event in told(tenant)]


# What is recorded.


@pytest.mark.parametrize("view", ["status", "async"])
@pytest.mark.parametrize("code", [401, 403])
def test_a_stranger_who_is_refused_is_recorded(get: Get, view: str, code: int, acme: Organization) -> None:
    get(f"/o/acme/{view}/{code}/")
    [event] = told(acme)
    assert (event.action, event.outcome, event.actor) == ("access.denied", "denied", {"type": "anonymous"})
    assert event.metadata == {"reason": "unauthenticated", "status": code}
    assert event.context["path"] == f"/o/acme/{view}/{code}/"
    assert event.targets[0]["type"] == "view"


def test_a_stranger_who_is_sent_to_sign_in_is_recorded(get: Get, acme: Organization, settings: SettingsWrapper) -> None:
    assert get("/o/acme/members only/", query={"q": "1"}).status_code == 302
    settings.LOGIN_URL = "https://sso.example.org/login"
    assert get("/o/acme/members only/").headers["Location"].startswith("https://sso.example.org/login?next=")
    assert get("/admin/").status_code == 302
    assert [event.metadata for event in told(acme)] == [{"reason": "unauthenticated", "status": 302}] * 2
    assert reasons("system") == ["unauthenticated"], "the admin belongs to no tenant"


def test_signing_out_is_no_attempt(get: Get, acme: Organization, ada: User) -> None:
    assert get("/o/acme/sign-out/", user=ada).headers["Location"] == "/accounts/login/"
    assert told(acme) == []


@pytest.mark.parametrize("view", ["status/403/", "forbid/", "forbid/after/", "async/403/"])
def test_a_user_who_is_refused_is_recorded(get: Get, view: str, acme: Organization, ada: User) -> None:
    assert get(f"/o/acme/{view}", user=ada).status_code == 403
    event = told(acme)[-1]
    assert event.actor is not None
    assert (event.action, event.outcome, event.actor["id"]) == ("access.denied", "denied", str(ada.pk))
    assert event.metadata == {"reason": "forbidden", "status": 403}


def test_a_user_who_is_asked_to_sign_in_again_was_not_refused(get: Get, acme: Organization, ada: User) -> None:
    assert get("/o/acme/status/401/", user=ada).status_code == 401
    assert told(acme) == []


def test_a_user_known_to_the_api_alone_is_no_stranger(get: Get, acme: Organization, ada: User) -> None:
    token = Token.objects.create(user=ada)
    assert get("/o/acme/api/", HTTP_AUTHORIZATION=f"Token {token.key}").status_code == 429
    assert get("/o/acme/api/").status_code == 401
    limited, refused = told(acme)
    assert limited.actor is not None
    assert (limited.action, limited.outcome) == ("security.rate_limit.exceeded", "denied")
    assert (limited.actor["id"], limited.metadata) == (str(ada.pk), {"reason": "rate_limited", "status": 429})
    assert (refused.actor, refused.metadata["reason"]) == ({"type": "anonymous"}, "unauthenticated")


@pytest.mark.parametrize("code", [200, 302, 400, 404, 500])
def test_other_answers_are_none_of_its_business(get: Get, code: int, acme: Organization) -> None:
    get(f"/o/acme/status/{code}/")
    get("/nowhere/")
    assert not Event.objects.exists()


def test_an_answered_request_costs_no_query(client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        client.get("/status/200/")
        client.get("/status/302/")
    assert len(queries) == 0


def test_a_limiter_before_the_view_is_seen(get: Get, acme: Organization, settings: SettingsWrapper) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "tests.hooks.security_views.Limiter"]
    get("/o/acme/reset/s3cret-token/")
    [event] = told(acme)
    assert (event.action, event.context["path"]) == ("security.rate_limit.exceeded", "/o/acme/reset/[redacted]/")


def test_events_of_no_tenant_go_to_the_installation(get: Get) -> None:
    get("/status/403/")
    assert reasons("system") == ["unauthenticated"]


def test_without_the_context_middleware_it_has_one_of_its_own(
    get: Get, acme: Organization, settings: SettingsWrapper
) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if not name.endswith("AuditkitMiddleware")]
    get("/o/acme/status/403/")
    [event] = told(acme)
    assert event.context["ip"] == "127.0.0.1"


# What is not.


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((), []),
        (("unauthenticated",), ["unauthenticated"]),
        (["refused"], ["forbidden"]),
        ({"rate_limited": True, "refused": False}, ["rate_limited"]),
        ({"blocked", "refused"}, ["forbidden"]),
    ],
    ids=["none", "one", "list", "dict", "set"],
)
def test_only_the_kinds_that_are_switched_on_are_recorded(
    get: Get, kinds: Any, expected: list[str], acme: Organization, ada: User, configure: Configure
) -> None:
    configure(SECURITY_EVENTS=kinds)
    get("/o/acme/status/403/")
    get("/o/acme/status/403/", user=ada)
    get("/o/acme/status/429/", user=ada)
    assert reasons(acme) == expected


@pytest.mark.parametrize("off", ["security", "access.denied"])
def test_hooks_off_switches_it_off_too(get: Get, off: str, acme: Organization, configure: Configure) -> None:
    configure(HOOKS_OFF=(off,))
    get("/o/acme/status/403/")
    assert told(acme) == []


def test_a_wrong_setting_keeps_the_server_from_starting(configure: Configure) -> None:
    configure(SECURITY_EVENTS=("unautenticated",))
    with pytest.raises(ImproperlyConfigured, match=r"SECURITY_EVENTS.*unautenticated"):
        SecurityEventsMiddleware(lambda request: None)  # type: ignore[arg-type, return-value]
    configure(SECURITY_EVENTS=(), BLOCKED_ADDRESSES=("192.0.2.0/33",))
    with pytest.raises(ImproperlyConfigured, match=r"BLOCKED_ADDRESSES.*192\.0\.2\.0/33"):
        SecurityEventsMiddleware(lambda request: None)  # type: ignore[arg-type, return-value]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("view", ["denied", "kept", "inside", "audited", "read", "api-read"])
@pytest.mark.parametrize("is_signed_in", [False, True], ids=["stranger", "user"])
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def test_a_refusal_that_the_view_has_told_is_not_told_again(
    get: Get, view: str, is_signed_in: bool, atomic: bool, acme: Organization, ada: User
) -> None:
    connection.settings_dict["ATOMIC_REQUESTS"] = atomic
    try:
        assert get(f"/o/acme/told/{view}/", user=ada if is_signed_in else None).status_code == 403
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    [event] = told(acme)
    assert event.outcome == "denied"
    assert event.metadata.get("reason") not in ("forbidden", "unauthenticated")


def test_a_limit_that_the_view_has_told_is_not_told_again(get: Get, acme: Organization) -> None:
    get("/o/acme/throttle/told/")
    assert [event.metadata for event in told(acme)] == [{}]


def test_concurrent_requests_do_not_hide_each_others_refusals(acme: Organization) -> None:
    async def serve() -> None:
        paths = ["/o/acme/told/kept/", "/o/acme/async/403/"] * 3
        await asyncio.gather(*(AsyncClient().get(path) for path in paths))

    async_to_sync(serve)()
    assert sorted(reasons(acme)) == ["", "", "", *["unauthenticated"] * 3]


def test_bodies_query_strings_and_secrets_in_paths_are_not_recorded(get: Get, acme: Organization) -> None:
    get("/o/acme/reset/path-s3cret/", query={"q": "query-s3cret"})
    get("/o/acme/members only/", query={"q": "query-s3cret"})
    client = Client()
    client.post("/o/acme/status/403/?q=query-s3cret", {"q": "body-s3cret"})
    client.post("/o/acme/status/429/", b'{"q": "body-s3cret"}', content_type="application/json")
    assert len(told(acme)) == 4
    stored = "".join(str(row) for row in Event.objects.values_list())
    assert "/o/acme/reset/[redacted]/" in stored
    assert "s3cret" not in stored


# Blocked addresses.


def test_a_blocked_address_is_answered_403_before_anything_is_asked(
    get: Get, acme: Organization, ada: User, configure: Configure
) -> None:
    configure(BLOCKED_ADDRESSES=["192.0.2.0/24", "2001:db8::/32"])
    for address in ("192.0.2.7", "2001:db8:1::7", "::ffff:192.0.2.8"):
        response = get("/o/acme/reset/s3cret-token/", user=ada, REMOTE_ADDR=address)
        assert (response.status_code, response.content) == (403, b"Forbidden")
    assert get("/o/acme/status/200/", REMOTE_ADDR="198.51.100.7").status_code == 200
    events = told(acme)
    assert [event.metadata for event in events] == [{"reason": "blocked_address", "status": 403}] * 3
    assert {(event.action, str(event.actor)) for event in events} == {("access.denied", "{'type': 'anonymous'}")}
    assert [event.context["path"] for event in events] == ["/o/acme/reset/[redacted]/"] * 3


@pytest.mark.parametrize(
    ("proxies", "forwarded", "status"),
    [
        (0, "198.51.100.1", 403),
        (1, "198.51.100.1", 200),
        (1, "198.51.100.1, 192.0.2.7", 403),
        (1, "192.0.2.7, 198.51.100.1", 200),
        (2, "198.51.100.1, 192.0.2.7, 203.0.113.1", 403),
    ],
)
def test_a_forged_header_neither_blocks_nor_frees(
    get: Get, proxies: int, forwarded: str, status: int, acme: Organization, configure: Configure
) -> None:
    configure(BLOCKED_ADDRESSES=["192.0.2.7"], TRUSTED_PROXY_COUNT=proxies)
    headers = {"REMOTE_ADDR": "192.0.2.7", "HTTP_X_FORWARDED_FOR": forwarded}
    assert get("/o/acme/status/200/", **headers).status_code == status
    assert reasons(acme) == (["blocked_address"] if status == 403 else [])


def test_a_forged_header_does_not_pass_for_another_address_under_the_cap(
    get: Get, acme: Organization, configure: Configure
) -> None:
    configure(SECURITY_EVENTS_PER_ADDRESS=2)
    for number in range(5):
        get("/o/acme/status/403/", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
    assert len(told(acme)) == 2


def test_a_resolver_that_fails_early_answers_no_500(get: Get, configure: Configure) -> None:
    def resolve(request: HttpRequest) -> object:
        return request.tenant  # type: ignore[attr-defined]

    configure(BLOCKED_ADDRESSES=["127.0.0.1"], TENANT_RESOLVER=resolve)
    assert get("/o/acme/status/200/").status_code == 403
    assert reasons("system") == ["blocked_address"]


def test_addresses_are_blocked_whether_or_not_that_is_recorded(
    get: Get, acme: Organization, configure: Configure
) -> None:
    configure(BLOCKED_ADDRESSES=["127.0.0.0/8"], SECURITY_EVENTS=())
    assert get("/o/acme/status/200/").status_code == 403
    assert told(acme) == []


def test_networks_hold_what_ipaddress_says_they_hold() -> None:
    networks = Networks(["192.0.2.64/26", "198.51.100.7", "2001:db8::/33", "0.0.0.0/32"], setting="BLOCKED_ADDRESSES")
    inside = ["192.0.2.64", "192.0.2.127", "198.51.100.7", "2001:db8:7fff::1", "0.0.0.0", "::ffff:192.0.2.100"]
    outside = ["192.0.2.63", "192.0.2.128", "198.51.100.8", "2001:db8:8000::1", "0.0.0.1", "::", "", "no address", None]
    assert [text for text in [*inside, *outside] if text in networks] == inside


def test_many_networks_are_read_once(configure: Configure) -> None:
    configure(BLOCKED_ADDRESSES=[f"10.{high}.{low}.0/24" for high in range(20) for low in range(256)])
    assert addresses.blocked_networks() is addresses.blocked_networks()
    assert "10.19.255.1" in addresses.blocked_networks()
    configure(BLOCKED_ADDRESSES=["192.0.2.7"])
    assert "10.19.255.1" not in addresses.blocked_networks()


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::1", "2001:db8::/64"),
        ("2001:db8::ffff:2", "2001:db8::/64"),
        ("2001:db8:0:1::1", "2001:db8:0:1::/64"),
        (None, ""),
        ("junk", ""),
    ],
)
def test_who_owns_a_network_of_ipv6_is_one_origin(text: str | None, origin: str) -> None:
    assert origin_of(text) == origin


# The cap.


def test_what_is_over_the_cap_of_a_tenant_is_told_in_one_event(
    get: Get, acme: Organization, globex: Organization, ada: User, configure: Configure, clock: Clock
) -> None:
    configure(SECURITY_EVENTS_PER_MINUTE=5, SECURITY_EVENTS_PER_ADDRESS=2)
    for number in range(9):
        get("/o/acme/status/403/", REMOTE_ADDR=f"192.0.2.{number}")
    get("/o/acme/status/429/", REMOTE_ADDR="192.0.2.99")
    get("/o/globex/status/403/", REMOTE_ADDR="192.0.2.1")
    assert reasons(acme) == ["unauthenticated"] * 5
    assert reasons(globex) == ["unauthenticated"], "another tenant has a cap of its own"
    clock.now = 60.0
    # Anybody's next request brings it in, and is not mistaken for its cause.
    get("/status/200/", user=ada, REMOTE_ADDR="198.51.100.1")
    *_told, summary = told(acme)
    assert (summary.action, summary.outcome, summary.actor) == ("access.denied", "denied", {"type": "anonymous"})
    assert summary.context == {}
    first, last = summary.metadata.pop("first"), summary.metadata.pop("last")
    assert first < last == summary.occurred_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    expected = {"reason": "suppressed", "count": 5, "reasons": {"unauthenticated": 4, "rate_limited": 1}}
    assert summary.metadata == expected
    assert len(told(acme)) == 6
    assert reasons(globex) == ["unauthenticated"]
    get("/o/acme/status/403/", REMOTE_ADDR="192.0.2.1")
    assert reasons(acme)[-1] == "unauthenticated", "the next minute has its own cap"


def test_one_address_has_a_smaller_cap(get: Get, acme: Organization, configure: Configure, clock: Clock) -> None:
    configure(SECURITY_EVENTS_PER_ADDRESS=3)
    for number in range(10):
        # All of one /64.
        get("/o/acme/status/403/", REMOTE_ADDR=f"2001:db8::{number}")
    get("/o/acme/status/403/", REMOTE_ADDR="2001:db8:0:1::1")
    assert len(told(acme)) == 4
    clock.now = 61.0
    get("/status/200/")
    assert [event.metadata["count"] for event in told(acme) if "count" in event.metadata] == [7]


def test_by_default_a_flood_is_a_minutes_worth_of_sixty_events(acme: Organization, clock: Clock) -> None:
    for number in range(200):
        Client(REMOTE_ADDR=f"192.0.2.{number}").get("/o/acme/status/403/")
    for _ in range(20):
        Client(REMOTE_ADDR="198.51.100.1").get("/status/403/")
    assert (len(told(acme)), len(told("system"))) == (60, 10)


def test_a_cap_holds_no_memory_of_who_was_over_it() -> None:
    cap = Cap(Clock())
    what = KINDS["unauthenticated"]
    for number in range(10_000):
        cap.admits("acme", f"origin-{number}", what, limit=60, limit_per_origin=10)
    [window] = cap._windows.values()
    assert (len(window.by_origin), window.suppressed) == (60, {what: 9_940})


def test_what_cannot_be_told_now_is_told_with_the_next_minute(
    acme: Organization,
    configure: Configure,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    settings: SettingsWrapper,
) -> None:
    configure(SECURITY_EVENTS_PER_ADDRESS=1)
    client = Client()
    for _ in range(3):
        client.get("/o/acme/status/403/")

    def refuse(draft: Any) -> Any:
        raise ZeroDivisionError

    clock.now = 60.0
    configure(PROCESSORS=[refuse])
    assert client.get("/status/200/").status_code == 200, "an innocent request is answered all the same"
    assert "2 security events over the cap are not reported yet" in caplog.text
    configure(PROCESSORS=[])
    assert reasons(acme) == ["unauthenticated"]
    clock.now = 120.0
    client.get("/status/200/")
    assert told(acme)[-1].metadata["count"] == 2


def test_a_process_that_ends_tells_what_it_has_counted(acme: Organization, configure: Configure) -> None:
    configure(SECURITY_EVENTS_PER_MINUTE=1)
    for _ in range(3):
        Client().get("/o/acme/status/403/")
    security.report_all()
    assert told(acme)[-1].metadata["count"] == 2
    security.report_all()
    assert len(told(acme)) == 2
