"""E-mail addresses and accounts at providers that open an account beside its own row."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import User
from django.test import Client

from auditkit_django import auditlog
from tests.packs.allauth_steps import (
    PASSWORD,
    Recorded,
    confirm_address,
    done,
    post,
    reauthenticate,
    sign_in,
    sign_up,
    since_now,
)

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper


@pytest.fixture(autouse=True)
def _with_identifiers(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_ON": ("user.updated",)}


@pytest.fixture
def recorded(recorded: Recorded) -> Recorded:
    everything = since_now(recorded)
    return lambda **filters: everything(only="user.", **filters)


@pytest.fixture
def person(recorded: Recorded) -> User:
    user = User.objects.create_user("ada", "ada@example.org", PASSWORD)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def changes(events: list[dict[str, Any]]) -> list[tuple[str, str, Any, Any]]:
    """Action, field, old and new of each change."""
    return [
        (event["action"], one["field"], one["old"], one["new"]) for event in events for one in event.get("changes", ())
    ]


def test_a_sign_up_is_one_event_of_the_person_and_its_confirmation_another(recorded: Recorded) -> None:
    browser = Client()
    sign_up(browser)
    user = User.objects.get(username="ada")
    assert [(event["action"], event["actor"]["id"]) for event in recorded()] == [("user.created", str(user.pk))]
    confirm_address(Client())
    confirmed = recorded()[-1]
    assert changes([confirmed]) == [("user.updated", "verified", False, True)]
    assert confirmed["metadata"] == {"email_address": "ada@example.org"}
    # Who follows the link in the mail is the person, signed in or not.
    assert confirmed["actor"]["id"] == str(user.pk)


def test_a_sign_up_that_waits_for_its_confirmation_is_still_one_user_and_one_sign_in(
    recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.ACCOUNT_EMAIL_VERIFICATION = "mandatory"
    sign_up(Client())
    assert [event["action"] for event in recorded()] == ["user.created"]


def test_a_changed_primary_address_is_one_change_of_the_sign_in_email(person: User, recorded: Recorded) -> None:
    browser = Client()
    sign_in(browser, "ada")
    reauthenticate(browser)
    before = len(recorded())
    done(post(browser, "email/", email="ada@home.example", action_add=""))
    confirm_address(browser)
    done(post(browser, "email/", email="ada@home.example", action_primary=""))
    done(post(browser, "email/", email="ada@example.org", action_remove=""))
    assert changes(recorded()[before:]) == [
        ("user.updated", "email_address", None, "ada@home.example"),
        ("user.updated", "verified", False, True),
        ("user.email.changed", "email", "ada@example.org", "ada@home.example"),
        ("user.updated", "email_address", "ada@example.org", None),
    ]
    assert {event["actor"]["id"] for event in recorded()[before:]} == {str(person.pk)}


def test_where_the_address_is_exchanged_the_sign_in_email_changes_once(
    person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.ACCOUNT_CHANGE_EMAIL = True
    browser = Client()
    sign_in(browser, "ada")
    before = len(recorded())
    done(post(browser, "email/", email="ada@home.example", action_add=""))
    confirm_address(browser)
    told = changes(recorded()[before:])
    assert [one for one in told if one[0] == "user.email.changed"] == [
        ("user.email.changed", "email", "ada@example.org", "ada@home.example")
    ]
    assert [one for one in told if one[1] == "email_address"] == [
        ("user.updated", "email_address", None, "ada@home.example"),
        ("user.updated", "email_address", "ada@example.org", None),
    ]


def test_where_the_row_has_no_email_the_primary_address_is_the_sign_in_email(
    person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.ACCOUNT_USER_MODEL_EMAIL_FIELD = None
    EmailAddress.objects.create(user=person, email="ada@home.example", verified=True)
    browser = Client()
    sign_in(browser, "ada")
    before = len(recorded())
    done(post(browser, "email/", email="ada@home.example", action_primary=""))
    assert changes(recorded()[before:]) == [("user.email.changed", "email", "ada@example.org", "ada@home.example")]


def test_an_administrator_who_gives_an_account_another_address_is_named(person: User, recorded: Recorded) -> None:
    root = User.objects.create_superuser("root", "root@example.org", PASSWORD)
    browser = Client()
    browser.force_login(root, "django.contrib.auth.backends.ModelBackend")
    before = len(recorded())
    form = {"user": person.pk, "email": "mallory@example.org", "verified": "on"}
    assert browser.post("/admin/account/emailaddress/add/", form).status_code == 302
    [event] = recorded()[before:]
    assert changes([event]) == [("user.updated", "email_address", None, "mallory@example.org")]
    assert (event["actor"]["id"], event["targets"][0]["id"]) == (str(root.pk), str(person.pk))


def test_addresses_that_move_in_bulk_are_told_of_both_accounts(person: User, recorded: Recorded) -> None:
    other = User.objects.create_user("grace", "grace@example.org", PASSWORD)
    EmailAddress.objects.create(user=other, email="old@example.org")
    before = len(recorded())
    with auditlog.context(actor=other):
        EmailAddress.objects.filter(user=other).update(user=person)
    lost, won = recorded()[before:]
    assert changes([lost, won]) == [
        ("user.updated", "email_address", "old@example.org", None),
        ("user.updated", "email_address", None, "old@example.org"),
    ]
    assert [event["targets"][0]["id"] for event in (lost, won)] == [str(other.pk), str(person.pk)]


def test_the_deletion_of_a_user_says_nothing_of_their_identifiers(person: User, recorded: Recorded) -> None:
    EmailAddress.objects.create(user=person, email="ada@home.example")
    SocialAccount.objects.create(user=person, provider="dummy", uid="7")
    before = len(recorded())
    person.delete()
    assert [event["action"] for event in recorded()[before:]] == ["user.deleted"]


def test_a_provider_account_taken_away_by_a_command_is_recorded(person: User, recorded: Recorded) -> None:
    SocialAccount.objects.create(user=person, provider="dummy", uid="7", extra_data={"token": "s3cret-of-provider"})
    SocialAccount.objects.filter(user=person).update(extra_data={})
    SocialAccount.objects.all().delete()
    assert changes(recorded())[-2:] == [
        ("user.updated", "social_account", None, "dummy:7"),
        ("user.updated", "social_account", "dummy:7", None),
    ]
