"""Sessions ended on the page of ``allauth.usersessions``, wherever sessions are kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from allauth.core.context import request_context
from allauth.usersessions.internal.flows.sessions import end_sessions
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from auditkit_django import auditlog
from auditkit_django.models import Event
from tests.packs.allauth_steps import PASSWORD, Recorded, done, post, sign_in, sign_out, since_now, told

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

_BACKENDS = ["db", "cached_db", "cache"]


@pytest.fixture
def recorded(recorded: Recorded) -> Recorded:
    everything = since_now(recorded)
    return lambda **filters: everything(only="session.", **filters)


@pytest.fixture
def person(recorded: Recorded) -> User:
    return User.objects.create_user("ada", "ada@example.org", PASSWORD)


@pytest.mark.parametrize("backend", _BACKENDS)
def test_each_other_session_that_is_ended_is_revoked_once(
    backend: str, person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{backend}"
    cache.clear()
    browsers = [Client() for _ in range(3)]
    for browser in browsers:
        sign_in(browser, "ada")
    keys = [browser.session.session_key for browser in browsers]
    done(post(browsers[0], "sessions/"))
    events = recorded()
    assert told(events) == [("session.revoked", "success", str(person.pk))] * 2
    assert [event["targets"][0]["id"] for event in events] == [str(person.pk)] * 2
    assert not any(str(key) in str(event) for key in keys for event in events)


@pytest.mark.parametrize("backend", _BACKENDS)
def test_leaving_and_changing_the_password_revokes_nothing(
    backend: str, person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{backend}"
    cache.clear()
    browser = Client()
    sign_in(browser, "ada")
    changed = {"oldpassword": PASSWORD, "password1": "battery staple", "password2": "battery staple"}
    done(post(browser, "password/change/", **changed))
    sign_out(browser)
    sign_in(browser, "ada", "battery staple")
    assert browser.get("/accounts/sessions/").status_code == 200
    assert recorded() == []


@pytest.mark.parametrize("backend", _BACKENDS)
def test_ending_the_own_session_is_signing_out(
    backend: str, person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.SESSION_ENGINE = f"django.contrib.sessions.backends.{backend}"
    cache.clear()
    browser = Client()
    sign_in(browser, "ada")
    request = browser.get("/act/").wsgi_request
    with request_context(request), auditlog.context(request=request):
        end_sessions(request, UserSession.objects.all())
    assert recorded() == []
    assert Event.objects.filter(action="auth.logout").count() == 1


def test_a_session_that_is_gone_already_is_not_revoked(
    person: User, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    cache.clear()
    gone, browser = Client(), Client()
    sign_in(gone, "ada")
    sign_in(browser, "ada")
    cache.clear()
    for session in UserSession.objects.all():
        session.end()
    assert recorded() == []
