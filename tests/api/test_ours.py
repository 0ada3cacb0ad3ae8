"""A host's own authentication, permission and limits, in place of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import Client
from django.urls import include, path
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from auditkit_django.access.grant import READ, WRITE, Grant
from auditkit_django.api.base import ApiView
from auditkit_django.api.permissions import HasScope
from auditkit_django.api.urls import patterns
from auditkit_django.drafts import Actor
from auditkit_django.models import Event

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db


class GatewayAuthentication(BaseAuthentication):
    """A gateway in front has looked who it is."""

    def authenticate(self, request: Request) -> tuple[object, Grant] | None:
        tenant = request.headers.get("X-Gateway-Tenant")
        if tenant is None:
            return None
        actor = Actor("service", "gateway", "The gateway")
        return AnonymousUser(), Grant(actor=actor, tenant=tenant, scopes=frozenset({READ, WRITE}), bucket="gateway")

    def authenticate_header(self, request: Request) -> str:
        return "Gateway"


class NotOnSundays(BasePermission):
    """Something that only the host knows."""

    def has_permission(self, request: Request, view: Any) -> bool:
        return request.headers.get("X-Sunday") is None


class OurApi(ApiView):
    """What the host sets."""

    authentication_classes = [GatewayAuthentication]
    permission_classes = [NotOnSundays, HasScope]
    throttle_classes = []


urlpatterns = [path("our/", include((patterns(OurApi), "auditkit_api")))]


@pytest.fixture
def client_of_gateway(settings: SettingsWrapper) -> Client:
    settings.ROOT_URLCONF = __name__
    return Client(headers={"X-Gateway-Tenant": "acme"})


def test_the_hosts_authentication_says_who_acts_and_whose_log_it_is(client_of_gateway: Client) -> None:
    done = client_of_gateway.post("/our/v1/events", {"action": "member.invited"}, content_type="application/json")
    assert done.status_code == 201
    event = Event.objects.get(action="member.invited")
    assert (event.tenant, event.actor_type, event.actor_id) == ("acme", "service", "gateway")
    assert len(client_of_gateway.get("/our/v1/events").json()["events"]) == 1
    assert client_of_gateway.get("/our/v1/events?tenant=globex").status_code == 404
    assert client_of_gateway.get("/our/v1/export").json()["code"] == "scope_missing"


def test_who_the_host_does_not_know_is_asked_in_its_words(client_of_gateway: Client) -> None:
    response = Client().get("/our/v1/events")
    assert (response.status_code, response["WWW-Authenticate"]) == (401, "Gateway")


def test_what_is_public_stays_so(client_of_gateway: Client) -> None:
    assert Client().get("/our/v1/health").status_code == 200
    assert Client().get("/our/v1/openapi.json").json()["servers"] == [{"url": "/our"}]
    assert Client().get("/our/v1/nope").json()["code"] == "not_found"


def test_the_hosts_permission_refuses(client_of_gateway: Client) -> None:
    response = client_of_gateway.get("/our/v1/events", headers={"X-Sunday": "1"})
    assert (response.status_code, response.json()["code"]) == (403, "refused")


def test_the_hosts_throttles_stand_for_ours(client_of_gateway: Client, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "API_RATES": {"read": 1}}
    assert [client_of_gateway.get("/our/v1/events").status_code for _ in range(3)] == [200, 200, 200]
