"""Views that refuse, each in its way."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import logout
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import include, path
from rest_framework.exceptions import PermissionDenied as ApiPermissionDenied
from rest_framework.exceptions import Throttled
from rest_framework.permissions import IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from auditkit_django import audited, auditlog
from auditkit_django.hooks.reads import read
from tests.host.views import AUTHENTICATION, denied, denied_inside, denied_kept


def status(request: HttpRequest, org: str = "", code: int = 200) -> HttpResponse:
    return HttpResponse(status=code)


async def status_async(request: HttpRequest, org: str, code: int) -> HttpResponse:
    return HttpResponse(status=code)


def forbid(request: HttpRequest, org: str) -> HttpResponse:
    raise PermissionDenied


def forbid_after_another_event(request: HttpRequest, org: str) -> HttpResponse:
    auditlog.event("member.invited")
    raise PermissionDenied


def reset(request: HttpRequest, org: str, token: str) -> HttpResponse:
    return HttpResponse(status=403)


def sign_out(request: HttpRequest, org: str) -> HttpResponse:
    logout(request)
    return redirect("/accounts/login/")


def throttle_told(request: HttpRequest, org: str) -> HttpResponse:
    auditlog.event("security.rate_limit.exceeded")
    return HttpResponse(status=429)


class Api(APIView):
    authentication_classes = AUTHENTICATION
    permission_classes = (IsAuthenticated,)

    def get(self, request: Request, org: str) -> Response:
        raise Throttled(wait=7)


@read("invoice:7")
class ApiRead(APIView):
    authentication_classes = AUTHENTICATION

    def get(self, request: Request, org: str) -> Response:
        raise ApiPermissionDenied


urlpatterns = [
    path("admin/", admin.site.urls),
    path("accounts/login/", status),
    path("status/<int:code>/", status),
    path(
        "o/<slug:org>/",
        include(
            [
                path("status/<int:code>/", status, name="status"),
                path("async/<int:code>/", status_async),
                path("forbid/", forbid),
                path("forbid/after/", forbid_after_another_event),
                path("members only/", login_required(status)),
                path("reset/<str:token>/", reset),
                path("sign-out/", sign_out),
                path("throttle/told/", throttle_told),
                path("api/", Api.as_view()),
                path("told/denied/", denied),
                path("told/kept/", denied_kept),
                path("told/inside/", denied_inside),
                path("told/audited/", audited("data.record.deleted")(forbid)),
                path("told/read/", read("invoice:7")(forbid)),
                path("told/api-read/", ApiRead.as_view()),
            ]
        ),
    ),
]


def answering(code: int) -> type:
    """A middleware that answers everything itself, as a rate limiter does."""

    class Answering:
        def __init__(self, get_response: object) -> None: ...

        def __call__(self, request: HttpRequest) -> HttpResponseBase:
            return HttpResponse(status=code)

    return Answering


Limiter = answering(429)
