"""
Views of the host application of the tests: who acts (six ways to authenticate), and what goes wrong (rollbacks).

Every view records ``member.invited`` unless its name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import Any, NoReturn

from asgiref.sync import sync_to_async
from django.contrib.auth.models import AnonymousUser, User
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.authentication import BaseAuthentication, TokenAuthentication
from rest_framework.exceptions import NotAuthenticated
from rest_framework.exceptions import PermissionDenied as ApiPermissionDenied
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from auditkit_django import audited, auditlog
from tests.host.models import ApiKey, Invoice, Organization


@dataclass(frozen=True)
class TokenUser:
    """A user who is known from a token alone: no row, no query."""

    pk: str
    username: str
    is_authenticated: bool = True


def _claims(request: Request, keyword: str) -> dict[str, str] | None:
    """What ``Authorization: <keyword> <signed claims>`` says, as JSON Web Tokens do."""
    given, _, token = request.headers.get("Authorization", "").partition(" ")
    return signing.loads(token) if given == keyword else None


class JwtUser(BaseAuthentication):
    """Gives back the row of the user whom a signed token names."""

    def authenticate(self, request: Request) -> tuple[User, Any] | None:
        claims = _claims(request, "Jwt")
        return None if claims is None else (User.objects.get(pk=claims["sub"]), claims)


class JwtClaims(BaseAuthentication):
    """Gives back what a signed token says."""

    def authenticate(self, request: Request) -> tuple[TokenUser, Any] | None:
        claims = _claims(request, "Claims")
        return None if claims is None else (TokenUser(pk=claims["sub"], username=claims["name"]), claims)


class Key(BaseAuthentication):
    """``X-Api-Key``: authenticates a key and nobody."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, ApiKey] | None:
        secret = request.headers.get("X-Api-Key")
        if secret is None:
            return None
        return AnonymousUser(), ApiKey.objects.get(digest=sha256(secret.encode()).hexdigest())


AUTHENTICATION: list[type[BaseAuthentication]] = [TokenAuthentication, JwtUser, JwtClaims, Key]


def act(request: HttpRequest, org: str) -> JsonResponse:
    return JsonResponse({"id": auditlog.event("member.invited")})


async def act_async(request: HttpRequest, org: str) -> JsonResponse:
    return JsonResponse({"id": await auditlog.aevent("member.invited")})


class ApiAct(APIView):
    authentication_classes = AUTHENTICATION

    def get(self, request: Request, org: str) -> Response:
        return Response({"id": auditlog.event("member.invited")})


async def api_act_async(request: HttpRequest, org: str) -> JsonResponse:
    """Authenticates with DRF's classes inside an asynchronous view."""
    api_request = Request(request, authenticators=[authentication() for authentication in AUTHENTICATION])
    await sync_to_async(lambda: api_request.user)()
    return JsonResponse({"id": await auditlog.aevent("member.invited")})


def reset(request: HttpRequest, org: str, token: str) -> HttpResponse:
    auditlog.event("member.invited")
    return HttpResponse()


def crash(request: HttpRequest, org: str) -> NoReturn:
    auditlog.event("member.invited", outcome="failure")
    raise ZeroDivisionError("after recording")


@method_decorator(transaction.non_atomic_requests, name="dispatch")
class Impersonate(View):
    """Acts as somebody else."""

    def get(self, request: HttpRequest, org: str) -> HttpResponse:
        with auditlog.context(on_behalf_of="user:victim"):
            auditlog.event("member.invited")
        return HttpResponse()


def denied(request: HttpRequest, org: str) -> NoReturn:
    """A change and a denial: the denial alone is kept where the request is a transaction."""
    Invoice.objects.create(organization=Organization.objects.get(slug=org), title="undone")
    auditlog.event("access.denied", outcome="denied")
    raise PermissionDenied


