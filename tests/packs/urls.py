"""URLs of the pack tests: the packages' own, beside those of the host application."""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path
from django_otp.admin import OTPAdminSite
from two_factor.urls import urlpatterns as two_factor_urls

from auditkit_django import auditlog
from tests.packs import views


def act(request: HttpRequest) -> HttpResponse:
    """Records ``org.updated`` in the log of ``acme``: who acts?"""
    auditlog.event("org.updated", tenant="acme")
    return HttpResponse("done")


urlpatterns = [
    path("act/", act, name="act"),
    path("admin/", admin.site.urls),
    path("otp-admin/", OTPAdminSite().urls),
    path("accounts/", include("allauth.urls")),
    path("invitations/", include("invitations.urls", namespace="invitations")),
    path("hijack/", include("hijack.urls")),
    path("oauth/", include("oauth2_provider.urls", namespace="oauth2_provider")),
    path("api/", include(views.urlpatterns)),
    path("", include("tests.packs.derived.urls")),
    path("", include(two_factor_urls)),
    path("o/<slug:org>/audit/", include("auditkit_django.trail.urls")),
]
