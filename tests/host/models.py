"""What a host brings: organizations and their members."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Organization(models.Model):
    """A tenant."""

    name = models.CharField(max_length=100)
    slug = models.SlugField(unique=True)

    def __str__(self) -> str:
        return self.name


class Membership(models.Model):
    """Who may see an organization's trail."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    role = models.CharField(max_length=16, default="member")

    def __str__(self) -> str:
        return f"{self.user} in {self.organization}"


class Invoice(models.Model):
    """A business record that changes together with its event."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    title = models.CharField(max_length=100)
    total = models.IntegerField(default=0)

    def __str__(self) -> str:
        return self.title


class ApiKey(models.Model):
    """A key that authenticates without a user."""

    organization = models.ForeignKey(Organization, on_delete=models.CASCADE)
    name = models.CharField(max_length=100)
    digest = models.CharField(max_length=64)

    def __str__(self) -> str:
        return self.name
