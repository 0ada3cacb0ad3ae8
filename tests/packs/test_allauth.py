"""A person's whole way through django-allauth: each step is told once, by the pack or by ``hooks.auth``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.contrib.auth.models import User
from django.test import Client

from auditkit_django.hooks.packs import allauth
from auditkit_django.models import Event
from tests.packs.allauth_steps import (
    PASSWORD,
    Recorded,
    add_totp,
    code_of,
    confirm_address,
    done,
    post,
    reauthenticate,
    reset_password,
    sign_in,
    sign_out,
    sign_up,
    since_now,
    told,
)

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper


@pytest.fixture
def recorded(recorded: Recorded) -> Recorded:
    return since_now(recorded)


@pytest.fixture(autouse=True)
def _with_identifiers(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_ON": ("user.updated",)}


def test_the_whole_way_of_a_person_is_told_step_by_step_and_nothing_twice(recorded: Recorded) -> None:
    browser, other = Client(), Client()
    sign_up(browser)
    confirm_address(browser)
    sign_out(browser)
    assert post(browser, "login/", login="ada@example.org", password="wrong horse").status_code == 200
    sign_in(browser, "ada@example.org")
    changed = {"oldpassword": PASSWORD, "password1": "battery staple", "password2": "battery staple"}
    done(post(browser, "password/change/", **changed))
    sign_out(browser)
    reset_password(browser, "ada@example.org", "horse staple")
    sign_in(browser, "ada", "horse staple")
    reauthenticate(browser, "horse staple")
    secret = add_totp(browser)
    codes = Authenticator.objects.get(type="recovery_codes").wrap().generate_codes()
    sign_out(browser)
    sign_in(browser, "ada", "horse staple")
    assert post(browser, "2fa/authenticate/", code=code_of(secret, is_right=False)).status_code == 200
    done(post(browser, "2fa/authenticate/", code=code_of(secret)))
    sign_in(other, "ada", "horse staple")
    done(post(other, "2fa/authenticate/", code=codes[0]))
    reauthenticate(browser, "horse staple")
    done(post(browser, "2fa/totp/deactivate/"))
    done(post(browser, "sessions/"))
    assert other.get("/act/").wsgi_request.user.is_anonymous

    ada = str(User.objects.get(username="ada").pk)
    events = recorded(but=("audit.", "org."))
    assert told(events) == [
        ("user.created", "success", ada),
        ("auth.login.succeeded", "success", ada),
        ("user.updated", "success", ada),
        ("auth.logout", "success", ada),
        ("auth.login.failed", "failure", ada),
        ("auth.login.succeeded", "success", ada),
        ("auth.password.changed", "success", ada),
        ("auth.logout", "success", ada),
        ("auth.password.reset_requested", "success", None),
        ("auth.password.reset", "success", ada),
        ("auth.login.succeeded", "success", ada),
        ("mfa.factor.enrolled", "success", ada),
        ("mfa.factor.enrolled", "success", ada),
        ("auth.logout", "success", ada),
        ("mfa.challenge.failed", "failure", ada),
        ("auth.login.succeeded", "success", ada),
        ("mfa.recovery_code.used", "success", ada),
        ("auth.login.succeeded", "success", ada),
        ("mfa.factor.removed", "success", ada),
        ("mfa.factor.removed", "success", ada),
        ("session.revoked", "success", ada),
    ]
    assert [event["metadata"] for event in events if event["action"] == "auth.login.succeeded"] == [
        {"method": "sign-up"},
        {"method": "password"},
        {"method": "password"},
        {"method": "password", "factor": "totp"},
        {"method": "password", "factor": "recovery_codes"},
    ]
    secrets = [
        PASSWORD,
        "wrong horse",
        "battery staple",
        "horse staple",
        secret,
        *codes,
        User.objects.get(username="ada").password,
    ]
    assert [word for word in secrets for event in Event.objects.all() if word in event.disclosures] == []


def test_connecting_the_pack_again_doubles_nothing(recorded: Recorded) -> None:
    allauth.connect()
    browser = Client()
    sign_up(browser)
    sign_out(browser)
    post(browser, "login/", login="ada", password="wrong horse")
    post(browser, "password/reset/", email="ada@example.org")
    RecoveryCodes.activate(User.objects.get(username="ada"))
    EmailAddress.objects.update(verified=True)
    assert [event["action"] for event in recorded(but=("audit.",))] == [
        "user.created",
        "auth.login.succeeded",
        "auth.logout",
        "auth.login.failed",
        "auth.password.reset_requested",
        "mfa.factor.enrolled",
        "user.updated",
    ]
