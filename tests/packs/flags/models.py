"""A flag that can be on for whole organizations."""

from __future__ import annotations

from django.db import models
from waffle.models import AbstractUserFlag

from tests.host.models import Organization


class OrganizationFlag(AbstractUserFlag):
    """A project's ``WAFFLE_FLAG_MODEL``."""

    organizations = models.ManyToManyField(Organization, blank=True)
    rules = models.JSONField(default=list, blank=True)
