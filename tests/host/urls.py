"""URLs of the host application of the tests."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path

from tests.host import views

urlpatterns = [
    path("admin/", admin.site.urls),
    path("o/<slug:org>/audit/", include("auditkit_django.trail.urls")),
    path("o/<slug:org>/", include(views.urlpatterns)),
]
