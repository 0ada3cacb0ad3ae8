"""
The actor is right whoever asks and however: each kind of credential, in synchronous and asynchronous views, under WSGI
and ASGI.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.test import AsyncClient, Client
from django.utils import timezone
from oauth2_provider.models import AccessToken, Application
from rest_framework.authtoken.models import Token
from rest_framework_api_key.models import APIKey
from rest_framework_simplejwt.tokens import AccessToken as JsonWebToken

from auditkit_django import auditlog
from auditkit_django.models import Event

if TYPE_CHECKING:
    from django.contrib.auth.models import User

pytestmark = pytest.mark.django_db

AnyClient = Client | AsyncClient


@dataclass(frozen=True)
class Credential:
    """What a request carries, and whom it makes the actor. ``secrets`` are never recorded."""

    headers: dict[str, str]
    actor: dict[str, str]
    secrets: list[str] = field(default_factory=list)


def _user(user: User) -> dict[str, str]:
    return {"type": "user", "id": str(user.pk), "name": "Ada Lovelace", "email": "ada@example.org"}


def _session(user: User, client: AnyClient) -> Credential:
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return Credential({}, _user(user))


def _nobody(user: User, client: AnyClient) -> Credential:
    return Credential({}, {"type": "anonymous"})


def _token(user: User, client: AnyClient) -> Credential:
    key = Token.objects.create(user=user).key
    return Credential({"Authorization": f"Token {key}"}, _user(user), [key])


def _jwt(user: User, client: AnyClient) -> Credential:
    token = JsonWebToken.for_user(user)
    return Credential({"Authorization": f"Bearer {token}"}, _user(user), [str(token), token["jti"]])


def _jwt_stateless(user: User, client: AnyClient) -> Credential:
    token = JsonWebToken.for_user(user)
    token["username"] = "ada"
    # The view knows no more than the token says.
    actor = {"type": "user", "id": str(user.pk), "name": "ada"}
    return Credential({"Authorization": f"Bearer {token}"}, actor, [str(token), token["jti"]])


def _oauth(user: User, client: AnyClient) -> Credential:
    token = AccessToken.objects.create(
        user=user,
        application=Application.objects.create(name="Reporter", authorization_grant_type="authorization-code"),
        token="the-bearer-token-of-ada",
        expires=timezone.now() + timedelta(hours=1),
        scope="read",
    )
    return Credential({"Authorization": f"Bearer {token.token}"}, _user(user), [token.token])


def _api_key(user: User, client: AnyClient) -> Credential:
    api_key, key = APIKey.objects.create_key(name="CI")
    actor = {"type": "api_key", "id": api_key.prefix, "name": "CI"}
    return Credential({"Authorization": f"Api-Key {key}"}, actor, [key, api_key.hashed_key])


def _get(client: AnyClient, path: str, headers: dict[str, str]) -> Any:
    if isinstance(client, AsyncClient):
        return async_to_sync(client.get)(path, headers=headers)
    return client.get(path, headers=headers)


def _actor_of_the_event_of(response: Any) -> dict[str, object] | None:
    if response.status_code != 200:
        raise RuntimeError(f"not let in: {response.status_code} {response.content!r}")
    [event] = auditlog.list("acme", action="org.updated")
    assert str(event.id) == response.json()["id"]
    return event.actor


SERVERS = pytest.mark.parametrize("client_class", [Client, AsyncClient], ids=["WSGI", "ASGI"])
VIEWS = pytest.mark.parametrize("view", ["sync", "async"])


@SERVERS
@VIEWS
@pytest.mark.parametrize(
    ("authenticate", "kind"),
    [
        pytest.param(_session, "", id="session"),
        pytest.param(_nobody, "", id="nobody"),
        pytest.param(_token, "token/", id="REST framework token"),
        pytest.param(_jwt, "jwt/", id="JSON Web Token"),
        pytest.param(_jwt_stateless, "jwt-stateless/", id="JSON Web Token without a row"),
        pytest.param(_oauth, "oauth/", id="OAuth token"),
        pytest.param(_api_key, "api-key/", id="API key"),
    ],
)
def test_the_actor_is_who_the_view_authenticated(
    authenticate: Callable[[User, AnyClient], Credential],
    kind: str,
    view: str,
    client_class: type[AnyClient],
    ada: User,
) -> None:
    client = client_class()
    credential = authenticate(ada, client)
    response = _get(client, f"/api/act/{view}/{kind}", credential.headers)
    assert _actor_of_the_event_of(response) == credential.actor
    assert not [text for text in credential.secrets for event in Event.objects.all() if text in event.disclosures]


@pytest.fixture
def oauth_middleware(settings: Any) -> None:
    """OAuth Toolkit's own way for views that are not REST framework's."""
    settings.MIDDLEWARE = [
        "oauth2_provider.middleware.OAuth2TokenMiddleware" if name.endswith("WaffleMiddleware") else name
        for name in settings.MIDDLEWARE
    ]
    settings.AUTHENTICATION_BACKENDS = [*settings.AUTHENTICATION_BACKENDS, "oauth2_provider.backends.OAuth2Backend"]


@SERVERS
@VIEWS
def test_the_actor_is_who_the_middleware_authenticated(
    view: str, client_class: type[AnyClient], ada: User, oauth_middleware: None
) -> None:
    client = client_class()
    credential = _oauth(ada, client)
    response = _get(client, f"/api/act/{view}/", credential.headers)
    assert _actor_of_the_event_of(response) == credential.actor


@SERVERS
@VIEWS
def test_a_session_beside_a_token_does_not_hide_whose_token_it_is(
    view: str, client_class: type[AnyClient], ada: User, grace: User
) -> None:
    client = client_class()
    _session(grace, client)
    credential = _token(ada, client)
    response = _get(client, f"/api/act/{view}/token/", credential.headers)
    assert _actor_of_the_event_of(response) == credential.actor


@SERVERS
@pytest.mark.parametrize("kind", ["token", "jwt", "oauth", "api-key"])
def test_a_credential_that_opens_nothing_makes_nobody_an_actor(
    kind: str, client_class: type[AnyClient], db: None
) -> None:
    word = {"token": "Token", "api-key": "Api-Key"}.get(kind, "Bearer")
    response = _get(client_class(), f"/api/act/sync/{kind}/", {"Authorization": f"{word} prefix.nonsense"})
    assert response.status_code in (401, 403)
    assert not Event.objects.filter(action="org.updated").exists()
