"""The request's context begins and ends with the request, under WSGI and ASGI."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import AsyncClient, AsyncRequestFactory, Client, RequestFactory
from django.test.utils import CaptureQueriesContext

from auditkit_django import auditlog
from auditkit_django.hooks.middleware import AuditkitMiddleware
from auditkit_django.models import Event
from auditkit_django.recording.context import current
from tests.host.models import Organization
from tests.recording import actions_of


def test_the_context_holds_the_request_and_ends_with_it(rf: RequestFactory) -> None:
    seen: list[Any] = []

    def view(request: HttpRequest) -> HttpResponse:
        context = current()
        assert context is not None
        seen.append(context.request)
        return HttpResponse("ok")

    request = rf.get("/")
    response = AuditkitMiddleware(view)(request)
    assert isinstance(response, HttpResponse)
    assert (seen, current()) == ([request], None)


def test_the_context_ends_with_an_exception(rf: RequestFactory) -> None:
    def view(request: HttpRequest) -> HttpResponse:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        AuditkitMiddleware(view)(rf.get("/"))
    assert current() is None


def test_concurrent_asgi_requests_keep_to_themselves(async_rf: AsyncRequestFactory) -> None:
    async def view(request: HttpRequest) -> HttpResponse:
        for _ in range(5):
            await asyncio.sleep(0)
            context = current()
            assert context is not None
            assert context.request is request
        if request.path == "/7":
            raise ZeroDivisionError
        return HttpResponse(request.path)

    async def serve() -> list[Any]:
        middleware: Any = AuditkitMiddleware(view)
        requests = [async_rf.get(f"/{number}") for number in range(20)]
        answers = await asyncio.gather(*(middleware(request) for request in requests), return_exceptions=True)
        assert current() is None
        return answers

    answers = async_to_sync(serve)()
    assert [type(answer) for answer in answers].count(ZeroDivisionError) == 1
    assert answers[8].content == b"/8"


@pytest.mark.django_db
def test_a_request_that_records_nothing_costs_no_query(client: Client) -> None:
    with CaptureQueriesContext(connection) as queries:
        client.get("/nowhere/")
    assert len(queries) == 0


@pytest.mark.django_db
def test_a_request_that_records_nothing_never_resolves_actor_or_tenant(settings: Any, rf: RequestFactory) -> None:
    def refuse(request: HttpRequest) -> None:
        raise AssertionError("resolved")

    settings.AUDITKIT = {**settings.AUDITKIT, "TENANT_RESOLVER": refuse, "ACTOR_RESOLVER": refuse}
    AuditkitMiddleware(lambda request: HttpResponse())(rf.get("/"))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("client_class", [Client, AsyncClient], ids=["WSGI", "ASGI"])
@pytest.mark.parametrize("view", ["denied/inside/", "denied/async/"])
def test_denials_that_rolled_back_are_written_when_the_request_ends(
    client_class: type[Client | AsyncClient], view: str, acme: Organization
) -> None:
    client = client_class()
    path = f"/o/acme/{view}"
    response: Any = async_to_sync(client.get)(path) if isinstance(client, AsyncClient) else client.get(path)
    assert response.status_code == 403
    assert actions_of(acme) == ["access.denied"]


@pytest.mark.django_db
def test_without_the_middleware_events_have_no_request(settings: Any, client: Client, acme: Organization) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "auditkit" not in name]
    client.raise_request_exception = False
    assert client.get("/o/acme/act/").status_code == 500, "no context names a tenant"
    assert not Event.objects.exists()
    auditlog.event("member.invited", tenant=acme)
    assert auditlog.list(acme)[0].context == {}
