"""URLs of the host application of the tests."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from tests.host import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/", include("auditkit_django.api.urls")),
    path("embed/", include("auditkit_django.trail.embed_urls")),
    path("o/<slug:org>/audit/api/", include("auditkit_django.api.urls", namespace="auditkit_api_in_org")),
    path("o/<slug:org>/audit/", include("auditkit_django.trail.urls")),
    path("o/<slug:org>/", include(views.urlpatterns)),
]
