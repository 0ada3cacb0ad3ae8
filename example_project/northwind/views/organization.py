"""The organization itself: overview, plan, settings."""

from __future__ import annotations

from django.contrib import messages
from django.forms import Form, model_to_dict
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from auditkit_django import auditlog
from example_project.northwind import services
from example_project.northwind.access import MemberPage, members_only
from example_project.northwind.forms import NameForm, PlanForm, SecurityForm
from example_project.northwind.models import Invitation, Membership
from example_project.northwind.rights import Right


@require_safe
@members_only()
def dashboard(request: HttpRequest, membership: Membership) -> HttpResponse:
    """Figures, and what happened last for those who may see it."""
    organization = membership.organization
    may_view = membership.may(Right.VIEW_TRAIL)
    context = {
        "member_count": organization.memberships.count(),
        "invitation_count": organization.invitations.filter(Invitation.OPEN).count(),
        "project_count": organization.projects.filter(archived=False).count(),
        "key_count": organization.api_keys.filter(revoked_at=None).count(),
        "events": auditlog.list(tenant=organization, limit=6).events if may_view else [],
    }
    return render(request, "northwind/dashboard.html", context)


class BillingPage(MemberPage):
    """Plan and seats."""

    view_right = change_right = Right.CHANGE_PLAN

    def get(self, request: HttpRequest, **_url: object) -> HttpResponse:
        """What is paid for now."""
        return self._page(PlanForm(initial=model_to_dict(self.membership.organization)))

    def post(self, request: HttpRequest, **_url: object) -> HttpResponse:
        """Pay for something else."""
        form = PlanForm(request.POST)
        if not form.is_valid():
            return self._page(form)
        services.change_plan(self.membership.organization, **form.cleaned_data)
        messages.success(request, "Your plan is saved.")
        return redirect("billing", org=self.membership.organization.slug)

    def _page(self, form: Form) -> HttpResponse:
        return render(self.request, "northwind/billing.html", {"form": form})


class SettingsPage(MemberPage):
    """Name and security settings."""

    view_right = change_right = Right.CHANGE_SETTINGS

    def get(self, request: HttpRequest, **_url: object) -> HttpResponse:
        """How they are now."""
        return self._page(SecurityForm(initial=model_to_dict(self.membership.organization)))

    def post(self, request: HttpRequest, **_url: object) -> HttpResponse:
        """Other security settings."""
        form = SecurityForm(request.POST)
        if not form.is_valid():
            return self._page(form)
        services.change_security(self.membership.organization, values=form.cleaned_data)
        messages.success(request, "Security settings are saved.")
        return redirect("settings", org=self.membership.organization.slug)

    def _page(self, form: Form) -> HttpResponse:
        name_form = NameForm(initial={"name": self.membership.organization.name})
        return render(self.request, "northwind/settings.html", {"form": form, "name_form": name_form})


@require_POST
@members_only(Right.CHANGE_SETTINGS)
def rename(request: HttpRequest, membership: Membership) -> HttpResponse:
    """Another name."""
    form = NameForm(request.POST)
    if form.is_valid():
        services.rename(membership.organization, name=form.cleaned_data["name"])
        messages.success(request, "The name is saved.")
    return redirect("settings", org=membership.organization.slug)
