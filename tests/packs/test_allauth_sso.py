"""Single sign-on through allauth: signing in and up, connecting accounts, and what was rejected."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.helpers import render_authentication_error
from allauth.socialaccount.models import SocialAccount
from allauth.socialaccount.providers.base import ProviderException
from django.contrib.auth.models import User
from django.http import HttpRequest
from django.test import Client, RequestFactory

from auditkit_django.hooks.packs.allauth import single_sign_on
from auditkit_django.models import Event
from tests.packs.allauth_steps import PASSWORD, Recorded, done, post, reauthenticate, sign_in, since_now, told

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper


@pytest.fixture(autouse=True)
def _with_identifiers(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_ON": ("user.updated",)}


@pytest.fixture
def recorded(recorded: Recorded) -> Recorded:
    everything = since_now(recorded)
    return lambda **filters: everything(but=("audit.", "org."), **filters)


@pytest.fixture
def person(recorded: Recorded) -> User:
    user = User.objects.create_user("ada", "ada@example.org", PASSWORD)
    EmailAddress.objects.create(user=user, email=user.email, primary=True, verified=True)
    return user


def through_provider(browser: Client, *, uid: int, process: str = "login", **claims: object) -> Any:
    """Go to the provider and come back as ``uid``."""
    form = done(browser.post(f"/accounts/dummy/login/?process={process}"))  # type: ignore[arg-type]
    return browser.post(form, {"id": uid, **claims})


def test_a_first_sign_in_through_a_provider_makes_the_user_once(recorded: Recorded) -> None:
    done(through_provider(Client(), uid=7, username="ada", email="ada@example.org", email_verified="on"))
    key = str(User.objects.get(username="ada").pk)
    assert told(recorded()) == [
        ("user.created", "success", key),
        ("user.updated", "success", key),
        ("auth.login.succeeded", "success", key),
    ]
    assert recorded()[1]["changes"] == [{"field": "social_account", "old": None, "new": "dummy:7"}]
    assert recorded()[2]["metadata"] == {"method": "sso", "provider": "dummy"}


def test_a_sign_in_through_a_provider_is_one_event_that_names_it(person: User, recorded: Recorded) -> None:
    SocialAccount.objects.create(user=person, provider="dummy", uid="7")
    before = len(recorded())
    done(through_provider(Client(), uid=7))
    assert told(recorded()[before:]) == [("auth.login.succeeded", "success", str(person.pk))]
    assert recorded()[-1]["metadata"] == {"method": "sso", "provider": "dummy"}


def test_connecting_and_disconnecting_a_provider_is_recorded_once_each(person: User, recorded: Recorded) -> None:
    browser = Client()
    sign_in(browser, "ada")
    reauthenticate(browser)
    before = len(recorded())
    done(through_provider(browser, uid=7, process="connect"))
    done(post(browser, "3rdparty/", account=SocialAccount.objects.get().pk))
    events = recorded()[before:]
    assert told(events) == [("user.updated", "success", str(person.pk))] * 2
    assert [event["changes"] for event in events] == [
        [{"field": "social_account", "old": None, "new": "dummy:7"}],
        [{"field": "social_account", "old": "dummy:7", "new": None}],
    ]


def test_a_provider_that_is_trusted_by_email_address_connects_and_signs_in(
    person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.SOCIALACCOUNT_EMAIL_AUTHENTICATION = True
    settings.SOCIALACCOUNT_EMAIL_AUTHENTICATION_AUTO_CONNECT = True
    before = len(recorded())
    done(through_provider(Client(), uid=7, email="ada@example.org", email_verified="on"))
    assert told(recorded()[before:]) == [
        ("user.updated", "success", str(person.pk)),
        ("auth.login.succeeded", "success", str(person.pk)),
    ]


def test_a_disabled_account_is_refused_to_the_provider_too(person: User, recorded: Recorded) -> None:
    SocialAccount.objects.create(user=person, provider="dummy", uid="7")
    User.objects.filter(pk=person.pk).update(is_active=False)
    before = len(recorded())
    done(through_provider(Client(), uid=7))
    [event] = recorded()[before:]
    assert told([event]) == [("auth.login.failed", "failure", str(person.pk))]
    assert event["metadata"] == {"method": "sso", "provider": "dummy", "reason": "account_disabled"}


def test_an_answer_that_belongs_to_no_question_is_rejected(recorded: Recorded) -> None:
    answer = Client().get("/accounts/oidc/corporate/login/callback/?code=stolen-code&state=forged")
    assert answer.status_code == 401
    [event] = recorded()
    assert told([event]) == [("auth.sso.failed", "failure", None)]
    assert event["actor"]["type"] == "anonymous"
    assert event["metadata"] == {"provider": "corporate", "reason": "unknown"}
    assert not any("stolen-code" in event.disclosures for event in Event.objects.all())


def test_a_rejected_assertion_names_what_failed_and_quotes_nothing(recorded: Recorded) -> None:
    request = RequestFactory().get("/")
    provider = DefaultSocialAccountAdapter(request).get_provider(request, "corporate")
    render_authentication_error(request, provider, exception=ProviderException("token ya29.secret is not valid"))
    saml = {"saml_errors": ["invalid_response"], "saml_last_error_reason": "Signature of ada@example.org"}
    render_authentication_error(request, provider, extra_context=saml)
    assert [event["metadata"]["reason"] for event in recorded()] == ["ProviderException", "invalid_response"]
    assert not any(word in event.disclosures for event in Event.objects.all() for word in ("ya29", "ada@example.org"))


def test_who_turns_back_at_the_provider_did_not_fail(recorded: Recorded) -> None:
    browser = Client()
    form = done(browser.post("/accounts/dummy/login/"))  # type: ignore[arg-type]
    done(browser.post(form, {"action": "cancel"}))  # type: ignore[arg-type]
    assert recorded() == []


class Closed(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """Nobody signs up."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return False


def test_who_has_no_account_and_may_not_sign_up_is_rejected(recorded: Recorded, settings: SettingsWrapper) -> None:
    settings.SOCIALACCOUNT_ADAPTER = f"{__name__}.Closed"
    single_sign_on.connect()
    through_provider(Client(), uid=7, username="ada", email="ada@example.org")
    [event] = recorded()
    assert told([event]) == [("auth.sso.failed", "failure", None)]
    assert event["metadata"] == {"provider": "dummy", "reason": "unknown_account"}
