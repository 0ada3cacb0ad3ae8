"""The vendor's own view of its customers. The audit log's read-only admin comes with auditkit_django."""

from __future__ import annotations

from django.contrib import admin

from example_project.northwind.models import Membership, Organization


@admin.register(Organization)
class OrganizationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Customers."""

    list_display = ("name", "slug", "plan", "seats", "require_mfa", "created_at")


@admin.register(Membership)
class MembershipAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Who belongs to which customer."""

    list_display = ("user", "organization", "role", "joined_at")
    list_select_related = ("user", "organization")
