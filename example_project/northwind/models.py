"""What Northwind Cloud keeps. Who did what to it is in the organization's audit log, not here."""

from __future__ import annotations

import hashlib
import secrets
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse

from auditkit_django import track
from example_project.northwind.rights import Right, Role, has_right


class Plan(models.TextChoices):
    """What an organization pays for."""

    STARTER = "starter", "Starter"
    TEAM = "team", "Team"
    BUSINESS = "business", "Business"
    ENTERPRISE = "enterprise", "Enterprise"


class Organization(models.Model):
    """A customer: the tenant. Its primary key is the key of its audit log."""

    name = models.CharField(max_length=80)
    slug = models.SlugField(max_length=60, unique=True)
    plan = models.CharField(max_length=16, choices=Plan, default=Plan.STARTER)
    seats = models.PositiveSmallIntegerField(default=5)
    require_mfa = models.BooleanField(default=False)
    sso_domain = models.CharField(max_length=120, blank=True, default="")
    allowed_networks = models.CharField(max_length=200, blank=True, default="")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["name"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        """The organization's dashboard."""
        return reverse("dashboard", kwargs={"org": self.slug})


class Membership(models.Model):
    """One user in one organization."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="memberships")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role, default=Role.MEMBER)
    joined_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["joined_at", "pk"]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["organization", "user"], name="northwind_one_membership")
        ]

    def __str__(self) -> str:
        return f"{self.user} ({self.role})"

    def auditkit_name(self) -> str:
        """How events call the membership: by its person."""
        return self.user.get_full_name() or self.user.get_username()

    def may(self, right: Right) -> bool:
        """Whether this member has ``right``."""
        return has_right(self.role, right)


class Invitation(models.Model):
    """An offer to join; whoever has the token and no account yet may take it."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="invitations")
    email = models.EmailField()
    role = models.CharField(max_length=16, choices=Role, default=Role.MEMBER)
    token = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(auto_now_add=True)
    accepted_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    #: Neither taken nor withdrawn.
    OPEN: ClassVar = Q(accepted_at=None, revoked_at=None)

    class Meta:
        ordering: ClassVar = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return self.email

    def auditkit_name(self) -> str:
        """How events call the invitation: by whom it is for."""
        return self.email


class ApiKey(models.Model):
    """A key for programs. Only the digest of its secret is kept."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=80)
    prefix = models.CharField(max_length=8)
    secret_digest = models.CharField(max_length=64, unique=True)
    scopes = models.JSONField(default=list)
    created_at = models.DateTimeField(auto_now_add=True)
    rotated_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering: ClassVar = ["revoked_at", "name"]

    def __str__(self) -> str:
        return self.name

    def give_secret(self) -> str:
        """A new secret, to be shown once; saves the key."""
        self.prefix = secrets.token_hex(4)
        secret = f"nwk_{self.prefix}_{secrets.token_urlsafe(24)}"
        self.secret_digest = _digest(secret)
        self.save()
        return secret

    @classmethod
    def with_secret(cls, secret: str) -> ApiKey | None:
        """The key whose secret this is, a revoked one included."""
        return cls.objects.select_related("organization").filter(secret_digest=_digest(secret)).first()


@track(
    tenant="organization",
    fields=["name", "client", "budget"],  # archiving has actions of its own (services)
    actions={"created": "project.created", "updated": "project.updated", "deleted": "project.deleted"},
)
class Project(models.Model):
    """What customers work on: the business record. Whoever changes it, on whatever way, leaves an event."""

    organization = models.ForeignKey(Organization, models.CASCADE, related_name="projects")
    name = models.CharField(max_length=120)
    client = models.CharField(max_length=120, blank=True, default="")
    budget = models.PositiveIntegerField(default=0)
    archived = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering: ClassVar = ["archived", "name"]

    def __str__(self) -> str:
        return self.name


def _digest(secret: str) -> str:
    # No salt and no slow hash: the secret is random, so nobody can guess it from its digest.
    return hashlib.sha256(secret.encode()).hexdigest()