def denied_inside(request: HttpRequest, org: str) -> HttpResponse:
    """The denial's own transaction rolls back, and the request goes on."""
    try:
        with transaction.atomic():
            auditlog.event("access.denied", outcome="denied")
            raise PermissionDenied
    except PermissionDenied:
        return HttpResponse("refused", status=403)


def denied_kept(request: HttpRequest, org: str) -> HttpResponse:
    """Nothing rolls back."""
    with transaction.atomic():
        auditlog.event("access.denied", outcome="denied")
    return HttpResponse("refused", status=403)


async def denied_async(request: HttpRequest, org: str) -> HttpResponse:
    """A transaction inside a thread rolls back under an asynchronous view."""
    return await sync_to_async(denied_inside)(request, org)


def _end(ending: str) -> HttpResponse:
    if ending == "crash":
        raise ZeroDivisionError
    if ending == "forbid":
        raise PermissionDenied
    if ending == "missing":
        raise Http404
    return HttpResponse(status=int(ending))


@audited("data.record.created", metadata=lambda call: {"ending": call.kwargs["ending"]})
def audited_function(request: HttpRequest, org: str, ending: str) -> HttpResponse:
    Invoice.objects.create(organization=Organization.objects.get(slug=org), title="audited")
    return _end(ending)


@audited("data.record.created", metadata=lambda call: {"ending": call.kwargs["ending"]})
class AuditedView(View):
    def get(self, request: HttpRequest, org: str, ending: str) -> HttpResponse:
        Invoice.objects.create(organization=Organization.objects.get(slug=org), title="audited")
        return _end(ending)


@audited("data.record.created", metadata=lambda call: {"ending": call.kwargs["ending"]})
async def audited_async(request: HttpRequest, org: str, ending: str) -> HttpResponse:
    return _end(ending)


@audited("data.record.created", metadata=lambda call: {"ending": call.kwargs["ending"]})
class AuditedAsyncView(View):
    async def get(self, request: HttpRequest, org: str, ending: str) -> HttpResponse:
        return _end(ending)


class AuditedApi(APIView):
    authentication_classes = AUTHENTICATION

    @audited("data.record.created", metadata=lambda call: {"ending": call.kwargs["ending"]})
    def get(self, request: Request, org: str, ending: str) -> Response:
        Invoice.objects.create(organization=Organization.objects.get(slug=org), title="audited")
        if ending == "forbid":
            raise ApiPermissionDenied
        if ending == "401":
            raise NotAuthenticated
        if ending in ("crash", "missing"):
            _end(ending)
        return Response(status=int(ending))


@audited("data.record.created", metadata=lambda call: {"ending": call.kwargs["ending"]})
class AuditedApiClass(AuditedApi):
    def get(self, request: Request, org: str, ending: str) -> Response:
        return Response(status=int(ending)) if ending.isdigit() else Response(_end(ending))


urlpatterns: list[URLPattern] = [
    path("act/", act, name="act"),
    path("act/async/", act_async, name="act-async"),
    path("api/act/", ApiAct.as_view(), name="api-act"),
    path("api/act/async/", api_act_async, name="api-act-async"),
    path("reset/<str:token>/", reset, name="reset"),
    path("crash/", crash, name="crash"),
    path("impersonate/", Impersonate.as_view(), name="impersonate"),
    path("denied/", denied, name="denied"),
    path("denied/inside/", denied_inside, name="denied-inside"),
    path("denied/kept/", denied_kept, name="denied-kept"),
    path("denied/async/", denied_async, name="denied-async"),
    path("audited/function/<str:ending>/", audited_function, name="audited-function"),
    path("audited/class/<str:ending>/", AuditedView.as_view(), name="audited-class"),
    path("audited/async/<str:ending>/", audited_async, name="audited-async"),
    path("audited/async-class/<str:ending>/", AuditedAsyncView.as_view(), name="audited-async-class"),
    path("audited/api/<str:ending>/", AuditedApi.as_view(), name="audited-api"),
    path("audited/api-class/<str:ending>/", AuditedApiClass.as_view(), name="audited-api-class"),
]
