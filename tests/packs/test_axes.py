"""``django-axes``: accounts that it locks after failed attempts, and that somebody unlocks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from axes.models import AccessAttempt
from axes.utils import reset
from django.core.cache import cache
from django.core.management import call_command
from django.db.models import F
from django.urls import reverse

from auditkit_django import auditlog
from auditkit_django.hooks.packs import axes
from auditkit_django.models import Event

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

Recorded = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def fail(client: Client) -> Callable[..., None]:
    """Fail to sign in, that many times."""

    def attempt(times: int = 1, *, username: str = "ada", ip: str = "192.0.2.1", password: str = "wrong-pass") -> None:
        for _ in range(times):
            given = {"login_view-current_step": "auth", "auth-username": username, "auth-password": password}
            client.post(reverse("two_factor:login"), given, REMOTE_ADDR=ip)

    return attempt


@pytest.fixture
def cached(settings: Any) -> None:
    """Attempts are counted in the cache."""
    settings.AXES_HANDLER = "axes.handlers.cache.AxesCacheHandler"
    cache.clear()


def test_an_attempt_is_recorded_once(ada: User, fail: Callable[..., None], recorded: Recorded) -> None:
    before = len(recorded())
    fail()
    assert [event["action"] for event in recorded()[before:]] == ["auth.login.failed"]
    assert not any("wrong-pass" in event.disclosures for event in Event.objects.all())


@pytest.mark.parametrize("is_renewed", [True, False], ids=["attempts renew it", "attempts do not count"])
@pytest.mark.parametrize("handler", ["database", "cache"])
def test_a_lock_is_recorded_once_however_often_it_is_tried_again(
    ada: User,
    fail: Callable[..., None],
    recorded: Recorded,
    handler: str,
    is_renewed: bool,
    request: pytest.FixtureRequest,
    settings: Any,
) -> None:
    settings.AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = is_renewed
    if handler == "cache":
        request.getfixturevalue("cached")
    fail(2)
    assert recorded(only="auth.account") == []
    fail(4)
    [event] = recorded(only="auth.account")
    assert (event["action"], event["outcome"]) == ("auth.account.locked", "success")
    assert event["actor"] == {"type": "system"}
    assert event["targets"] == [{"type": "user", "id": str(ada.pk), "name": "Ada Lovelace"}]
    assert event["metadata"] == {"reason": "failed attempts", "by": ["username"], "failures": 3}
    assert event["context"]["ip"] == "192.0.2.1"
    assert len(recorded(only="auth.login.failed")) == 6


class Rival:
    """A backend in which somebody else fails at the same moment."""

    def authenticate(self, request: Any, **credentials: Any) -> None:
        AccessAttempt.objects.update(failures_since_start=F("failures_since_start") + 1)


def test_a_lock_is_recorded_where_attempts_at_the_same_moment_passed_the_limit(
    ada: User, fail: Callable[..., None], recorded: Recorded, settings: Any
) -> None:
    fail(2)
    axes_first, *others = settings.AUTHENTICATION_BACKENDS
    settings.AUTHENTICATION_BACKENDS = [axes_first, "tests.packs.test_axes.Rival", *others]
    fail(2)
    [event] = recorded(only="auth.account")
    assert (event["action"], event["metadata"]["failures"]) == ("auth.account.locked", 4)


def test_a_lock_by_attempts_that_are_refused_anyway_is_recorded_once(
    ada: User, fail: Callable[..., None], recorded: Recorded, settings: Any
) -> None:
    settings.AXES_IP_BLACKLIST = ["192.0.2.1"]
    fail(5)
    [event] = recorded(only="auth.account")
    assert (event["action"], event["metadata"]["failures"]) == ("auth.account.locked", 3)


def test_the_logs_are_those_of_the_accounts_organizations(
    ada: User, fail: Callable[..., None], recorded: Recorded, settings: Any
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": lambda user: ["acme", "globex"]}
    fail(3)
    reset(username="ada")
    assert [(event["action"], event["tenant"]) for event in recorded(only="auth.account")] == [
        ("auth.account.locked", "acme"),
        ("auth.account.locked", "globex"),
        ("auth.account.unlocked", "acme"),
        ("auth.account.unlocked", "globex"),
    ]


def test_a_name_that_nobody_has_is_locked_and_never_recorded(
    db: None, fail: Callable[..., None], recorded: Recorded, settings: Any
) -> None:
    fail(3, username="my-secret-pass")
    with auditlog.context(tenant="acme"):
        reset(username="my-secret-pass")
    locked, unlocked = recorded(only="auth.account")
    assert (locked["action"], locked["tenant"]) == ("auth.account.locked", "system")
    assert (unlocked["action"], unlocked["tenant"]) == ("auth.account.unlocked", "acme")
    assert "targets" not in locked
    assert "targets" not in unlocked
    assert not any("my-secret-pass" in event.disclosures for event in Event.objects.all())


def test_an_address_that_is_locked_is_the_target(
    ada: User, grace: User, fail: Callable[..., None], recorded: Recorded, settings: Any
) -> None:
    settings.AXES_LOCKOUT_PARAMETERS = ["ip_address"]
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": lambda user: [f"home-of-{user}"]}
    fail(2)
    fail(1, username="grace")
    reset(ip="192.0.2.1")
    events = recorded(only="auth.account")
    # Rows that are deleted come in no order.
    assert sorted((event["action"], event["tenant"]) for event in events) == [
        ("auth.account.locked", "home-of-grace"),
        ("auth.account.unlocked", "home-of-ada"),
        ("auth.account.unlocked", "home-of-grace"),
    ]
    assert all(event["targets"] == [{"type": "ip_address", "id": "192.0.2.1"}] for event in events)
    assert all(event["metadata"]["by"] == ["ip_address"] for event in events)


@pytest.mark.parametrize("command", [["axes_reset"], ["axes_reset_username", "ada"], ["axes_reset_ip", "192.0.2.1"]])
def test_a_command_that_unlocks_is_recorded(
    ada: User, fail: Callable[..., None], recorded: Recorded, command: list[str], capsys: Any
) -> None:
    fail(3)
    call_command(*command)
    [event] = recorded(only="auth.account.unlocked")
    assert event["actor"] == {"type": "system"}
    assert event["targets"] == [{"type": "user", "id": str(ada.pk), "name": "Ada Lovelace"}]
    assert event["metadata"] == {"by": ["username"]}


def test_an_administrator_who_deletes_the_attempts_unlocks(
    ada: User, make_user: Callable[..., User], client: Client, fail: Callable[..., None], recorded: Recorded
) -> None:
    fail(3)
    root = make_user("root", is_staff=True, is_superuser=True)
    client.force_login(root)
    attempt = AccessAttempt.objects.get()
    client.post(reverse("admin:axes_accessattempt_delete", args=[attempt.pk]), {"post": "yes"})
    assert not AccessAttempt.objects.exists()
    [event] = recorded(only="auth.account.unlocked")
    assert event["actor"]["id"] == str(root.pk)
    assert event["targets"][0]["id"] == str(ada.pk)


def test_attempts_that_did_not_lock_are_no_unlocking(
    ada: User, grace: User, fail: Callable[..., None], recorded: Recorded
) -> None:
    fail(2)
    fail(2, username="grace")
    reset()
    assert recorded(only="auth.account") == []


def test_attempts_of_different_combinations_are_not_added_up(
    ada: User, fail: Callable[..., None], recorded: Recorded, settings: Any
) -> None:
    settings.AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
    fail(2)
    fail(2, ip="192.0.2.2")
    reset(username="ada")
    assert recorded(only="auth.account") == []
    fail(3)
    reset(username="ada")
    locked, unlocked = recorded(only="auth.account")
    assert locked["metadata"]["by"] == unlocked["metadata"]["by"] == ["username+ip_address"]
    assert locked["targets"] == unlocked["targets"] == [{"type": "user", "id": str(ada.pk), "name": "Ada Lovelace"}]


def test_a_lock_that_expires_is_not_unlocked_by_who_comes_next(
    ada: User, grace: User, fail: Callable[..., None], recorded: Recorded, settings: Any
) -> None:
    settings.AXES_COOLOFF_TIME = timedelta(hours=1)
    fail(3)
    AccessAttempt.objects.update(attempt_time="2020-01-01T00:00Z")
    fail(1, username="grace")
    assert not AccessAttempt.objects.filter(username="ada").exists()
    assert [event["action"] for event in recorded(only="auth.account")] == ["auth.account.locked"]


def test_attempts_that_a_sign_in_makes_void_are_no_unlocking(
    ada: User, fail: Callable[..., None], recorded: Recorded, settings: Any
) -> None:
    settings.AXES_RESET_ON_SUCCESS = True
    settings.AXES_FAILURE_LIMIT = lambda request, credentials: 5
    fail(2)
    fail(1, password="correct horse")
    assert not AccessAttempt.objects.exists()
    assert recorded(only="auth.account") == []


def test_where_axes_never_locks_nothing_is_unlocked(
    ada: User, fail: Callable[..., None], recorded: Recorded, settings: Any
) -> None:
    settings.AXES_LOCK_OUT_AT_FAILURE = False
    fail(4)
    reset(username="ada")
    assert recorded(only="auth.account") == []


def test_where_only_a_request_tells_the_limit_a_reset_counts_as_unlocking(
    ada: User, fail: Callable[..., None], recorded: Recorded, settings: Any
) -> None:
    settings.AXES_FAILURE_LIMIT = lambda request, credentials: 2
    fail(2)
    reset(username="ada")
    assert [event["action"] for event in recorded(only="auth.account")] == [
        "auth.account.locked",
        "auth.account.unlocked",
    ]


def test_unlocking_in_the_cache_is_recorded_too(
    ada: User, cached: None, fail: Callable[..., None], recorded: Recorded
) -> None:
    fail(3)
    assert reset(username="ada") == 1
    assert reset(username="ada") == 0
    [event] = recorded(only="auth.account.unlocked")
    assert event["targets"] == [{"type": "user", "id": str(ada.pk), "name": "Ada Lovelace"}]
    assert event["metadata"] == {"by": ["username"]}


@pytest.mark.parametrize("off", ["axes", "auth.account.locked"])
def test_it_can_be_switched_off(
    ada: User, fail: Callable[..., None], recorded: Recorded, settings: Any, off: str
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": [off]}
    fail(3)
    assert recorded(only="auth.account") == []
    assert len(recorded(only="auth.login.failed")) == 3


def test_connecting_twice_tells_once(ada: User, fail: Callable[..., None], recorded: Recorded) -> None:
    axes.connect()
    fail(3)
    reset(username="ada")
    assert [event["action"] for event in recorded(only="auth.account")] == [
        "auth.account.locked",
        "auth.account.unlocked",
    ]
