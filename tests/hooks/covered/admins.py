"""Admin sites: of tracked models, of others, and admins that record themselves or may do nothing."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path

from auditkit_django import auditlog
from tests.host.models import ApiKey, Invoice, Membership, Organization
from tests.tracked.models import Document, Share

site = admin.AdminSite(name="covered")


class ShareInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Share


class MembershipInline(admin.TabularInline):  # type: ignore[type-arg]
    model = Membership


@admin.register(Document, site=site)
class DocumentAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    inlines = [ShareInline]


@admin.register(Share, site=site)
class ShareAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    inlines = [MembershipInline]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.resend)
        return [path("<path:pk>/resend/", view, name="tracked_share_resend"), *super().get_urls()]

    def resend(self, request: HttpRequest, pk: str) -> HttpResponse:
        return HttpResponse()


@admin.register(Invoice, site=site)
class InvoiceAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        auditlog.event("data.record.updated", resource=obj)


@admin.register(ApiKey, site=site)
class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    def has_add_permission(self, request: HttpRequest) -> bool:
        """Nobody."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


site.register(Organization)
