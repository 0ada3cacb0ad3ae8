"""Events of one tenant: law 7 holds for staff too, and on PostgreSQL the key of an event is (tenant, id)."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import quote, unquote
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from auditkit_django.admin.exporting import SelectedEvents, record_viewing
from auditkit_django.admin.readonly import KeysetChangeList, ReadOnlyAdmin
from auditkit_django.evidence.download import download
from auditkit_django.evidence.order import Order
from auditkit_django.exceptions import AuditkitError, MalformedError
from auditkit_django.models import Event
from auditkit_django.query.pages import ListedEvent, event_of, listed
from auditkit_django.templatetags.auditkit_visible import visible
from auditkit_django.tenancy import tenant_key

TENANT = "tenant__exact"
MAX_SELECTED = 250


def events_url(site: admin.AdminSite, tenant: str) -> str:
    """The list of the tenant's events."""
    from django.utils.http import urlencode

    path = reverse("admin:auditkit_django_event_changelist", current_app=site.name)
    return f"{path}?{urlencode({TENANT: tenant})}"


def event_key(event: Event | ListedEvent) -> str:
    """What stands for an event in addresses: ``<tenant>:<id in hex>``."""
    return f"{event.tenant}:{event.id.hex}"


def tenant_of(request: HttpRequest) -> str | None:
    """The one tenant that the address names; None where it names none, or several."""
    # Django's filters join repeated parameters with OR: two tenants at once would be an unscoped read.
    values = request.GET.getlist(TENANT)
    try:
        return tenant_key(values[0]) if len(values) == 1 else None
    except MalformedError:
        return None


class EventChangeList(KeysetChangeList):
    """Leads to events by tenant and id."""

    def url_for_result(self, result: Any) -> str:
        return reverse(
            "admin:auditkit_django_event_change",
            args=(quote(event_key(result)),),
            current_app=self.model_admin.admin_site.name,
        )


class OutcomeFilter(admin.SimpleListFilter):
    """By outcome, without asking the database which ones there are."""

    title = _("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("success", _("Success")), ("failure", _("Failed")), ("denied", _("Denied"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(outcome=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(ReadOnlyAdmin):
    """The events of the tenant in ``?tenant__exact=``, newest first, with what they disclose and their entries."""

    keyset = ("-occurred_at", "-id")
    list_display = ("occurred_at", "sentence", "action", "outcome", "severity", "seq")
    list_display_links = ("sentence",)
    list_filter = [OutcomeFilter, ("occurred_at", admin.DateFieldListFilter)]
    search_fields = ("actor_id", "target_id", "action")
    search_help_text = _("Exactly: an actor's id, a target's id or an action")
    actions = ["export_as_csv", "export_with_proof"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Event]:
        tenant = tenant_of(request)
        return Event.objects.none() if tenant is None else Event.objects.filter(tenant=tenant)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        # Exact, on columns that an index leads to; Django's own search would scan.
        term = search_term.strip()
        found = queryset.filter(Q(actor_id=term) | Q(target_id=term) | Q(action=term)) if term else queryset
        return found, False

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return EventChangeList

    def prepared(self, rows: list[Any]) -> list[Any]:
        for event, shown in zip(rows, listed(rows[0].tenant, rows) if rows else (), strict=True):
            event.listed = shown
        return rows

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        tenant = tenant_of(request)
        if tenant is None:
            return self._choose_tenant(request)
        if not self.has_view_permission(request):
            raise PermissionDenied
        record_viewing(request, tenant)
        title = _("Events of %(tenant)s") % {"tenant": visible(tenant)}
        return super().changelist_view(request, {"title": title, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        if request.method not in ("GET", "HEAD") or not self.has_view_permission(request):
            raise PermissionDenied
        key = unquote(object_id)
        event = self._event(key)
        if event is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, key)  # type: ignore[attr-defined]
        record_viewing(request, event.tenant)
        context = {
            "title": visible(event.summary),
            "event": event,
            "entry": event.entry.decode("ascii", "backslashreplace") if event.entry is not None else "",
            "leaf_hash": event.leaf_hash.hex() if event.leaf_hash is not None else "",
            "list_url": events_url(self.admin_site, event.tenant),
        }
        return self._page(request, "event.html", context | (extra_context or {}))

    @admin.action(description=_("Export as CSV"), permissions=["export"])
    def export_as_csv(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        """The selected events, at most ``MAX_SELECTED``; a whole log is exported from the list of logs."""
        tenant = tenant_of(request)
        if tenant is None:
            return None
        ids = tuple(queryset.values_list("pk", flat=True)[:MAX_SELECTED])
        return download(request, Order(tenant=tenant, format="csv", proof=False, chosen=SelectedEvents(ids=ids)))

    @admin.action(description=_("Export with proof (JSON lines)"), permissions=["export"])
    def export_with_proof(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        """The selected events with their proof; every other entry of the log is left out, and proven to exist."""
        tenant = tenant_of(request)
        if tenant is None:
            return None
        ids = tuple(queryset.values_list("pk", flat=True)[:MAX_SELECTED])
        try:
            return download(request, Order(tenant=tenant, format="jsonl", chosen=SelectedEvents(ids=ids)))
        except AuditkitError as exc:
            self.message_user(request, visible(exc), level=messages.ERROR)
            return None

    @admin.display(description=_("event"))
    def sentence(self, event: Any) -> str:
        return visible(_listed(event).summary)

    @admin.display(description=_("seq"))
    def seq(self, event: Any) -> str:
        seq = _listed(event).seq
        return str(_("pending")) if seq is None else f"#{seq}"

    def _event(self, key: str) -> ListedEvent | None:
        tenant, _colon, event_id = key.rpartition(":")
        try:
            return event_of(tenant_key(tenant), UUID(hex=event_id))
        except ValueError:  # a MalformedError is one too
            return None

    def _choose_tenant(self, request: HttpRequest) -> TemplateResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        can_view_logs = request.user.has_perm("auditkit_django.view_log")
        logs_url = reverse("admin:auditkit_django_log_changelist", current_app=self.admin_site.name)
        context = {"title": _("Whose events?"), "parameter": TENANT, "logs_url": logs_url if can_view_logs else ""}
        return self._page(request, "choose_tenant.html", context)

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> TemplateResponse:
        request.current_app = self.admin_site.name
        common = {**self.admin_site.each_context(request), "opts": self.opts, "media": forms.Media()}
        return TemplateResponse(request, f"auditkit_django/admin/{template}", common | context)


def _listed(event: Any) -> ListedEvent:
    return cast("ListedEvent", event.listed)
