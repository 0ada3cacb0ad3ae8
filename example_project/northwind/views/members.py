"""Members and invitations."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from example_project.northwind import services
from example_project.northwind.access import MemberPage, members_only
from example_project.northwind.forms import GRANTABLE_ROLES, InvitationForm, RoleForm
from example_project.northwind.models import Invitation, Membership
from example_project.northwind.rights import Right, Role


class MembersPage(MemberPage):
    """Who is here and who is invited; invites."""

    change_right = Right.MANAGE_MEMBERS

    def get(self, request: HttpRequest, **_url: object) -> HttpResponse:
        """Everybody, with what may be done about them."""
        return self._page(InvitationForm(organization=self.membership.organization))

    def post(self, request: HttpRequest, **_url: object) -> HttpResponse:
        """Invite somebody."""
        organization = self.membership.organization
        form = InvitationForm(request.POST, organization=organization)
        if not form.is_valid():
            return self._page(form)
        invitation = services.invite(organization, **form.cleaned_data)
        messages.success(request, f"{invitation.email} is invited. Send them the link below.")
        return redirect("members", org=organization.slug)

    def _page(self, form: InvitationForm) -> HttpResponse:
        organization = self.membership.organization
        context = {
            "form": form,
            "members": organization.memberships.select_related("user"),
            "invitations": organization.invitations.filter(Invitation.OPEN),
            "roles": GRANTABLE_ROLES,
            "owner": Role.OWNER,
        }
        return render(self.request, "northwind/members.html", context)


@require_POST
@members_only(Right.MANAGE_MEMBERS)
def change_role(request: HttpRequest, membership: Membership, *, membership_id: int) -> HttpResponse:
    """Another role for a member; the owner keeps theirs."""
    member = _other_member(membership, membership_id)
    form = RoleForm(request.POST)
    if form.is_valid() and form.cleaned_data["role"] != member.role:
        services.change_role(member, role=form.cleaned_data["role"])
        messages.success(request, f"{member.auditkit_name()} is {member.get_role_display().lower()} now.")
    return redirect("members", org=membership.organization.slug)


@require_POST
@members_only(Right.MANAGE_MEMBERS)
def remove_member(request: HttpRequest, membership: Membership, *, membership_id: int) -> HttpResponse:
    """The member leaves; the owner stays."""
    member = _other_member(membership, membership_id)
    services.remove_member(member)
    messages.success(request, f"{member.auditkit_name()} is no member any more.")
    return redirect("members", org=membership.organization.slug)


@require_POST
@members_only(Right.MANAGE_MEMBERS)
def revoke_invitation(request: HttpRequest, membership: Membership, *, invitation_id: int) -> HttpResponse:
    """The link stops working."""
    open_ones = membership.organization.invitations.filter(Invitation.OPEN)
    invitation = get_object_or_404(open_ones, pk=invitation_id)
    services.revoke_invitation(invitation)
    messages.success(request, f"The invitation of {invitation.email} is withdrawn.")
    return redirect("members", org=membership.organization.slug)


def _other_member(membership: Membership, membership_id: int) -> Membership:
    members = membership.organization.memberships.exclude(role=Role.OWNER).select_related("user")
    return get_object_or_404(members, pk=membership_id)
