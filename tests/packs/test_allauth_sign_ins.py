"""Signing in through allauth: with what, whose failure, and exactly once whatever the host overrides."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from django.contrib.auth import login as django_login
from django.contrib.auth.models import User
from django.core import mail
from django.core.cache import cache
from django.http import HttpRequest
from django.test import Client

from auditkit_django.hooks.packs.allauth import sign_ins
from auditkit_django.models import Event
from tests.host.models import Membership
from tests.packs.allauth_steps import PASSWORD, Recorded, done, post, sign_in, sign_out, since_now, told

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from tests.host.models import Organization


@pytest.fixture
def recorded(recorded: Recorded) -> Recorded:
    everything = since_now(recorded)
    return lambda **filters: everything(only="auth.", **filters)


@pytest.fixture
def person(recorded: Recorded) -> User:
    user = User.objects.create_user("ada", "ada@example.org", PASSWORD)
    EmailAddress.objects.create(user=user, email="ada@home.example", verified=True)
    return user


@pytest.mark.parametrize("login", ["ada", "ADA", "ada@example.org", "Ada@Home.example"])
def test_a_wrong_password_is_the_failure_of_the_account_claimed_by_any_name(
    login: str, person: User, recorded: Recorded
) -> None:
    assert post(Client(), "login/", login=login, password="wrong horse").status_code == 200
    [event] = recorded()
    assert told([event]) == [("auth.login.failed", "failure", str(person.pk))]
    assert event["metadata"] == {"method": "password", "reason": "bad_credentials"}
    assert not any("wrong horse" in event.disclosures for event in Event.objects.all())


@pytest.mark.parametrize("login", ["my-password-by-mistake", "by-mistake@example.org"])
def test_an_unknown_account_is_nobody_and_what_was_typed_is_not_recorded(login: str, recorded: Recorded) -> None:
    post(Client(), "login/", login=login, password=PASSWORD)
    [event] = recorded()
    assert told([event]) == [("auth.login.failed", "failure", None)]
    assert event["metadata"]["reason"] == "unknown_account"
    assert not any("by-mistake" in event.disclosures for event in Event.objects.all())


def test_an_address_of_several_accounts_claims_none_of_them(
    person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    User.objects.create_user("twin", person.email, "twin horse")
    post(Client(), "login/", login=person.email, password="wrong horse")
    [event] = recorded()
    assert told([event]) == [("auth.login.failed", "failure", None)]
    assert event["metadata"]["reason"] == "bad_credentials"


def test_a_disabled_account_is_refused_once_though_its_password_was_right(person: User, recorded: Recorded) -> None:
    User.objects.filter(pk=person.pk).update(is_active=False)
    assert sign_in(Client(), "ada@example.org") == "/accounts/inactive/"
    [event] = recorded()
    assert told([event]) == [("auth.login.failed", "failure", str(person.pk))]
    assert event["metadata"] == {"method": "password", "reason": "account_disabled"}


def test_an_attempt_beyond_the_limit_is_a_failure_though_nothing_was_checked(
    person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    cache.clear()
    settings.ACCOUNT_RATE_LIMITS = {"login_failed": "1/m/key"}
    for _ in range(2):
        post(Client(), "login/", login="ada", password="wrong horse")
    cache.clear()
    assert [event["metadata"]["reason"] for event in recorded()] == ["bad_credentials", "too_many_login_attempts"]
    assert {event["actor"]["id"] for event in recorded()} == {str(person.pk)}


def test_a_wrong_password_in_a_reauthentication_says_so(person: User, recorded: Recorded) -> None:
    browser = Client()
    sign_in(browser, "ada")
    assert post(browser, "reauthenticate/", password="wrong horse").status_code == 200
    done(post(browser, "reauthenticate/", password=PASSWORD))
    signed_in, failed = recorded()
    assert signed_in["action"] == "auth.login.succeeded"
    assert failed["metadata"] == {"method": "password", "reason": "bad_credentials", "reauthentication": True}
    assert failed["actor"]["id"] == str(person.pk)


def code_in_mail() -> str:
    found = re.search(r"^([A-Z0-9]{3,}-?[A-Z0-9]{3,})$", str(mail.outbox[-1].body), re.MULTILINE)
    assert found, mail.outbox[-1].body
    return found[1]


def test_a_code_by_mail_fails_and_signs_in(person: User, recorded: Recorded) -> None:
    browser = Client()
    done(post(browser, "login/code/", email="ada@example.org"))
    code = code_in_mail()
    assert post(browser, "login/code/confirm/", code="WRONG-1").status_code == 200
    done(post(browser, "login/code/confirm/", code=code))
    failed, signed_in = recorded()
    key = str(person.pk)
    assert told([failed, signed_in]) == [
        ("auth.login.failed", "failure", key),
        ("auth.login.succeeded", "success", key),
    ]
    assert failed["metadata"] == {"method": "code", "reason": "bad_credentials"}
    assert signed_in["metadata"] == {"method": "code"}
    assert not any(code in event.disclosures for event in Event.objects.all())


def test_a_code_that_is_asked_for_after_the_password_is_its_second_factor(
    person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.ACCOUNT_LOGIN_BY_CODE_REQUIRED = {"password"}
    browser = Client()
    sign_in(browser, "ada")
    assert recorded() == []
    done(post(browser, "login/code/confirm/", code=code_in_mail()))
    assert [event["metadata"] for event in recorded()] == [{"method": "password", "factor": "code"}]


def test_a_sign_in_past_allauth_keeps_the_method_of_its_backend(person: User, recorded: Recorded) -> None:
    User.objects.filter(pk=person.pk).update(is_staff=True)
    browser = Client()
    browser.post("/admin/login/?next=/admin/", {"username": "ada", "password": PASSWORD})
    assert [event["metadata"] for event in recorded()] == [{"method": "password"}]


def test_sign_ins_are_in_the_log_of_each_organization(
    person: User, acme: Organization, globex: Organization, recorded: Recorded, settings: SettingsWrapper
) -> None:
    for organization in (acme, globex):
        Membership.objects.create(organization=organization, user=person)
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": organizations_of}
    post(Client(), "login/", login="ada@example.org", password="wrong horse")
    sign_in(Client(), "ada@example.org")
    assert [(event["action"], event["tenant"]) for event in recorded()] == [
        ("auth.login.failed", str(acme.pk)),
        ("auth.login.failed", str(globex.pk)),
        ("auth.login.succeeded", str(acme.pk)),
        ("auth.login.succeeded", str(globex.pk)),
    ]


def organizations_of(user: User) -> list[Organization]:
    return [one.organization for one in Membership.objects.filter(user=user).select_related("organization")]


@pytest.mark.parametrize(("off", "count"), [(("auth",), 0), (("allauth",), 2)], ids=["auth", "allauth"])
def test_the_hook_of_sign_ins_is_auth(
    off: tuple[str, ...], count: int, person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": off}
    post(Client(), "login/", login="ada", password="wrong horse")
    sign_in(Client(), "ada")
    assert len(recorded()) == count


class Polite(DefaultAccountAdapter):  # type: ignore[misc]
    """Overrides each step, and calls the original."""

    def login(self, request: HttpRequest, user: Any) -> None:
        super().login(request, user)

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        return super().authenticate(request, **credentials)

    def pre_login(self, request: HttpRequest, user: Any, **kwargs: Any) -> Any:
        return super().pre_login(request, user, **kwargs)


class Stubborn(DefaultAccountAdapter):  # type: ignore[misc]
    """Overrides the sign-in, and does it alone."""

    def login(self, request: HttpRequest, user: Any) -> None:
        django_login(request, user, "django.contrib.auth.backends.ModelBackend")


@pytest.mark.parametrize("adapter", [Polite, Stubborn])
def test_an_adapter_of_the_hosts_is_told_once_too(
    adapter: type, person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.ACCOUNT_ADAPTER = f"{__name__}.{adapter.__name__}"
    sign_ins.connect()
    browser = Client()
    post(browser, "login/", login="ada@example.org", password="wrong horse")
    sign_in(browser, "ada@example.org")
    sign_out(browser)
    key = str(person.pk)
    assert told(recorded()) == [
        ("auth.login.failed", "failure", key),
        ("auth.login.succeeded", "success", key),
        ("auth.logout", "success", key),
    ]
    assert recorded()[1]["metadata"] == {"method": "password"}
