"""URLs of the site: the product, its trail pages inside, the audit log's API, and Django's admin."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import include, path
from django.views.generic import RedirectView

from example_project.northwind.views.api_docs import api_docs

urlpatterns = [
    path("", include("example_project.northwind.urls")),
    # auditkit: the log over HTTP, and the trail for whoever has a viewer token.
    path("audit/api/", include("auditkit_django.api.urls")),
    path("audit/api/docs/", api_docs, name="api-docs"),
    path("audit/embed/", include("auditkit_django.trail.embed_urls")),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url="/static/northwind/mark.svg")),
    # The example has no web server in front that would serve these.
    path("static/<path:path>", serve, {"insecure": True}),
]
