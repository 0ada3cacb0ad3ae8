"""
The product's small API: projects, for programs with a key.

``request.auth`` is the key, as in Django REST framework: auditkit_django then names it, and not a person, as the actor.
"""

from __future__ import annotations

import json

from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from auditkit_django import auditlog
from example_project.northwind import services
from example_project.northwind.forms import ProjectForm
from example_project.northwind.models import ApiKey, Project


@csrf_exempt
@require_http_methods(["GET", "POST"])
def projects(request: HttpRequest) -> JsonResponse:
    """List the projects of the key's organization, or create one."""
    key = ApiKey.with_secret(request.headers.get("Authorization", "").removeprefix("Bearer "))
    if key is None:
        return _refused(401, "unknown key")
    request.auth = key  # type: ignore[attr-defined]
    if key.revoked_at is not None:
        auditlog.event("apikey.rejected", resource=key, metadata={"reason": "revoked"})
        return _refused(401, "revoked key")
    scope = "projects:read" if request.method == "GET" else "projects:write"
    if scope not in key.scopes:
        reason = f"needs the scope {scope}"
        auditlog.event("access.denied", resource=key, metadata={"reason": reason})
        return _refused(403, reason)
    return _list(key) if request.method == "GET" else _create(request, key)


def _list(key: ApiKey) -> JsonResponse:
    found = key.organization.projects.filter(archived=False)
    return JsonResponse({"projects": list(found.values("id", "name", "client", "budget"))})


def _create(request: HttpRequest, key: ApiKey) -> JsonResponse:
    try:
        form = ProjectForm(json.loads(request.body))
        is_valid = form.is_valid()
    except (ValueError, AttributeError):
        return _refused(400, "the body is not a JSON object")
    if not is_valid:
        return JsonResponse({"errors": form.errors}, status=400)
    project = Project(organization=key.organization)
    services.save_project(project, values=form.cleaned_data)
    return JsonResponse({"id": project.pk}, status=201)


def _refused(status: int, error: str) -> JsonResponse:
    return JsonResponse({"error": error}, status=status)
