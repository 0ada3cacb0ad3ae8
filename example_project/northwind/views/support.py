"""Northwind's support: finds a customer's people and acts as one of them (django-hijack does the rest)."""

from __future__ import annotations

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db.models import Prefetch, Q
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from example_project.northwind.models import Membership


@require_safe
@login_required
def people(request: HttpRequest) -> HttpResponse:
    """Everybody at every customer, or those whose name, address or organization holds ``q``."""
    if not request.user.is_staff or getattr(request.user, "is_hijacked", False):
        raise Http404("For Northwind's staff.")
    query = request.GET.get("q", "").strip()
    users = User.objects.filter(is_active=True, is_staff=False, memberships__isnull=False).distinct()
    for word in query.split():
        users = users.filter(
            Q(first_name__icontains=word)
            | Q(last_name__icontains=word)
            | Q(email__icontains=word)
            | Q(memberships__organization__name__icontains=word)
        )
    memberships = Membership.objects.select_related("organization").order_by("organization__name")
    found = users.order_by("first_name", "last_name", "pk").prefetch_related(Prefetch("memberships", memberships))
    return render(request, "northwind/support.html", {"people": found[:100], "query": query})
