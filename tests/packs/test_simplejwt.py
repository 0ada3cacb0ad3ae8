"""Simple JWT: signing in for tokens, exchanging them, and blacklisting them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.signals import user_logged_in
from django.utils import timezone
from rest_framework import serializers
from rest_framework_simplejwt.serializers import TokenObtainPairSerializer
from rest_framework_simplejwt.settings import api_settings
from rest_framework_simplejwt.token_blacklist.models import BlacklistedToken, OutstandingToken
from rest_framework_simplejwt.tokens import RefreshToken, SlidingToken
from rest_framework_simplejwt.views import TokenObtainPairView, TokenObtainSlidingView

from auditkit_django.hooks.packs import simplejwt
from auditkit_django.models import Event

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client, RequestFactory

Recorded = Callable[..., list[dict[str, Any]]]

#: Recorded of users being made, and by the log of itself.
_OTHERS = ("user.", "permission.", "audit.")


@pytest.fixture(autouse=True)
def _no_token_is_ever_recorded(db: None) -> Iterator[None]:
    yield
    secrets = [text for row in OutstandingToken.objects.all() for text in (row.token, row.jti)]
    assert not [
        text for text in (*secrets, "correct horse") for event in Event.objects.all() if text in event.disclosures
    ]


def _pair(client: Client, password: str = "correct horse") -> Any:
    return client.post("/api/jwt/", {"username": "ada", "password": password})


def test_signing_in_for_tokens_is_recorded_once(client: Client, ada: User, recorded: Recorded) -> None:
    response = _pair(client)
    assert response.status_code == 200
    [event] = recorded(but=_OTHERS)
    assert (event["action"], event["outcome"]) == ("auth.login.succeeded", "success")
    assert event["metadata"] == {"method": "jwt"}
    assert event["actor"]["id"] == str(ada.pk)
    assert event["context"]["path"] == "/api/jwt/"
    assert not any(
        response.json()[name] in event.disclosures for name in ("access", "refresh") for event in Event.objects.all()
    )


def test_a_wrong_password_is_recorded_once(client: Client, ada: User, recorded: Recorded) -> None:
    assert _pair(client, "wrong").status_code == 401
    [event] = recorded(but=_OTHERS)
    assert (event["action"], event["outcome"]) == ("auth.login.failed", "failure")
    assert event["metadata"]["reason"] == "bad_credentials"


def test_credentials_that_are_right_but_get_no_token_are_a_failure(
    client: Client, ada: User, recorded: Recorded, settings: Any
) -> None:
    settings.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.AllowAllUsersModelBackend"]
    ada.is_active = False
    ada.save()
    assert _pair(client).status_code == 401
    [event] = recorded(but=_OTHERS)
    assert (event["action"], event["actor"]["id"]) == ("auth.login.failed", str(ada.pk))
    assert event["metadata"] == {"method": "jwt", "reason": "account_disabled"}


class WithSecondStep(TokenObtainPairSerializer):
    """A project's own serializer: the password is not enough."""

    code = serializers.CharField(required=False)

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        found = super().validate(attrs)
        if attrs.get("code") != "123456":
            raise serializers.ValidationError("code")
        return found


def test_what_the_projects_serializer_refuses_afterwards_is_no_sign_in(
    rf: RequestFactory, ada: User, recorded: Recorded
) -> None:
    view = TokenObtainPairView.as_view(serializer_class=WithSecondStep)
    given = {"username": "ada", "password": "correct horse"}
    assert view(rf.post("/", given)).status_code == 400
    assert view(rf.post("/", {**given, "code": "123456"})).status_code == 200
    refused, signed_in = recorded(but=_OTHERS)
    assert (refused["action"], refused["metadata"]["reason"]) == ("auth.login.failed", "refused")
    assert signed_in["action"] == "auth.login.succeeded"


