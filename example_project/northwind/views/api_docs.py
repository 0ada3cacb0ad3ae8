"""The documentation of the audit log's REST API, to read and to try out."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe


@require_safe
def api_docs(request: HttpRequest) -> HttpResponse:
    """Swagger UI, from our own server and without inline script; what it shows is ``/audit/api/v1/openapi.json``."""
    return render(request, "northwind/api_docs.html")
