"""URLs of the site: the product, its trail pages inside, and Django's admin."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.staticfiles.views import serve
from django.urls import include, path
from django.views.generic import RedirectView

urlpatterns = [
    path("", include("example_project.northwind.urls")),
    path("admin/", admin.site.urls),
    path("favicon.ico", RedirectView.as_view(url="/static/northwind/mark.svg")),
    # The example has no web server in front that would serve these.
    path("static/<path:path>", serve, {"insecure": True}),
]