class TellingDjango(TokenObtainPairSerializer):
    """A project's own serializer: tells what is connected to Django's signal."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, str]:
        found = super().validate(attrs)
        user_logged_in.send(sender=type(self.user), request=self.context["request"], user=self.user)
        return found


def test_a_serializer_that_sends_djangos_signal_too_is_recorded_once(
    rf: RequestFactory, ada: User, recorded: Recorded
) -> None:
    view = TokenObtainPairView.as_view(serializer_class=TellingDjango)
    assert view(rf.post("/", {"username": "ada", "password": "correct horse"})).status_code == 200
    [event] = recorded(but=_OTHERS)
    assert (event["action"], event["metadata"]) == ("auth.login.succeeded", {"method": "jwt"})


def test_a_sliding_token_is_a_sign_in(rf: RequestFactory, ada: User, recorded: Recorded) -> None:
    given = {"username": "ada", "password": "correct horse"}
    assert TokenObtainSlidingView.as_view()(rf.post("/", given)).status_code == 200
    assert [event["action"] for event in recorded(but=_OTHERS)] == ["auth.login.succeeded"]


def test_a_blacklisted_token_is_a_session_revoked_by_who_holds_it(
    client: Client, ada: User, recorded: Recorded
) -> None:
    refresh = _pair(client).json()["refresh"]
    assert client.post("/api/jwt/blacklist/", {"refresh": refresh}).status_code == 200
    [event] = recorded(only="session")
    assert event["action"] == "session.revoked"
    assert event["actor"]["id"] == event["targets"][0]["id"] == str(ada.pk)
    assert event["targets"][1] == {"type": "token", "id": str(OutstandingToken.objects.get().pk)}
    assert event["metadata"] == {"method": "jwt"}


def test_a_token_blacklisted_by_a_colleague_names_the_colleague(
    client: Client, ada: User, make_user: Callable[..., User], recorded: Recorded
) -> None:
    RefreshToken.for_user(ada)
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    outstanding = OutstandingToken.objects.get()
    client.post("/admin/token_blacklist/blacklistedtoken/add/", {"token": outstanding.pk})
    [event] = recorded(only="session")
    assert (event["actor"]["name"], event["targets"][0]["id"]) == ("root", str(ada.pk))


def test_blacklisting_in_bulk_is_recorded_token_by_token(ada: User, grace: User, recorded: Recorded) -> None:
    for user in (ada, ada, grace):
        RefreshToken.for_user(user)
    BlacklistedToken.objects.bulk_create([BlacklistedToken(token=row) for row in OutstandingToken.objects.all()])
    found = [event["targets"][0]["id"] for event in recorded(only="session.revoked")]
    assert sorted(found) == sorted([str(ada.pk), str(ada.pk), str(grace.pk)])
    assert recorded(only="session.revoked")[0]["actor"] == {"type": "system"}


def test_blacklisting_in_bulk_may_ignore_conflicts(ada: User, recorded: Recorded) -> None:
    RefreshToken.for_user(ada).blacklist()
    RefreshToken.for_user(ada)
    rows = [BlacklistedToken(token=row) for row in OutstandingToken.objects.all()]
    BlacklistedToken.objects.bulk_create(rows, ignore_conflicts=True)
    assert BlacklistedToken.objects.count() == 2
    assert [event["targets"][0]["id"] for event in recorded(only="session.revoked")] == [str(ada.pk)] * 2


def test_an_expired_token_ends_no_session(ada: User, recorded: Recorded) -> None:
    token = RefreshToken.for_user(ada)
    OutstandingToken.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    token.blacklist()
    assert recorded(only="session") == []


def test_a_token_without_an_account_is_revoked_all_the_same(ada: User, recorded: Recorded) -> None:
    token = RefreshToken.for_user(ada)
    OutstandingToken.objects.update(user=None)
    token.blacklist()
    [event] = recorded(only="session")
    assert [target["type"] for target in event["targets"]] == ["token"]


def test_a_token_exchanged_for_the_next_one_ends_no_session(client: Client, ada: User, recorded: Recorded) -> None:
    refresh = _pair(client).json()["refresh"]
    assert client.post("/api/jwt/refresh/", {"refresh": refresh}).status_code == 200
    assert BlacklistedToken.objects.count() == 1
    assert recorded(only="session") == []


def test_tokens_issued_are_sessions_where_the_project_asks_for_it(
    client: Client, ada: User, recorded: Recorded, settings: Any
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_ON": ["session.created"]}
    refresh = _pair(client).json()["refresh"]
    client.post("/api/jwt/refresh/", {"refresh": refresh})
    # Made by the project's own code; a sliding token is outstanding too.
    SlidingToken.for_user(ada)
    issued, own = recorded(only="session")
    assert (issued["action"], issued["actor"]["id"]) == ("session.created", str(ada.pk))
    assert own["actor"] == {"type": "system"}
    assert issued["targets"][0]["id"] == own["targets"][0]["id"] == str(ada.pk)


def test_expired_tokens_are_flushed_in_silence(ada: User, recorded: Recorded) -> None:
    from django.core.management import call_command

    RefreshToken.for_user(ada).blacklist()
    before = len(recorded())
    OutstandingToken.objects.update(expires_at=timezone.now() - timedelta(days=1))
    call_command("flushexpiredtokens")
    assert not OutstandingToken.objects.exists()
    assert len(recorded()) == before


def test_each_user_has_the_event_in_the_logs_of_their_tenants(
    client: Client, ada: User, recorded: Recorded, settings: Any
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": lambda user: ["acme", "globex"]}
    _pair(client)
    assert [event["tenant"] for event in recorded(only="auth")] == ["acme", "globex"]


def test_connecting_again_changes_nothing(client: Client, ada: User, recorded: Recorded) -> None:
    simplejwt.connect()
    client.post("/api/jwt/blacklist/", {"refresh": _pair(client).json()["refresh"]})
    assert [event["action"] for event in recorded(but=_OTHERS)] == ["auth.login.succeeded", "session.revoked"]


def test_switched_off_actions_are_not_recorded(client: Client, ada: User, recorded: Recorded, settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ["simplejwt"]}
    client.post("/api/jwt/blacklist/", {"refresh": _pair(client).json()["refresh"]})
    assert recorded(but=_OTHERS) == []


def test_the_settings_of_these_tests_are_those_that_matter() -> None:
    assert api_settings.UPDATE_LAST_LOGIN
    assert api_settings.ROTATE_REFRESH_TOKENS
    assert api_settings.BLACKLIST_AFTER_ROTATION
