"""What hosts derive from the abstract models of packages: clubs, invitations, API keys and permissions of their own."""

from __future__ import annotations

from django.db import models
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase
from invitations.base_invitation import AbstractBaseInvitation
from organizations.abstract import (
    AbstractOrganization,
    AbstractOrganizationInvitation,
    AbstractOrganizationOwner,
    AbstractOrganizationUser,
)
from organizations.models import Organization as PackageOrganization
from rest_framework_api_key.models import AbstractAPIKey

from tests.host.models import Invoice, Organization


class Club(AbstractOrganization):
    """An organization with a column more."""

    town = models.CharField(max_length=100, default="")


class ClubMember(AbstractOrganizationUser):
    """A member with a named role."""

    role = models.CharField(max_length=20, default="player")
    nickname = models.CharField(max_length=20, default="")


class ClubOwner(AbstractOrganizationOwner):
    """Who a club belongs to."""


class ClubInvitation(AbstractOrganizationInvitation):
    """An invitation to a club."""


class Franchise(PackageOrganization):
    """An organization of the package, with a table of its own beside it."""

    region = models.CharField(max_length=100, default="")


class StaffInvitation(AbstractBaseInvitation):
    """An invitation to one organization, by a number and not an address."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    phone = models.CharField(max_length=30)

    def __str__(self) -> str:
        return self.phone

    @property
    def auditkit_tenant(self) -> Organization:
        """Whose log."""
        return self.organization


class OrganizationKey(AbstractAPIKey):
    """A key of one organization."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)

    class Meta(AbstractAPIKey.Meta):
        pass

    def auditkit_tenant(self) -> Organization:
        """Whose log."""
        return self.organization


class InvoiceOfUser(UserObjectPermissionBase):
    """A user's permission on one invoice."""

    content_object = models.ForeignKey(Invoice, on_delete=models.CASCADE)


class InvoiceOfGroup(GroupObjectPermissionBase):
    """A group's permission on one invoice."""

    content_object = models.ForeignKey(Invoice, on_delete=models.CASCADE)
