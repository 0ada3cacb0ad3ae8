"""Views that API keys let in, one by a permission and one by an authentication; and organizations with their invitations."""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.urls import URLPattern, URLResolver, include, path
from organizations.backends.modeled import ModelInvitation
from organizations.models import Organization
from rest_framework.authentication import BaseAuthentication, SessionAuthentication
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.models import AbstractAPIKey
from rest_framework_api_key.permissions import BaseHasAPIKey, HasAPIKey

from auditkit_django import auditlog
from tests.packs.derived.models import OrganizationKey


class KeyAuthentication(BaseAuthentication):
    """A host's own way to let a key in: Django REST framework knows it as ``request.auth``."""

    def authenticate(self, request: Request) -> tuple[AnonymousUser, AbstractAPIKey]:
        return AnonymousUser(), OrganizationKey.objects.get_from_key(request.META["HTTP_X_KEY"])


class HasOrganizationKey(BaseHasAPIKey):
    model = OrganizationKey


class ByPermission(APIView):
    authentication_classes = [SessionAuthentication]
    permission_classes = [HasAPIKey | HasOrganizationKey]

    def get(self, request: Request) -> Response:
        auditlog.event("org.updated", tenant="acme")
        return Response()


class ByAuthentication(ByPermission):
    authentication_classes = [KeyAuthentication]
    permission_classes = []


urlpatterns: list[URLPattern | URLResolver] = [
    path("keys/permission/", ByPermission.as_view()),
    path("keys/authentication/", ByAuthentication.as_view()),
    path("organizations/", include("organizations.urls")),
    path("join/", include(ModelInvitation(org_model=Organization).get_urls())),
]
