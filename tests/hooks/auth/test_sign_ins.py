"""Signing in, failing to, signing out: whose log, who, how."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.models import AnonymousUser, User
from django.test import Client, RequestFactory

from auditkit_django import auditlog
from auditkit_django.hooks.auth import sign_ins
from auditkit_django.models import Event
from auditkit_django.recording import losses
from tests.host.models import Membership

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db


def organizations_of(user: User) -> list[Organization]:
    return [one.organization for one in Membership.objects.filter(user=user).select_related("organization")]


def test_signing_in_and_out_is_recorded(ada: User, told: Callable[..., list[Any]]) -> None:
    told()
    browser = Client()
    browser.post("/admin/login/", {"username": "ada", "password": "correct horse"})
    browser.force_login(ada)
    told()
    browser.logout()
    key = str(ada.pk)
    ada.is_staff = True
    ada.save()
    told()
    browser.post("/admin/login/?next=/admin/", {"username": "ada", "password": "correct horse"})
    browser.post("/admin/logout/")
    assert told() == [
        ("auth.login.succeeded", "success", key, None),
        ("auth.logout", "success", key, None),
    ]
    signed_in = Event.objects.filter(action="auth.login.succeeded").latest("recorded_at")
    assert signed_in.disclosed()["metadata"] == {"method": "password"}
    assert signed_in.disclosed()["context"]["path"] == "/admin/login/"


def test_a_wrong_password_is_a_failure_of_the_claimed_user(ada: User, told: Callable[..., list[Any]]) -> None:
    told()
    Client().post("/admin/login/", {"username": "ada", "password": "wrong horse"})
    assert told() == [("auth.login.failed", "failure", str(ada.pk), None)]
    event = Event.objects.get(action="auth.login.failed")
    assert event.disclosed()["metadata"] == {"reason": "bad_credentials"}
    assert "wrong horse" not in event.disclosures


def test_what_is_typed_for_an_unknown_account_is_not_recorded(told: Callable[..., list[Any]]) -> None:
    assert authenticate(username="my-password-by-mistake", password="x") is None
    assert told() == [("auth.login.failed", "failure", None, None)]
    assert "by-mistake" not in Event.objects.get().disclosures
    assert Event.objects.get().disclosed()["metadata"] == {"reason": "unknown_account"}


def test_a_disabled_account_says_so(ada: User, told: Callable[..., list[Any]]) -> None:
    User.objects.filter(pk=ada.pk).update(is_active=False)
    told()
    authenticate(username="ada", password="correct horse")
    [event] = told(full=True)
    assert event.disclosed()["metadata"] == {"reason": "account_disabled"}


def test_without_a_setting_a_sign_in_is_in_the_log_of_the_installation(ada: User, told: Callable[..., Any]) -> None:
    told()
    Client().force_login(ada)
    assert [event.tenant for event in told(full=True)] == ["system"]


def test_the_context_names_the_log_of_a_sign_in(ada: User, acme: Organization, told: Callable[..., Any]) -> None:
    told()
    with auditlog.context(tenant=acme):
        Client().force_login(ada)
    assert [event.tenant for event in told(full=True)] == [str(acme.pk)]


def test_a_sign_in_belongs_to_each_organization_of_the_user(
    ada: User, acme: Organization, globex: Organization, told: Callable[..., Any], settings: SettingsWrapper
) -> None:
    Membership.objects.create(organization=globex, user=ada)
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": organizations_of}
    told()
    Client().force_login(ada)
    authenticate(username="ada", password="wrong")
    User.objects.create_user("loner")
    assert [(event.action, event.tenant) for event in told(full=True)] == [
        ("auth.login.succeeded", str(acme.pk)),
        ("auth.login.succeeded", str(globex.pk)),
        ("auth.login.failed", str(acme.pk)),
        ("auth.login.failed", str(globex.pk)),
        ("user.created", "system"),
    ]


@pytest.mark.parametrize("off", [("auth",), ("auth.login.succeeded", "auth.logout", "auth.login.failed")], ids=str)
def test_each_can_be_switched_off(
    ada: User, told: Callable[..., Any], settings: SettingsWrapper, off: tuple[str, ...]
) -> None:
    told()
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": off}
    browser = Client()
    browser.force_login(ada)
    browser.logout()
    authenticate(username="ada", password="wrong")
    assert told() == []


def test_a_receiver_that_fails_raises(ada: User, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": lambda user: 1 / 0}
    with pytest.raises(ZeroDivisionError):
        Client().force_login(ada)


def test_a_receiver_that_fails_is_counted_where_that_was_chosen(ada: User, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": lambda user: 1 / 0, "ON_ERROR": "log"}
    before = losses.LOSSES.count
    try:
        Client().force_login(ada)
        assert losses.LOSSES.count == before + 1
    finally:
        losses.LOSSES.__init__()  # type: ignore[misc]


def test_a_pack_may_say_how_somebody_signs_in(ada: User, told: Callable[..., Any], rf: RequestFactory) -> None:
    told()
    request: Any = rf.post("/")
    request.session, request.user = Client().session, AnonymousUser()
    token = sign_ins.method_in_use.set("passkey")
    try:
        login(request, ada, backend="django.contrib.auth.backends.ModelBackend")
    finally:
        sign_ins.method_in_use.reset(token)
    logout(request)
    signed_in, signed_out = told(full=True)
    assert signed_in.disclosed()["metadata"] == {"method": "passkey"}
    assert signed_out.action == "auth.logout"
