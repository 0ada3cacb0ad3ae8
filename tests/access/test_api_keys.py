"""API keys: their text, what is kept of them, and what becomes of them."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.access import secrets
from auditkit_django.access.api_keys import create_key, grant_of_key, keys_of, note_exposed, revoke_key, rotate_key
from auditkit_django.access.grant import READ, SCOPES, WRITE
from auditkit_django.exceptions import AccessError, MalformedError
from auditkit_django.models import ApiKey, Event

if TYPE_CHECKING:
    from pytest_django.fixtures import DjangoAssertNumQueries, SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db

HERE = "203.0.113.1"


def make(tenant: object, **options: Any) -> tuple[ApiKey, str]:
    return create_key("deploy", tenant=tenant, **{"scopes": (READ, WRITE), **options})


def events_of(tenant: object, action: str) -> list[dict[str, Any]]:
    found = Event.objects.filter(tenant=str(tenant), action=action).order_by("recorded_at", "id")
    return [event.disclosed() for event in found]


def refusal(text: str, address: str | None = HERE) -> str:
    with pytest.raises(AccessError) as caught:
        grant_of_key(text, address=address)
    assert len(text) < 8 or text not in str(caught.value)
    return caught.value.code


def test_a_key_has_the_form_that_scanners_are_told_of(acme: Organization) -> None:
    key, text = make(acme)
    assert re.fullmatch(secrets.PATTERN, text)
    assert text.startswith(f"ak_live_{key.prefix}_")
    assert make(acme)[1] != text


def test_nothing_that_is_kept_tells_the_key(acme: Organization) -> None:
    key, text = make(acme)
    secret = text.split("_")[3]
    row = ApiKey.objects.filter(pk=key.pk).values().get()
    kept = repr(row) + repr(events_of(acme.pk, "apikey.created")) + repr(key) + str(key)
    assert secret not in kept
    assert key.digest not in repr(events_of(acme.pk, "apikey.created"))


def test_a_key_grants_its_tenant_and_scopes_and_acts_itself(acme: Organization) -> None:
    key, text = make(acme)
    grant = grant_of_key(text, address=HERE)
    assert (grant.tenant, grant.scopes) == (str(acme.pk), {READ, WRITE})
    assert (grant.actor.type, grant.actor.id, grant.actor.name) == ("api_key", key.prefix, "deploy")
    assert text not in repr(grant)


def test_a_key_of_the_installation_is_of_no_tenant() -> None:
    _key, text = make(None)
    assert grant_of_key(text, address=HERE).tenant is None
    assert len(events_of("system", "apikey.created")) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "ak_live_",
        "Bearer",
        "ak_live_" + "a" * 8 + "_" + "b" * 43 + "_000000",
        "é" * 40,
        "ak_live_\0",
        "a" * 100_000,
    ],
)
def test_what_is_no_key_is_told_without_asking_the_database(
    text: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(0):
        assert refusal(text) == "key_malformed"


def test_each_changed_character_is_noticed(acme: Organization) -> None:
    _key, text = make(acme)
    for at in range(len(text)):
        changed = text[:at] + ("b" if text[at] != "b" else "c") + text[at + 1 :]
        assert refusal(changed) == "key_malformed", at


def test_a_key_that_nobody_made_is_unknown(settings: SettingsWrapper) -> None:
    assert refusal(secrets.new_key().text) == "key_unknown"


def test_an_unknown_prefix_takes_the_same_work(acme: Organization, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    key, text = make(acme)
    monkeypatch.setattr(secrets, "_digest", lambda text, pepper: made.append(text) or "1" * 64)
    assert refusal(text) == "key_unknown", "the digest is not the one that was kept"
    known = len(made)
    made.clear()
    ApiKey.objects.filter(pk=key.pk).delete()
    assert refusal(text) == "key_unknown"
    assert len(made) == known == 1


def test_the_right_prefix_with_another_secret_is_unknown(acme: Organization) -> None:
    key, text = make(acme)
    other = secrets.new_key().text.split("_")
    body = "_".join([*text.split("_")[:3], other[3]])
    assert refusal(f"{body}_{secrets._checksum(body)}") == "key_unknown"
    assert ApiKey.objects.get(pk=key.pk).last_used_at is None


def test_a_revoked_key_is_refused_at_the_next_request(acme: Organization) -> None:
    key, text = make(acme)
    grant_of_key(text, address=HERE)
    revoke_key(key, reason="left the company")
    revoke_key(key)
    assert refusal(text) == "key_revoked"
    assert [event["metadata"] for event in events_of(acme.pk, "apikey.revoked")] == [{"reason": "left the company"}]


def test_a_key_expires(acme: Organization, settings: SettingsWrapper) -> None:
    key, text = make(acme)
    assert key.expires_at is not None
    assert timedelta(days=364) < key.expires_at - timezone.now() < timedelta(days=366)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert refusal(text) == "key_expired"


def test_a_key_lasts_no_longer_than_the_settings_say(acme: Organization, settings: SettingsWrapper) -> None:
    with pytest.raises(MalformedError, match="at most 365 days"):
        make(acme, expires_at=timezone.now() + timedelta(days=400))
    settings.AUDITKIT = {**settings.AUDITKIT, "API_KEY_DAYS": None}
    assert make(acme)[0].expires_at is None
    make(acme, expires_at=timezone.now() + timedelta(days=4000))


def test_a_key_is_used_from_its_networks_alone(acme: Organization) -> None:
    _key, text = make(acme, networks=["203.0.113.0/24", "2001:db8::7"])
    grant_of_key(text, address=HERE)
    grant_of_key(text, address="2001:db8::7")
    for address in ("198.51.100.1", "2001:db8::8", None):
        assert refusal(text, address) == "address_refused"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scopes": ()}, "scopes"),
        ({"scopes": ("admin",)}, "scopes"),
        ({"scopes": READ}, "scopes"),
        ({"networks": ["203.0.113.7/24"]}, "networks"),
        ({"networks": ["example.org"]}, "networks"),
        ({"networks": ["203.0.113.0/24"] * 51}, "networks"),
        ({"expires_at": timezone.now() - timedelta(days=1)}, "expires_at"),
        ({"expires_at": timezone.now().replace(tzinfo=None) + timedelta(days=1)}, "expires_at"),
        ({"tenant": ""}, "tenant"),
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(acme: Organization, options: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        make(options.pop("tenant", acme), **options)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("name", ["", "  ", "x" * 101, "a\nb", 7])
def test_a_key_has_a_name_that_can_be_printed(acme: Organization, name: Any) -> None:
    with pytest.raises(MalformedError, match="name"):
        create_key(name, tenant=acme, scopes=[READ])


def test_a_rotated_key_is_valid_for_the_overlap(acme: Organization) -> None:
    key, text = make(acme, networks=["203.0.113.0/24"])
    new, new_text = rotate_key(key, overlap=timedelta(hours=1))
    assert (new.name, new.tenant, new.scopes, new.networks) == (key.name, key.tenant, key.scopes, key.networks)
    for one in (text, new_text):
        grant_of_key(one, address=HERE)
    assert key.expires_at is not None and key.expires_at <= timezone.now() + timedelta(hours=1)
    [event] = events_of(acme.pk, "apikey.rotated")
    assert event["changes"] == [{"field": "prefix", "old": key.prefix, "new": new.prefix}]
    assert len(events_of(acme.pk, "apikey.created")) == 1
    with pytest.raises(MalformedError, match="rotated already"):
        rotate_key(key)


def test_without_overlap_the_old_key_is_refused_at_once(acme: Organization) -> None:
    key, text = make(acme)
    rotate_key(key, overlap=timedelta(0))
    assert refusal(text) == "key_expired"


def test_rotation_never_lengthens_the_life_of_the_old_key(acme: Organization) -> None:
    soon = timezone.now() + timedelta(minutes=1)
    key, _text = make(acme, expires_at=soon)
    rotate_key(key, overlap=timedelta(days=1))
    assert key.expires_at == soon


@pytest.mark.parametrize("end", ["revoked", "expired"])
def test_a_key_that_is_not_valid_is_not_rotated(acme: Organization, end: str) -> None:
    key, _text = make(acme)
    if end == "revoked":
        revoke_key(key)
    else:
        ApiKey.objects.filter(pk=key.pk).update(expires_at=timezone.now())
    with pytest.raises(MalformedError, match=end):
        rotate_key(key)
    with pytest.raises(MalformedError, match="overlap"):
        rotate_key(key, overlap=timedelta(seconds=-1))


def test_the_first_use_from_each_address_is_an_event(acme: Organization) -> None:
    _key, text = make(acme)
    for address in (HERE, HERE, "198.51.100.9", HERE, "198.51.100.9", None):
        grant_of_key(text, address=address)
    found = events_of(acme.pk, "apikey.used")
    assert [event["metadata"]["address"] for event in found] == [HERE, "198.51.100.9"]


def test_the_last_use_is_written_once_a_minute(
    acme: Organization, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    key, text = make(acme)
    grant_of_key(text, address=HERE)
    first = ApiKey.objects.get(pk=key.pk)
    assert (first.last_used_from, first.last_used_at is not None) == (HERE, True)
    with django_assert_num_queries(1):
        grant_of_key(text, address=HERE)
    ApiKey.objects.filter(pk=key.pk).update(last_used_at=timezone.now() - timedelta(minutes=2))
    grant_of_key(text, address=HERE)
    assert ApiKey.objects.get(pk=key.pk).last_used_at > first.last_used_at


def test_a_call_with_a_key_that_was_revoked_is_an_event_once_a_minute(acme: Organization) -> None:
    key, text = make(acme)
    revoke_key(key)
    for _ in range(5):
        refusal(text)
    [event] = events_of(acme.pk, "apikey.rejected")
    assert "was revoked" in event["metadata"]["reason"]
    assert event["metadata"]["address"] == HERE


def test_who_does_not_have_the_secret_causes_no_event(acme: Organization) -> None:
    key, text = make(acme)
    revoke_key(key)
    body = "_".join([*text.split("_")[:3], "A" * 43])
    assert refusal(f"{body}_{secrets._checksum(body)}") == "key_unknown"
    assert events_of(acme.pk, "apikey.rejected") == []


def test_a_key_in_a_url_is_reported_to_its_tenant(acme: Organization) -> None:
    _key, text = make(acme)
    note_exposed(text)
    note_exposed("anything")
    note_exposed(secrets.new_key().text)
    [event] = events_of(acme.pk, "apikey.rejected")
    assert "URL" in event["metadata"]["reason"]


def test_the_secret_key_may_be_rotated(acme: Organization, settings: SettingsWrapper) -> None:
    _key, text = make(acme)
    old = settings.SECRET_KEY
    settings.SECRET_KEY = "another-" + "y" * 50
    assert refusal(text) == "key_unknown"
    settings.SECRET_KEY_FALLBACKS = [old]
    grant_of_key(text, address=HERE)


def test_a_pepper_of_its_own_stands_for_the_secret_key(acme: Organization, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "API_KEY_PEPPER": "p" * 32}
    _key, text = make(acme)
    settings.SECRET_KEY = "another-" + "y" * 50
    grant_of_key(text, address=HERE)
    settings.AUDITKIT = {**settings.AUDITKIT, "API_KEY_PEPPER": ["q" * 32, "p" * 32]}
    grant_of_key(text, address=HERE)
    settings.AUDITKIT = {**settings.AUDITKIT, "API_KEY_PEPPER": "q" * 32}
    assert refusal(text) == "key_unknown"


def test_a_key_of_another_environment_says_so(acme: Organization, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "API_KEY_ENVIRONMENT": "test"}
    assert make(acme)[1].startswith("ak_test_")


def test_a_tenants_keys_are_its_own(acme: Organization, globex: Organization) -> None:
    mine, theirs, ours = make(acme)[0], make(globex)[0], make(None)[0]
    assert [key.pk for key in keys_of(acme)] == [mine.pk]
    assert [key.pk for key in keys_of(globex)] == [theirs.pk]
    assert [key.pk for key in keys_of(None)] == [ours.pk]


def test_an_event_about_a_key_names_who_made_it(acme: Organization) -> None:
    with auditlog.context(actor="user:17"):
        make(acme)
    [event] = events_of(acme.pk, "apikey.created")
    assert event["actor"] == {"type": "user", "id": "17"}
    assert event["metadata"]["scopes"] == [scope for scope in SCOPES if scope in (READ, WRITE)]
