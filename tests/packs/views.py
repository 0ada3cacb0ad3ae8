"""
Views that know who asks by one kind of credential each, synchronous and asynchronous, and those that give out JSON Web
Tokens.
"""

from __future__ import annotations

from typing import Any

from asgiref.sync import sync_to_async
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import URLPattern, path
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from rest_framework.authentication import BaseAuthentication, TokenAuthentication
from rest_framework.permissions import BasePermission, IsAuthenticated
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.permissions import HasAPIKey
from rest_framework_simplejwt.authentication import JWTAuthentication, JWTStatelessUserAuthentication
from rest_framework_simplejwt.views import TokenBlacklistView, TokenObtainPairView, TokenRefreshView

from auditkit_django import auditlog

#: What a view of each kind asks for; an API key is no authentication but a permission.
ASKED: dict[str, tuple[list[type[BaseAuthentication]], type[BasePermission]]] = {
    "token": ([TokenAuthentication], IsAuthenticated),
    "jwt": ([JWTAuthentication], IsAuthenticated),
    "jwt-stateless": ([JWTStatelessUserAuthentication], IsAuthenticated),
    "oauth": ([OAuth2Authentication], IsAuthenticated),
    "api-key": ([], HasAPIKey),
}


def act(request: HttpRequest) -> HttpResponse:
    """Knows what Django's middleware knows."""
    return JsonResponse({"id": auditlog.event("org.updated", tenant="acme")})


async def act_async(request: HttpRequest) -> HttpResponse:
    return JsonResponse({"id": await auditlog.aevent("org.updated", tenant="acme")})


class ApiAct(APIView):
    def get_authenticators(self) -> list[BaseAuthentication]:
        return [authentication() for authentication in ASKED[self.kwargs["kind"]][0]]

    def get_permissions(self) -> list[Any]:
        return [ASKED[self.kwargs["kind"]][1]()]

    def get(self, request: Request, kind: str) -> Response:
        return Response({"id": auditlog.event("org.updated", tenant="acme")})


async def api_act_async(request: HttpRequest, kind: str) -> HttpResponse:
    """Authenticates with REST framework's classes inside an asynchronous view."""
    authentications, permission = ASKED[kind]
    api_request = Request(request, authenticators=[authentication() for authentication in authentications])
    await sync_to_async(lambda: api_request.user)()
    if not await sync_to_async(permission().has_permission)(api_request, None):
        return HttpResponse(status=403)
    return JsonResponse({"id": await auditlog.aevent("org.updated", tenant="acme")})


urlpatterns: list[URLPattern] = [
    path("act/sync/", act),
    path("act/async/", act_async),
    path("act/sync/<str:kind>/", ApiAct.as_view()),
    path("act/async/<str:kind>/", api_act_async),
    path("jwt/", TokenObtainPairView.as_view()),
    path("jwt/refresh/", TokenRefreshView.as_view()),
    path("jwt/blacklist/", TokenBlacklistView.as_view()),
]
