"""
The vendor's own view of its customers. The audit log's read-only admin comes with auditkit_django.

It is for looking: organizations and their members are changed by the product, where each change is an event.
"""

from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from example_project.northwind.models import Membership, Organization


class LookOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Lists and shows, and changes nothing."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(Organization)
class OrganizationAdmin(LookOnlyAdmin):
    """Customers."""

    list_display = ("name", "slug", "plan", "seats", "require_mfa", "created_at")


@admin.register(Membership)
class MembershipAdmin(LookOnlyAdmin):
    """Who belongs to which customer."""

    list_display = ("user", "organization", "role", "joined_at")
    list_select_related = ("user", "organization")
