"""API keys in the admin: seen and changed with ``manage_keys`` alone, by POST, and the text of a key shown once."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.access.api_keys import create_key, grant_of_key, revoke_key
from auditkit_django.access.grant import SCOPES
from auditkit_django.access.secrets import PATTERN
from auditkit_django.access.states import SOON, state_of
from auditkit_django.admin import ApiKeyAdmin
from auditkit_django.admin.key_forms import MEANINGS
from auditkit_django.drafts import SYSTEM_TENANT
from auditkit_django.exceptions import AccessError
from auditkit_django.models import ApiKey, Event

if TYPE_CHECKING:
    from django.contrib.auth.models import User


pytestmark = pytest.mark.django_db

KEYS = "/admin/auditkit_django/apikey/"


@pytest.fixture
def staff(make_user: Callable[..., User]) -> Callable[..., Client]:
    """Makes a client of a staff user with just these permissions, which enforces CSRF where asked."""

    def make(*codenames: str, csrf: bool = False) -> Client:
        user = make_user(f"staff-{uuid4().hex[:6]}", is_staff=True)
        user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
        client = Client(enforce_csrf_checks=csrf)
        client.force_login(user)
        return client

    return make


@pytest.fixture
def keeper(staff: Callable[..., Client]) -> Client:
    """A client of somebody who manages keys, and may do nothing else."""
    return staff("manage_keys")


def text(response: Any) -> str:
    return response.content.decode()


def asked(client: Client, **members: Any) -> dict[str, Any]:
    """The form of a new key, opened and filled in."""
    opened = re.search(r'name="opened" value="([^"]+)"', text(client.get(f"{KEYS}create/")))
    assert opened is not None
    return {
        "opened": opened[1],
        "name": "billing",
        "reach": "tenant",
        "tenant": "acme",
        "scopes": ["events:write"],
        **members,
    }


def shown(response: Any) -> str:
    """The key's text on the page that shows it."""
    [found] = re.findall(PATTERN, text(response))
    return str(found)


def events(tenant: str, action: str) -> list[Any]:
    return list(auditlog.list(tenant, action=action))


# Who


@pytest.mark.parametrize("page", ["", "create/", "{key}/change/", "{key}/rotate/", "{key}/revoke/"])
@pytest.mark.parametrize("method", ["get", "post"])
def test_without_the_permission_every_page_is_refused(staff: Callable[..., Client], page: str, method: str) -> None:
    key, _text = create_key("billing", tenant="acme", scopes=["events:read"])
    client = staff("view_apikey", "view_event", "view_log", "export_event", "verify_log")
    response = getattr(client, method)(KEYS + page.format(key=key.pk), {"name": "x", "overlap": "24", "reason": "x"})
    assert response.status_code == 403
    assert key.prefix not in text(response)
    assert ApiKey.objects.count() == 1
    key.refresh_from_db()
    assert (key.revoked_at, key.successor_id) == (None, None)


def test_who_is_not_staff_is_sent_to_sign_in(client: Client, ada: User) -> None:
    client.force_login(ada)
    for page in ("", "create/", f"{uuid4()}/rotate/", f"{uuid4()}/revoke/", f"{uuid4()}/change/"):
        assert client.get(KEYS + page).status_code == 302


def test_superusers_manage_keys_and_the_index_offers_them_to_nobody_else(
    client: Client, make_user: Callable[..., User], staff: Callable[..., Client]
) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    assert client.get(KEYS).status_code == 200
    assert KEYS in text(client.get("/admin/"))
    assert KEYS not in text(staff("view_event").get("/admin/"))


@pytest.mark.parametrize("page", ["create/", "{key}/rotate/", "{key}/revoke/"])
def test_another_site_cannot_change_anything(staff: Callable[..., Client], page: str) -> None:
    key, _text = create_key("billing", tenant="acme", scopes=["events:read"])
    client = staff("manage_keys", csrf=True)
    sent = {**asked(client), "overlap": "24", "reason": "x"}
    assert client.post(KEYS + page.format(key=key.pk), sent).status_code == 403
    assert ApiKey.objects.filter(revoked_at=None, successor_id=None).count() == ApiKey.objects.count() == 1


