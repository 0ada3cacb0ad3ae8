"""What the settings of the tests name as resolver and access rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.host.models import Membership, Organization

if TYPE_CHECKING:
    from django.http import HttpRequest


def resolve(request: HttpRequest) -> Organization | None:
    """The organization that the URL names."""
    match = request.resolver_match
    slug = match.kwargs.get("org") if match is not None else None
    return Organization.objects.filter(slug=slug).first() if slug else None


def may_view(request: HttpRequest, tenant: str) -> bool:
    """Owners and auditors of the organization."""
    return Membership.objects.filter(
        organization_id=tenant, user_id=request.user.pk, role__in=("owner", "auditor")
    ).exists()
