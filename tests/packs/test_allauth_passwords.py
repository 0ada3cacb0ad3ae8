"""Passwords in allauth's pages: set, changed, and reset by link and by code, each under its own action."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from allauth.account import views
from allauth.account.internal.flows.password_reset import request_password_reset
from django.contrib.auth.models import User
from django.contrib.auth.tokens import PasswordResetTokenGenerator
from django.core import mail
from django.test import Client, RequestFactory
from django.urls import path

from auditkit_django.hooks.packs.allauth import passwords
from auditkit_django.models import Event
from tests.packs import urls
from tests.packs.allauth_steps import (
    PASSWORD,
    Recorded,
    done,
    link_in_mail,
    post,
    reset_password,
    sign_in,
    since_now,
    told,
)

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

#: The pages of a reset by code, which allauth has instead of those of a link.
urlpatterns = [
    path(
        "accounts/password/reset/confirm/",
        views.confirm_password_reset_code,
        name="account_confirm_password_reset_code",
    ),
    path("accounts/password/reset/complete/", views.complete_password_reset, name="account_complete_password_reset"),
    path("accounts/password/reset/ended/", views.password_reset_from_key_done, name="account_password_reset_completed"),
    *urls.urlpatterns,
]


@pytest.fixture
def recorded(recorded: Recorded) -> Recorded:
    everything = since_now(recorded)
    return lambda **filters: everything(only="auth.", **filters)


@pytest.fixture
def person(recorded: Recorded) -> User:
    return User.objects.create_user("ada", "ada@example.org", PASSWORD)


def test_the_first_password_of_an_account_without_one_is_a_change_by_its_owner(
    person: User, recorded: Recorded
) -> None:
    person.set_unusable_password()
    person.save()
    browser = Client()
    browser.force_login(person, "allauth.account.auth_backends.AuthenticationBackend")
    before = len(recorded())
    done(post(browser, "password/set/", password1="battery staple", password2="battery staple"))
    assert told(recorded()[before:]) == [("auth.password.changed", "success", str(person.pk))]


def test_a_reset_by_link_is_asked_for_once_and_done_once(person: User, recorded: Recorded) -> None:
    reset_password(Client(), "ada@example.org", "battery staple")
    asked, reset = recorded()
    assert told([asked, reset]) == [
        ("auth.password.reset_requested", "success", None),
        ("auth.password.reset", "success", str(person.pk)),
    ]
    assert {event["targets"][0]["id"] for event in (asked, reset)} == {str(person.pk)}
    link = link_in_mail("password/reset/key/")
    token = link.rstrip("/").rpartition("/")[2]
    assert not any(word in event.disclosures for event in Event.objects.all() for word in (token, "battery staple"))


def test_a_reset_by_link_while_signed_in_is_no_change(person: User, recorded: Recorded) -> None:
    browser = Client()
    sign_in(browser, "ada")
    before = len(recorded())
    reset_password(browser, "ada@example.org", "battery staple")
    assert [event["action"] for event in recorded()[before:]] == [
        "auth.password.reset_requested",
        "auth.password.reset",
    ]


def test_a_password_changed_after_a_reset_is_a_change_again(person: User, recorded: Recorded) -> None:
    browser = Client()
    reset_password(browser, "ada@example.org", "battery staple")
    sign_in(browser, "ada", "battery staple")
    done(post(browser, "password/change/", oldpassword="battery staple", password1=PASSWORD, password2=PASSWORD))
    assert recorded()[-1]["action"] == "auth.password.changed"


def test_a_reset_that_signs_in_says_so(person: User, recorded: Recorded, settings: SettingsWrapper) -> None:
    settings.ACCOUNT_LOGIN_ON_PASSWORD_RESET = True
    reset_password(Client(), "ada@example.org", "battery staple")
    assert told(recorded()[1:]) == [
        ("auth.password.reset", "success", str(person.pk)),
        ("auth.login.succeeded", "success", str(person.pk)),
    ]
    assert recorded()[-1]["metadata"] == {"method": "password reset"}


def test_a_reset_for_an_address_without_account_is_not_recorded(recorded: Recorded) -> None:
    done(post(Client(), "password/reset/", email="nobody@example.org"))
    assert recorded() == []


def test_with_the_token_generator_of_django_a_reset_is_asked_for_once(
    person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.ACCOUNT_PASSWORD_RESET_TOKEN_GENERATOR = "django.contrib.auth.tokens.PasswordResetTokenGenerator"
    passwords.connect()
    request = RequestFactory().get("/")
    request_password_reset(request, person.email, [person], PasswordResetTokenGenerator())
    assert [event["action"] for event in recorded()] == ["auth.password.reset_requested"]


@pytest.mark.urls(__name__)
def test_a_reset_by_code_is_asked_for_fails_and_is_done(
    person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
    browser = Client()
    done(post(browser, "password/reset/", email="ada@example.org"))
    found = re.search(r"^([A-Z0-9]{3,}-?[A-Z0-9]{3,})$", str(mail.outbox[-1].body), re.MULTILINE)
    assert found, mail.outbox[-1].body
    assert post(browser, "password/reset/confirm/", code="WRONG-1").status_code == 200
    done(post(browser, "password/reset/confirm/", code=found[1]))
    done(post(browser, "password/reset/complete/", password1="battery staple", password2="battery staple"))
    events = recorded()
    assert told(events) == [
        ("auth.password.reset_requested", "success", None),
        ("auth.password.reset", "failure", None),
        ("auth.password.reset", "success", str(person.pk)),
    ]
    assert events[1]["metadata"] == {"reason": "invalid_code"}
    assert {event["targets"][0]["id"] for event in events} == {str(person.pk)}
    words = (found[1], "battery staple")
    assert not any(word in event.disclosures for event in Event.objects.all() for word in words)


@pytest.mark.urls(__name__)
def test_a_code_for_an_address_without_account_is_not_recorded(recorded: Recorded, settings: SettingsWrapper) -> None:
    settings.ACCOUNT_PASSWORD_RESET_BY_CODE_ENABLED = True
    browser = Client()
    done(post(browser, "password/reset/", email="nobody@example.org"))
    post(browser, "password/reset/confirm/", code="WRONG-1")
    assert recorded() == []