def test_django_s_own_ways_to_change_are_not_there(keeper: Client, rf: Any) -> None:
    key, _text = create_key("billing", tenant="acme", scopes=["events:read"])
    request = rf.get("/")
    request.user = keeper.get(KEYS).wsgi_request.user
    own = admin.site._registry[ApiKey]
    assert isinstance(own, ApiKeyAdmin)
    assert not own.has_add_permission(request)
    assert not own.has_change_permission(request)
    assert not own.has_delete_permission(request)
    for name in ("add", "delete", "history"):
        with pytest.raises(NoReverseMatch):
            reverse(f"admin:auditkit_django_apikey_{name}", args=[] if name == "add" else ["x"])
    assert keeper.post(f"{KEYS}{key.pk}/change/", {"name": "changed"}).status_code == 403
    assert ApiKey.objects.get().name == "billing"


# Create


def test_a_key_is_shown_once_and_works(keeper: Client) -> None:
    response = keeper.post(f"{KEYS}create/", asked(keeper, scopes=["events:read", "export"], networks="192.0.2.0/24\n"))
    grant = grant_of_key(shown(response), address="192.0.2.7")
    assert (grant.tenant, grant.scopes) == ("acme", {"events:read", "export"})
    assert "no-store" in response["Cache-Control"]
    assert response["Referrer-Policy"] == "no-referrer"
    [event] = events("acme", "apikey.created")
    assert event.actor["id"] == str(response.wsgi_request.user.pk)


def test_the_text_of_a_key_is_nowhere_but_on_that_page(keeper: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG), CaptureQueriesContext(connection) as queries:
        response = keeper.post(f"{KEYS}create/", asked(keeper))
    secret = shown(response).split("_")[3]
    assert not response.cookies or secret not in str(response.cookies)
    assert secret not in "".join(str(session.get_decoded()) for session in Session.objects.all())
    assert secret not in caplog.text
    assert not any(secret in query["sql"] for query in queries)
    assert not any(secret in (event.disclosures or "") for event in Event.objects.all())
    key = ApiKey.objects.get()
    for page in (KEYS, f"{KEYS}{key.pk}/change/", f"{KEYS}create/"):
        assert secret not in text(keeper.get(page))


def test_to_reload_the_page_that_shows_a_key_makes_none(keeper: Client) -> None:
    sent = asked(keeper)
    keeper.post(f"{KEYS}create/", sent)
    again = keeper.post(f"{KEYS}create/", sent, follow=True)
    assert again.redirect_chain == [(KEYS, 302)]
    assert "sent already" in text(again)
    assert not re.search(PATTERN, text(again))
    assert ApiKey.objects.count() == 1


def test_a_key_of_the_installation_has_to_be_asked_for(keeper: Client) -> None:
    response = keeper.post(f"{KEYS}create/", asked(keeper, tenant=""))
    assert "choose the whole installation" in text(response)
    assert not ApiKey.objects.exists()
    keeper.post(f"{KEYS}create/", asked(keeper, reach="installation"))
    assert ApiKey.objects.get().tenant is None
    assert len(events(SYSTEM_TENANT, "apikey.created")) == 1


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "bell\x07"}, "name"),
        ({"scopes": []}, "scopes"),
        ({"scopes": ["everything"]}, "scopes"),
        ({"networks": "203.0.113.5/24"}, "networks"),
        ({"expires_on": "2001-01-01"}, "expires_on"),
        ({"expires_on": "2999-01-01"}, "expires_on"),
        ({"tenant": "a" * 129}, "tenant"),
        ({"tenant": "bell\x07"}, "tenant"),
    ],
)
def test_what_cannot_be_meant_is_said_beside_its_field(keeper: Client, members: dict[str, Any], field: str) -> None:
    response = keeper.post(f"{KEYS}create/", asked(keeper, **members))
    assert field in response.context["form"].errors  # type: ignore[attr-defined]
    assert "Nothing was done" in text(response)
    assert not ApiKey.objects.exists()


