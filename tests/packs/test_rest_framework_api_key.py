"""djangorestframework-api-key: keys made, changed and revoked, who acts by one, and that no key or hash is recorded."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.hashers import make_password
from django.utils import timezone
from rest_framework_api_key.models import APIKey
from rest_framework_api_key.permissions import BaseHasAPIKey

from auditkit_django import auditlog
from auditkit_django.hooks.packs import rest_framework_api_key as pack
from auditkit_django.models import Event
from tests.packs.derived.models import OrganizationKey

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client
    from pytest_django.fixtures import SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db

Recorded = Callable[..., list[dict[str, Any]]]
_EXPIRY = datetime(2030, 1, 2, tzinfo=UTC)


@pytest.fixture
def told(recorded: Recorded) -> Callable[[], list[dict[str, Any]]]:
    """What the pack recorded since the last call."""
    seen = 0

    def read() -> list[dict[str, Any]]:
        nonlocal seen
        found = recorded(only="apikey") + recorded(only="config.updated")
        new, seen = found[seen:], len(found)
        return new

    return read


def _actions(events: list[dict[str, Any]]) -> list[str]:
    return [event["action"] for event in events]


def _is_recorded(*secrets: str) -> bool:
    # The secret by itself too: the first part of a key, its prefix, is what it is named by.
    parts = {part for secret in secrets for part in (secret, secret.partition(".")[2], secret.rpartition("$")[2])}
    return any(part and part in str(event.disclosures) for event in Event.objects.all() for part in parts)


def test_a_key_made_is_recorded_by_its_prefix_with_name_and_expiry(recorded: Recorded) -> None:
    api_key, key = APIKey.objects.create_key(name="CI", expiry_date=_EXPIRY)
    [event] = recorded(only="apikey")
    assert event["action"] == "apikey.created"
    assert event["targets"] == [{"type": "api_key", "id": api_key.prefix, "name": "CI"}]
    assert event["metadata"]["prefix"] == api_key.prefix
    assert event["metadata"]["name"] == "CI"
    assert event["metadata"]["expiry"].startswith("2030-01-02T00:00:00")
    assert not _is_recorded(key, api_key.hashed_key, api_key.pk)


@pytest.mark.parametrize(
    "revoke",
    [
        pytest.param(lambda key: (setattr(key, "revoked", True), key.save()), id="save"),
        pytest.param(lambda key: APIKey.objects.update(revoked=True), id="update"),
        pytest.param(
            lambda key: (setattr(key, "revoked", True), APIKey.objects.bulk_update([key], ["revoked"])), id="bulk"
        ),
        pytest.param(lambda key: key.delete(), id="delete"),
        pytest.param(lambda key: APIKey.objects.all().delete(), id="queryset delete"),
    ],
)
def test_a_key_is_revoked_by_its_flag_or_by_deleting_it(revoke: Callable[[APIKey], Any], told: Any) -> None:
    api_key, key = APIKey.objects.create_key(name="CI")
    told()
    prefix, secrets = api_key.prefix, (key, api_key.hashed_key, api_key.pk)
    revoke(api_key)
    [event] = told()
    assert event["action"] == "apikey.revoked"
    assert event["targets"] == [{"type": "api_key", "id": prefix, "name": "CI"}]
    assert event["metadata"]["reason"] in ("revoked", "deleted")
    APIKey.objects.all().delete()
    assert told() == []
    assert not _is_recorded(*secrets)


def test_an_administrator_who_makes_and_revokes_a_key_is_the_actor(
    admin_client: Client, admin_user: User, told: Any
) -> None:
    assert admin_client.post("/admin/rest_framework_api_key/apikey/add/", {"name": "CI"}).status_code == 302
    api_key = APIKey.objects.get()
    url = f"/admin/rest_framework_api_key/apikey/{api_key.pk.replace('$', '_24')}/change/"
    assert admin_client.post(url, {"name": "CI", "revoked": "on"}).status_code == 302
    created, revoked = told()
    assert (created["action"], revoked["action"]) == ("apikey.created", "apikey.revoked")
    assert created["actor"]["id"] == revoked["actor"]["id"] == str(admin_user.pk)


def test_keys_written_in_bulk_are_recorded(told: Any) -> None:
    keys = [APIKey(name=name) for name in ("one", "two")]
    secrets = [APIKey.objects.assign_key(key) for key in keys]
    APIKey.objects.bulk_create(keys)
    assert [event["targets"][0]["name"] for event in told()] == ["one", "two"]
    assert not _is_recorded(*secrets, *(key.hashed_key for key in keys))


def test_a_new_expiry_or_name_is_a_changed_setting(told: Any) -> None:
    api_key, _key = APIKey.objects.create_key(name="CI")
    told()
    api_key.expiry_date, api_key.name = _EXPIRY, "CI 2"
    api_key.save()
    [event] = told()
    assert event["action"] == "config.updated"
    assert {change["field"] for change in event["changes"]} == {"name", "expiry_date"}
    assert {"field": "name", "old": "CI", "new": "CI 2"} in event["changes"]


def test_a_revoked_key_that_update_makes_good_again_is_a_changed_setting(told: Any) -> None:
    APIKey.objects.create_key(name="CI", revoked=True)
    told()
    APIKey.objects.update(revoked=False)
    [event] = told()
    assert event["action"] == "config.updated"
    assert event["changes"] == [{"field": "revoked", "old": True, "new": False}]


def test_another_key_written_into_the_row_is_a_rotation(told: Any) -> None:
    api_key, key = APIKey.objects.create_key(name="CI")
    told()
    fresh = APIKey(name="CI")
    another = APIKey.objects.assign_key(fresh)
    APIKey.objects.filter(pk=api_key.pk).update(id=fresh.pk, prefix=fresh.prefix, hashed_key=fresh.hashed_key)
    [event] = told()
    assert event["action"] == "apikey.rotated"
    assert event["targets"][0]["id"] == fresh.prefix
    assert event["metadata"]["previous_prefix"] == api_key.prefix
    assert not _is_recorded(key, another, api_key.hashed_key, fresh.hashed_key)


def test_a_hash_brought_up_to_date_on_first_use_is_no_rotation(told: Any) -> None:
    api_key, key = APIKey.objects.create_key(name="CI")
    APIKey.objects.filter(pk=api_key.pk).update(hashed_key=make_password(key))
    told()
    assert APIKey.objects.is_valid(key)
    assert APIKey.objects.get().hashed_key.startswith("sha512$$")
    assert told() == []


def test_a_key_of_an_organization_is_in_the_log_of_that_organization(acme: Organization, recorded: Recorded) -> None:
    api_key, key = OrganizationKey.objects.create_key(name="CI", organization=acme)
    OrganizationKey.objects.update(revoked=True)
    assert [(event["action"], event["tenant"]) for event in recorded(only="apikey")] == [
        ("apikey.created", str(acme.pk)),
        ("apikey.revoked", str(acme.pk)),
    ]
    assert not _is_recorded(key, api_key.hashed_key)


def test_keys_deleted_with_their_organization_are_revoked(acme: Organization, recorded: Recorded) -> None:
    OrganizationKey.objects.create_key(name="CI", organization=acme)
    acme.delete()
    assert _actions(recorded(only="apikey")) == ["apikey.created", "apikey.revoked"]


@pytest.mark.parametrize("model", [APIKey, OrganizationKey])
def test_in_a_request_that_a_key_let_in_the_key_is_the_actor(
    model: Any, client: Client, acme: Organization, recorded: Recorded
) -> None:
    fields = {"organization": acme} if model is OrganizationKey else {}
    api_key, key = model.objects.create_key(name="CI", **fields)
    assert client.get("/keys/permission/", headers={"authorization": f"Api-Key {key}"}).status_code == 200
    [event] = recorded(only="org.updated")
    assert event["actor"] == {"type": "api_key", "id": api_key.prefix, "name": "CI"}
    assert not _is_recorded(key, api_key.hashed_key)


def test_who_is_signed_in_acts_themselves_though_a_key_came_along(
    client: Client, ada: User, recorded: Recorded
) -> None:
    _api_key, key = APIKey.objects.create_key(name="CI")
    client.force_login(ada)
    client.get("/keys/permission/", headers={"authorization": f"Api-Key {key}"})
    assert recorded(only="org.updated")[0]["actor"]["id"] == str(ada.pk)


def test_the_next_request_without_a_key_is_nobodys(client: Client, recorded: Recorded) -> None:
    _api_key, key = APIKey.objects.create_key(name="CI")
    client.get("/keys/permission/", headers={"authorization": f"Api-Key {key}"})
    client.get("/act/")
    assert [event["actor"]["type"] for event in recorded(only="org.updated")] == ["api_key", "anonymous"]


def test_a_key_found_outside_of_a_permission_makes_nobody_an_actor(recorded: Recorded) -> None:
    _api_key, key = APIKey.objects.create_key(name="CI")
    with auditlog.context(actor="anonymous"):
        APIKey.objects.get_from_key(key)
        auditlog.event("org.updated", tenant="acme")
    assert recorded(only="org.updated")[0]["actor"] == {"type": "anonymous"}


def test_a_key_that_the_host_authenticates_itself_is_the_actor_by_its_prefix(
    client: Client, acme: Organization, recorded: Recorded
) -> None:
    api_key, key = OrganizationKey.objects.create_key(name="CI", organization=acme)
    assert client.get("/keys/authentication/", headers={"x-key": key}).status_code == 200
    [event] = recorded(only="org.updated")
    assert event["actor"] == {"type": "api_key", "id": api_key.prefix, "name": "CI"}


def test_a_key_that_the_host_names_as_a_target_is_named_by_its_prefix(recorded: Recorded) -> None:
    api_key, _key = APIKey.objects.create_key(name="CI")
    auditlog.event("org.updated", tenant="acme", resource=api_key)
    assert recorded(only="org.updated")[0]["targets"][0]["id"] == api_key.prefix


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param({"revoked": True}, "revoked", id="revoked"),
        pytest.param({"expiry_date": timezone.now() - timedelta(days=1)}, "expired", id="expired"),
        pytest.param({}, "wrong secret", id="wrong secret"),
    ],
)
def test_a_call_with_a_key_that_is_not_good_is_recorded_where_asked_for(
    spoil: dict[str, Any], reason: str, client: Client, recorded: Recorded, settings: SettingsWrapper
) -> None:
    api_key, key = APIKey.objects.create_key(name="CI", **spoil)
    presented = key if spoil else f"{api_key.prefix}.made-up-secret"
    headers = {"authorization": f"Api-Key {presented}"}
    assert client.get("/keys/permission/", headers=headers).status_code == 403
    assert recorded(only="apikey.rejected") == []
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_ON": ["apikey.rejected"]}
    assert client.get("/keys/permission/", headers=headers).status_code == 403
    [event] = recorded(only="apikey.rejected")
    assert (event["outcome"], event["metadata"]["reason"]) == ("failure", reason)
    assert event["targets"] == [{"type": "api_key", "id": api_key.prefix, "name": "CI"}]
    assert event["actor"] == {"type": "anonymous"}
    assert not _is_recorded(presented, key, api_key.hashed_key)


def test_a_key_that_is_good_for_another_model_of_keys_is_not_rejected(
    client: Client, acme: Organization, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_ON": ["apikey.rejected"]}
    _api_key, key = OrganizationKey.objects.create_key(name="CI", organization=acme)
    assert client.get("/keys/permission/", headers={"authorization": f"Api-Key {key}"}).status_code == 200
    client.get("/keys/permission/", headers={"authorization": "Api-Key unknown.key"})
    client.get("/keys/permission/")
    assert recorded(only="apikey.rejected") == []


def test_switched_off_it_records_nothing(recorded: Recorded, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ["rest_framework_api_key"]}
    APIKey.objects.create_key(name="CI")
    APIKey.objects.all().delete()
    assert recorded(only="apikey") == []


def test_connecting_twice_records_once_and_wraps_once(recorded: Recorded) -> None:
    wrapped = BaseHasAPIKey.has_permission
    pack.connect()
    APIKey.objects.create_key(name="CI")
    assert len(recorded(only="apikey")) == 1
    assert BaseHasAPIKey.has_permission is wrapped
