"""Which organization a request is about, which ones a user belongs to, who is a member: what auditkit_django asks a host."""

from __future__ import annotations

from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest

from example_project.northwind.models import ApiKey, Membership, Organization
from example_project.northwind.rights import Right


def organization_of(request: HttpRequest) -> Organization | None:
    """The organization named by the URL (``org``) or by the API key; ``AUDITKIT["TENANT_RESOLVER"]``."""
    key = getattr(request, "auth", None)
    if isinstance(key, ApiKey):
        return key.organization
    slug = request.resolver_match.kwargs.get("org") if request.resolver_match else None
    if slug is None:
        return None
    # Kept on the request: the resolver is asked once per event.
    known: Organization | None = getattr(request, "_northwind_organization", None)
    if known is None or known.slug != slug:
        known = Organization.objects.filter(slug=slug).first()
        request._northwind_organization = known  # type: ignore[attr-defined]
    return known


def organizations_of(user: User) -> QuerySet[Organization]:
    """In whose logs a sign-in or a change of ``user`` belongs; ``AUDITKIT["USER_TENANTS"]``."""
    return Organization.objects.filter(memberships__user=user)


def membership_of(request: HttpRequest) -> Membership | None:
    """The user's membership in the request's organization, read afresh: roles change while people are signed in."""
    organization = organization_of(request)
    if organization is None or not request.user.is_authenticated:
        return None
    return Membership.objects.filter(organization=organization, user=request.user).select_related("user").first()


def may_view_trail(request: HttpRequest, tenant_key: str) -> bool:
    """Whether the user may see the audit log of ``tenant_key``; ``AUDITKIT["TRAIL_ACCESS"]``."""
    membership = membership_of(request)
    if membership is None or str(membership.organization_id) != tenant_key:
        return False
    return membership.may(Right.VIEW_TRAIL)


def navigation(request: HttpRequest) -> dict[str, object]:
    """Context of every page: where the user is and where else they may go. A context processor."""
    # An error page may be made before there is a user.
    user = getattr(request, "user", None)
    if not isinstance(user, User):
        return {"organization": None, "membership": None, "rights": {}, "organizations": ()}
    membership = membership_of(request)
    return {
        "organization": organization_of(request) if membership else None,
        "membership": membership,
        "rights": {right.name: membership.may(right) for right in Right} if membership else {},
        "organizations": organizations_of(user),
    }
