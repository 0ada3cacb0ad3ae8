"""The actor is right under every authentication, in synchronous and asynchronous views, under WSGI and ASGI."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core import signing
from django.test import AsyncClient, Client
from rest_framework.authtoken.models import Token

from auditkit_django import auditlog
from auditkit_django.drafts import Actor
from tests.host.models import ApiKey, Organization

pytestmark = pytest.mark.django_db

Headers = dict[str, str]
_KEY = "the key's text"


def _session(user: Any, organization: Organization, client: Client | AsyncClient) -> tuple[Headers, dict[str, str]]:
    client.force_login(user)
    return {}, {"type": "user", "id": str(user.pk), "name": "Ada Lovelace", "email": "ada@example.org"}


def _token(user: Any, organization: Organization, client: Client | AsyncClient) -> tuple[Headers, dict[str, str]]:
    token = Token.objects.create(user=user)
    return {"Authorization": f"Token {token.key}"}, _session(user, organization, type(client)())[1]


def _jwt(user: Any, organization: Organization, client: Client | AsyncClient) -> tuple[Headers, dict[str, str]]:
    claims = signing.dumps({"sub": str(user.pk)})
    return {"Authorization": f"Jwt {claims}"}, _session(user, organization, type(client)())[1]


def _claims(user: Any, organization: Organization, client: Client | AsyncClient) -> tuple[Headers, dict[str, str]]:
    claims = signing.dumps({"sub": "idp-7", "name": "ada"})
    return {"Authorization": f"Claims {claims}"}, {"type": "user", "id": "idp-7", "name": "ada"}


def _key(user: Any, organization: Organization, client: Client | AsyncClient) -> tuple[Headers, dict[str, str]]:
    key = ApiKey.objects.create(organization=organization, name="CI", digest=sha256(_KEY.encode()).hexdigest())
    return {"X-Api-Key": _KEY}, {"type": "api_key", "id": str(key.pk), "name": "CI"}


def _nobody(user: Any, organization: Organization, client: Client | AsyncClient) -> tuple[Headers, dict[str, str]]:
    return {}, {"type": "anonymous"}


def _get(client: Client | AsyncClient, path: str, headers: Headers) -> Any:
    if isinstance(client, AsyncClient):
        return async_to_sync(client.get)(path, headers=headers)
    return client.get(path, headers=headers)


@pytest.mark.parametrize("client_class", [Client, AsyncClient], ids=["WSGI", "ASGI"])
@pytest.mark.parametrize("view", ["act/", "act/async/"], ids=["sync", "async"])
@pytest.mark.parametrize(
    "authenticate",
    [
        pytest.param(_session, id="session"),
        pytest.param(_token, id="token"),
        pytest.param(_jwt, id="JWT of a row"),
        pytest.param(_claims, id="JWT without a row"),
        pytest.param(_key, id="API key"),
        pytest.param(_nobody, id="nobody"),
    ],
)
def test_the_actor_is_who_the_view_authenticated(
    authenticate: Callable[..., tuple[Headers, dict[str, str]]],
    view: str,
    client_class: type[Client | AsyncClient],
    ada: Any,
    acme: Organization,
) -> None:
    client = client_class()
    headers, actor = authenticate(ada, acme, client)
    # A session is known to Django itself; the others to Django REST framework inside its views.
    path = f"/o/acme/{view}" if authenticate is _session else f"/o/acme/api/{view}"
    response = _get(client, path, headers)
    assert response.status_code == 200
    [event] = auditlog.list(acme)
    assert str(event.id) in response.content.decode()
    assert event.actor == actor
    assert event.context["source"] == "web"
    assert event.context["path"] == path
    assert _KEY not in str(event)


@pytest.mark.parametrize("client_class", [Client, AsyncClient], ids=["WSGI", "ASGI"])
@pytest.mark.parametrize("view", ["act/", "act/async/"], ids=["sync", "async"])
def test_who_signed_out_is_nobody(
    view: str, client_class: type[Client | AsyncClient], ada: Any, acme: Organization
) -> None:
    client = client_class()
    client.force_login(ada)
    client.logout()
    _get(client, f"/o/acme/{view}", {})
    assert auditlog.list(acme)[0].actor == {"type": "anonymous"}


def gateway(request: Any) -> Actor | None:
    """A host's resolver: a gateway in front says who it is."""
    name = request.headers.get("X-Gateway-User")
    return Actor("user", name) if name else None


def test_the_hosts_resolver_is_asked_before_the_session(settings: Any, client: Client, ada: Any, acme: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "ACTOR_RESOLVER": f"{__name__}.gateway"}
    client.force_login(ada)
    client.get("/o/acme/act/", headers={"x-gateway-user": "from-the-gateway"})
    client.get("/o/acme/act/")
    assert {(event.actor or {})["id"] for event in auditlog.list(acme)} == {"from-the-gateway", str(ada.pk)}


def test_the_tenant_is_the_one_of_the_url(client: Client, ada: Any, acme: Organization, globex: Organization) -> None:
    client.force_login(ada)
    client.get("/o/globex/act/")
    assert (len(auditlog.list(acme)), len(auditlog.list(globex))) == (0, 1)