def test_a_form_that_was_corrected_makes_the_key(keeper: Client) -> None:
    refused = keeper.post(f"{KEYS}create/", asked(keeper, networks="nowhere"))
    opened = re.search(r'name="opened" value="([^"]+)"', text(refused))
    assert opened is not None
    assert shown(keeper.post(f"{KEYS}create/", {**asked(keeper), "opened": opened[1]}))


def test_a_key_lasts_to_the_end_of_the_day_that_was_chosen(keeper: Client, settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "API_KEY_DAYS": 30}
    last = timezone.localdate(timezone.now() + timedelta(days=30))
    keeper.post(f"{KEYS}create/", asked(keeper, expires_on=f"{last - timedelta(days=2)}"))
    keeper.post(f"{KEYS}create/", asked(keeper, expires_on=f"{last}"))
    newest, earlier = ApiKey.objects.order_by("-created_at")
    assert timezone.localdate(earlier.expires_at) == last - timedelta(days=2)
    assert timezone.localtime(earlier.expires_at).hour == 23
    assert newest.expires_at is not None
    assert timezone.now() + timedelta(days=29) < newest.expires_at <= timezone.now() + timedelta(days=30)


def test_every_scope_has_its_meaning_on_the_form(keeper: Client) -> None:
    assert tuple(MEANINGS) == tuple(SCOPES)
    page = text(keeper.get(f"{KEYS}create/"))
    for meaning in MEANINGS.values():
        assert str(meaning) in page


# Rotate and revoke


def test_rotating_shows_the_new_key_once_and_keeps_the_old_one_for_a_while(keeper: Client) -> None:
    key, old = create_key("billing", tenant="acme", scopes=["events:read"])
    response = keeper.post(f"{KEYS}{key.pk}/rotate/", {"overlap": "1"})
    new = shown(response)
    assert "no-store" in response["Cache-Control"]
    assert grant_of_key(new, address=None).tenant == "acme"
    assert grant_of_key(old, address=None).tenant == "acme"
    key.refresh_from_db()
    assert state_of(key, timezone.now()) == "rotated"
    assert key.expires_at is not None
    assert key.expires_at <= timezone.now() + timedelta(hours=1)
    again = keeper.post(f"{KEYS}{key.pk}/rotate/", {"overlap": "1"}, follow=True)
    assert "rotated already" in text(again)
    assert not re.search(PATTERN, text(again))
    assert ApiKey.objects.count() == 2


def test_rotating_without_overlap_ends_the_old_key(keeper: Client) -> None:
    key, old = create_key("billing", tenant="acme", scopes=["events:read"])
    keeper.post(f"{KEYS}{key.pk}/rotate/", {"overlap": "0"})
    with pytest.raises(AccessError, match="expired"):
        grant_of_key(old, address=None)


def test_revoking_asks_first_and_then_the_key_is_refused(keeper: Client) -> None:
    key, secret = create_key("billing", tenant="acme", scopes=["events:read"])
    assert "cannot be undone" in text(keeper.get(f"{KEYS}{key.pk}/revoke/"))
    keeper.post(f"{KEYS}{key.pk}/revoke/", {"reason": ""})
    assert grant_of_key(secret, address=None).tenant == "acme"
    keeper.post(f"{KEYS}{key.pk}/revoke/", {"reason": "it was in a log file"})
    with pytest.raises(AccessError, match="revoked"):
        grant_of_key(secret, address=None)
    [event] = events("acme", "apikey.revoked")
    assert event.metadata == {"reason": "it was in a log file"}


def test_a_key_that_is_not_there_is_a_404(keeper: Client) -> None:
    for deed in ("rotate", "revoke"):
        assert keeper.get(f"{KEYS}{uuid4()}/{deed}/").status_code == 404


