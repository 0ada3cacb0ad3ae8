"""Logs: how each stands, its events, and what may be done with it."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ImproperlyConfigured
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from auditkit_django.admin.events import events_url
from auditkit_django.admin.readonly import ReadOnlyAdmin
from auditkit_django.conf import settings
from auditkit_django.evidence.download import download
from auditkit_django.evidence.forms import AdminEvidenceForm
from auditkit_django.evidence.order import Order
from auditkit_django.exceptions import AuditkitError
from auditkit_django.log.checkpoints import newest, sealed_at
from auditkit_django.log.findings import VerifyReport
from auditkit_django.log.verify import verify
from auditkit_django.models import Log, Pending
from auditkit_django.publishing.standing import Standing, standings
from auditkit_django.templatetags.auditkit_visible import visible

#: Newest entries that the action checks in one log; a request should not take minutes.
MAX_ENTRIES = 200_000
#: Logs that the action checks in one request.
MAX_LOGS = 10
_LEVELS = {"VALID": messages.SUCCESS, "VALID_WITH_GAPS": messages.SUCCESS, "INVALID": messages.ERROR}


@admin.register(Log)
class LogAdmin(ReadOnlyAdmin):
    """All logs, by tenant."""

    keyset = ("tenant", "epoch")
    list_display = ("tenant_name", "epoch", "size", "is_pending", "state", "verdict_shown", "verified_at", "events")
    search_fields = ("tenant",)
    search_help_text = gettext_lazy("Exactly: a tenant's key")
    actions = ["verify_log", "export_evidence", "export_as_csv"]
    fields = (
        "tenant", "epoch", "id", "origin", "size", "head", "head_time", "state", "verdict_shown", "verified_at",
        "verified_size", "published", "events",
    )  # fmt: skip
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Log]:
        waiting = Pending.objects.filter(tenant=OuterRef("tenant"))
        return Log.objects.annotate(has_pending=Exists(waiting))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(tenant=term) if term else queryset), False

    @admin.action(description=gettext_lazy("Verify this log"), permissions=["verify"])
    def verify_log(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Verify the newest part of up to ``MAX_LOGS`` logs and say what was found."""
        tenants = list(dict.fromkeys(queryset.values_list("tenant", flat=True)[: MAX_LOGS + 1]))
        for tenant in tenants[:MAX_LOGS]:
            report = verify(tenant, max_entries=MAX_ENTRIES)
            self.message_user(request, _in_words(report), level=_LEVELS.get(report.verdict, messages.WARNING))
        if len(tenants) > MAX_LOGS:
            text = _("Only the first %(count)d logs were verified; manage.py auditkit_verify --all does all.")
            self.message_user(request, text % {"count": MAX_LOGS}, level=messages.WARNING)

    @admin.action(description=gettext_lazy("Export evidence…"), permissions=["export"])
    def export_evidence(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        """Ask what is to be exported of one log, and export it."""
        log = _one_log(queryset)
        if log is None:
            self.message_user(
                request, _("Select one log: an export holds one tenant's events."), level=messages.WARNING
            )
            return None
        form = AdminEvidenceForm(request.POST if "ordered" in request.POST else None)
        chosen = form.chosen() if form.is_valid() else None
        order = form.order(log.tenant, chosen) if chosen is not None else None
        if order is not None:
            try:
                return download(request, order)
            except (AuditkitError, ImproperlyConfigured) as exc:
                form.add_error(None, visible(exc))
        return self._evidence_form(request, log, form)

    def _evidence_form(self, request: HttpRequest, log: Log, form: AdminEvidenceForm) -> HttpResponseBase:
        checkpoint = newest(log)
        fieldsets = (
            (_("What"), [form[name] for name in ("start", "end", "kind")]),
            (_("Filter"), [form[name] for name in ("query", "of_action", "actor", "target", "outcome", "severity")]),
            (_("For whoever receives it"), [form[name] for name in ("withheld", "note", "sample", "seed", "pdf")]),
        )
        context = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "title": _("Export evidence of %(tenant)s") % {"tenant": visible(log.tenant)},
            "log": log,
            "checkpoint": checkpoint,
            "sealed_at": sealed_at(checkpoint) if checkpoint is not None else None,
            "form": form,
            "fieldsets": fieldsets,
            "list_url": reverse("admin:auditkit_django_log_changelist", current_app=self.admin_site.name),
        }
        request.current_app = self.admin_site.name
        return TemplateResponse(request, "auditkit_django/admin/evidence.html", context)

    @admin.action(description=gettext_lazy("Export as CSV, without proof"), permissions=["export"])
    def export_as_csv(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponseBase | None:
        """All events of one log."""
        log = _one_log(queryset)
        if log is None:
            self.message_user(
                request, _("Select one log: an export holds one tenant's events."), level=messages.WARNING
            )
            return None
        return download(request, Order(tenant=log.tenant, format="csv", proof=False))

    @admin.display(description=gettext_lazy("tenant"), ordering="tenant")
    def tenant_name(self, log: Log) -> str:
        return visible(log.tenant)

    @admin.display(description=gettext_lazy("pending"), boolean=True)
    def is_pending(self, log: Any) -> bool:
        return bool(log.has_pending)

    @admin.display(description=gettext_lazy("verdict"))
    def verdict_shown(self, log: Log) -> str:
        return log.verdict or _("never verified")

    @admin.display(description=gettext_lazy("head hash"))
    def head(self, log: Log) -> str:
        return bytes(log.head_hash).hex()

    @admin.display(description=gettext_lazy("published"))
    def published(self, log: Log) -> SafeString | str:
        found = standings(list(settings.PUBLISHERS), tenants=[log.tenant])
        said = [(_published_in_words(one),) for one in found if one.epoch == log.epoch]
        return format_html_join(mark_safe("<br>"), "{}", said) or "-"

    @admin.display(description=gettext_lazy("events"))
    def events(self, log: Log) -> SafeString:
        return format_html('<a href="{}">{}</a>', events_url(self.admin_site, log.tenant), _("Show events"))


def _one_log(queryset: QuerySet[Any]) -> Log | None:
    """The newest log of the one tenant that was selected; None where it is another number of tenants."""
    tenants = list(dict.fromkeys(queryset.values_list("tenant", flat=True)[:2]))
    return Log.objects.filter(tenant=tenants[0]).order_by("-epoch").first() if len(tenants) == 1 else None


def _published_in_words(one: Standing) -> str:
    failed = _(" (failed %(count)d times)") % {"count": one.attempts} if one.attempts else ""
    if one.published_at is None:
        return f"{one.publisher}: {_('never')}{failed}"
    at = formats.localize(timezone.localtime(one.published_at))
    return f"{one.publisher}: {one.size} / {one.sealed_size}, {at}{failed}"


def _in_words(report: VerifyReport) -> str:
    found = {
        "tenant": visible(report.tenant),
        "verdict": report.verdict,
        "checked": report.checked,
        "size": report.size,
    }
    text = _("%(tenant)s: %(verdict)s, %(checked)d of %(size)d entries checked.") % found
    if not report.findings:
        return text
    first = report.findings[0]
    where = f"#{first.seq}: " if first.seq is not None else ""
    return _("%(text)s First finding: %(finding)s") % {"text": text, "finding": where + visible(first.message)}
