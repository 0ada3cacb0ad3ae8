"""A member's own part of the audit log: the embedded trail, for one person's events."""

from __future__ import annotations

from datetime import timedelta

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from auditkit_django import auditlog
from example_project.northwind.access import members_only
from example_project.northwind.models import Membership


@require_safe
@never_cache
@members_only()
def activity(request: HttpRequest, membership: Membership) -> HttpResponse:
    """What the member did, whatever their role: the token in the frame's address says whose events, and no others."""
    if getattr(request.user, "is_hijacked", False):
        raise PermissionDenied("What a person did is for them to look at, and for those who may read the audit log.")
    token = auditlog.create_viewer_token(
        membership.organization,
        viewer=membership.user,
        only_actor=membership.user,
        scopes=["events:read", "export"],
        expires_in=timedelta(minutes=30),
    )
    return render(request, "northwind/activity.html", {"src": reverse("auditkit_embed:events", args=[token])})