def test_a_key_s_page_offers_what_can_be_done_to_it(keeper: Client) -> None:
    key, _text = create_key("billing", tenant="acme", scopes=["events:read"], networks=["192.0.2.0/24"])
    page = text(keeper.get(f"{KEYS}{key.pk}/change/"))
    for part in ("/rotate/", "/revoke/", "192.0.2.0/24", "list, search and read events", "never", key.prefix):
        assert part in page
    assert key.digest not in page
    revoke_key(key)
    page = text(keeper.get(f"{KEYS}{key.pk}/change/"))
    assert "/rotate/" not in page
    assert "/revoke/" not in page


# The list


def test_the_list_says_how_each_key_stands(keeper: Client) -> None:
    now = timezone.now()
    made = {
        name: create_key(name, tenant="acme", scopes=["events:read"])[0]
        for name in ("fresh", "soon", "past", "gone", "old")
    }
    ApiKey.objects.filter(pk=made["soon"].pk).update(expires_at=now + SOON)
    ApiKey.objects.filter(pk=made["past"].pk).update(expires_at=now - timedelta(days=1))
    ApiKey.objects.filter(pk=made["old"].pk).update(successor_id=made["fresh"].pk)
    ApiKey.objects.filter(pk=made["fresh"].pk).update(last_used_at=now, last_used_from="192.0.2.9")
    revoke_key(made["gone"])
    page = text(keeper.get(KEYS))
    rows = {name: re.search(rf">{name}</a>.*?data-state=\"([^\"]+)\"", page, re.DOTALL) for name in made}
    assert {name: match and match[1] for name, match in rows.items()} == {
        "fresh": "valid", "soon": "expires soon", "past": "expired", "gone": "revoked", "old": "rotated",
    }  # fmt: skip
    assert "from 192.0.2.9" in page


def test_the_list_is_narrowed_to_a_tenant_or_to_the_installation(keeper: Client) -> None:
    for name, tenant in (("a-key", "acme"), ("g-key", "globex"), ("all-key", None)):
        create_key(name, tenant=tenant, scopes=["events:read"])

    def names(query: str) -> set[str]:
        return set(re.findall(r">([a-z]+-key)</a>", text(keeper.get(KEYS + query))))

    assert names("") == {"a-key", "g-key", "all-key"}
    assert names("?tenant__exact=acme") == {"a-key"}
    assert names("?reach=installation") == {"all-key"}
    assert names("?q=globex") == {"g-key"}
    assert names(f"?q={ApiKey.objects.get(name='all-key').prefix}") == {"all-key"}
    assert 'create/?tenant=acme"' in text(keeper.get(f"{KEYS}?tenant__exact=acme"))


def test_the_list_pages_by_key_and_counts_nothing(keeper: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ApiKeyAdmin, "list_per_page", 2)
    for number in range(5):
        create_key(f"key-{number}", tenant="acme", scopes=["events:read"])
    seen, address = [], f"{KEYS}?tenant__exact=acme"
    while address:
        with CaptureQueriesContext(connection) as queries:
            page = text(keeper.get(address))
        assert not any("COUNT(" in query["sql"] or "OFFSET" in query["sql"] for query in queries)
        seen += re.findall(r">(key-\d)</a>", page)
        following = re.search(r'href="(\?[^"]*)" rel="next"', page)
        address = KEYS + following[1].replace("&amp;", "&") if following else ""
    assert seen == [f"key-{number}" for number in (4, 3, 2, 1, 0)]


def test_recorded_names_cannot_speak_html(keeper: Client) -> None:
    key, _text = create_key("<script>alert(1)</script>", tenant="<i>", scopes=["events:read"])
    for page in ("", f"{key.pk}/change/", f"{key.pk}/rotate/", f"{key.pk}/revoke/"):
        assert "<script>alert" not in text(keeper.get(KEYS + page))
        assert "<i>" not in text(keeper.get(KEYS + page))
