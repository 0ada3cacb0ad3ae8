"""The user's row: every path of the ORM, and passwords told apart by who changed them and how."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client

from auditkit_django import auditlog
from auditkit_django.models import Event

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db
Ask = Callable[..., list[Any]]


def test_a_new_user_is_recorded_and_a_new_superusers_rights_too(told: Ask) -> None:
    user = User.objects.create_superuser("root", "root@example.org", "correct horse")
    key = str(user.pk)
    assert told() == [
        ("user.created", "success", None, key),
        ("permission.granted", "success", None, key),
        ("permission.granted", "success", None, key),
    ]
    assert not any(
        "correct horse" in event.disclosures or user.password in event.disclosures for event in Event.objects.all()
    )


@pytest.mark.parametrize(
    ("field", "value", "action"),
    [
        ("is_active", False, "user.disabled"),
        ("is_staff", True, "permission.granted"),
        ("is_superuser", True, "permission.granted"),
        ("email", "new@example.org", "user.email.changed"),
    ],
)
@pytest.mark.parametrize("way", ["save", "update_fields", "update", "bulk_update"])
def test_what_matters_is_recorded_on_every_path(
    ada: User, told: Ask, field: str, value: Any, action: str, way: str
) -> None:
    told()
    if way == "update":
        User.objects.filter(pk=ada.pk).update(**{field: value})
    else:
        setattr(ada, field, value)
        if way == "bulk_update":
            User.objects.bulk_update([ada], [field])
        else:
            ada.save(**({"update_fields": [field]} if way == "update_fields" else {}))
    [event] = told(full=True)
    assert (event.action, event.target_id) == (action, str(ada.pk))
    [change] = event.disclosed()["changes"]
    assert (change["field"], change["new"]) == (field, value)


def test_rights_taken_away_and_an_account_enabled_again(ada: User, told: Ask) -> None:
    User.objects.update(is_staff=True, is_active=False)
    told()
    ada.refresh_from_db()
    ada.is_staff, ada.is_active = False, True
    ada.save()
    assert [action for action, *_rest in told()] == ["user.enabled", "permission.revoked"]


def test_what_does_not_matter_is_not_recorded(ada: User, told: Ask) -> None:
    told()
    ada.first_name = "Augusta"
    ada.save()
    Client().force_login(ada)
    assert [action for action, *_rest in told()] == ["auth.login.succeeded"]


@pytest.mark.parametrize("way", ["instance", "queryset"])
def test_a_deleted_user_is_recorded_by_name(ada: User, told: Ask, way: str) -> None:
    told()
    key = str(ada.pk)
    if way == "instance":
        ada.delete()
    else:
        User.objects.filter(pk=ada.pk).delete()
    [event] = told(full=True)
    assert (event.action, event.target_id) == ("user.deleted", key)
    assert event.disclosed()["targets"] == [{"type": "user", "id": key, "name": "Ada Lovelace"}]


def test_users_made_in_bulk_are_recorded(told: Ask) -> None:
    User.objects.bulk_create([User(username="a"), User(username="b", is_superuser=True)])
    assert [action for action, *_rest in told()] == ["user.created", "user.created", "permission.granted"]


def test_users_that_were_there_are_ignored_and_not_recorded_again(ada: User, told: Ask) -> None:
    told()
    User.objects.bulk_create([User(username="ada"), User(username="new")], ignore_conflicts=True)
    [event] = told(full=True)
    assert (event.action, event.target_id) == ("user.created", str(User.objects.get(username="new").pk))


def test_ones_own_password_is_changed(ada: User, told: Ask, client: Client) -> None:
    ada.is_staff = True
    ada.save()
    client.force_login(ada)
    told()
    answer = client.post(
        "/admin/password_change/",
        {"old_password": "correct horse", "new_password1": "quiet-harbor-42", "new_password2": "quiet-harbor-42"},
    )
    assert answer.status_code == 302
    key = str(ada.pk)
    assert told() == [("auth.password.changed", "success", key, key)]
    assert not any("quiet-harbor" in event.disclosures for event in Event.objects.all())


def test_anothers_password_is_reset_by_an_administrator(ada: User, told: Ask, admin_client: Client) -> None:
    told()
    admin_client.post(
        f"/admin/auth/user/{ada.pk}/password/", {"password1": "quiet-harbor-42", "password2": "quiet-harbor-42"}
    )
    [event] = told(full=True)
    admin = User.objects.get(username="admin")
    assert (event.action, event.actor_id, event.target_id) == ("auth.password.reset", str(admin.pk), str(ada.pk))


@pytest.mark.urls("tests.hooks.auth.urls")
def test_a_reset_by_mail_is_requested_and_completed_by_the_user(ada: User, told: Ask, client: Client) -> None:
    told()
    client.post("/password_reset/", {"email": ada.email})
    link = re.search(r"/reset/[^\s]+", mail.outbox[0].body)
    assert link is not None
    form = client.get(link[0], follow=True)
    client.post(form.request["PATH_INFO"], {"new_password1": "quiet-harbor-42", "new_password2": "quiet-harbor-42"})
    key = str(ada.pk)
    assert told() == [
        ("auth.password.reset_requested", "success", None, key),
        ("auth.password.reset", "success", key, key),
    ]
    token = link[0].split("/")[3]
    assert not any(token in event.disclosures for event in Event.objects.all())


@pytest.mark.urls("tests.hooks.auth.urls")
def test_a_reset_for_an_unknown_address_records_nothing(told: Ask, client: Client) -> None:
    client.post("/password_reset/", {"email": "nobody@example.org"})
    assert told() == []


def test_a_password_hashed_anew_at_sign_in_is_no_change(ada: User, told: Ask, settings: SettingsWrapper) -> None:
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]
    told()
    assert ada.check_password("correct horse")
    ada.refresh_from_db()
    assert ada.password.startswith("pbkdf2")
    assert told() == []


def test_a_hash_set_by_hand_is_a_change(ada: User, told: Ask) -> None:
    told()
    User.objects.filter(pk=ada.pk).update(password=make_password("quiet-harbor-42"))
    ada.refresh_from_db()
    ada.set_unusable_password()
    ada.save()
    assert [action for action, *_rest in told()] == ["auth.password.reset", "auth.password.reset"]


def test_who_signs_up_acts_for_themselves(told: Ask, rf: Any) -> None:
    with auditlog.context(request=rf.post("/sign-up/"), tenant="acme"):
        user = User.objects.create_user("new")
    [event] = told(full=True)
    assert (event.action, event.actor_id, event.tenant) == ("user.created", str(user.pk), "acme")
