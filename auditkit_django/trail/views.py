"""The pages: list, one event, "Verify now" and the export of what is on the page."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.core.exceptions import ImproperlyConfigured
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.utils.functional import cached_property

from auditkit_django import actions
from auditkit_django.access.grant import EXPORT, VERIFY
from auditkit_django.evidence.download import download
from auditkit_django.evidence.forms import EvidenceForm
from auditkit_django.evidence.order import Order
from auditkit_django.exceptions import AuditkitError, MalformedError, UnknownTenantError
from auditkit_django.log.checkpoints import sealed_at
from auditkit_django.log.verify import verify
from auditkit_django.publishing.cosigned import cosigned_note
from auditkit_django.query.filters import EventFilter
from auditkit_django.query.pages import Page, event_of, page_of
from auditkit_django.query.state import log_state, newest_checkpoint
from auditkit_django.templatetags.auditkit_visible import visible
from auditkit_django.trail.access import TrailView
from auditkit_django.trail.forms import OUTCOMES, PERIODS, SEARCHES, FilterForm
from auditkit_django.trail.integrity import integrity_of, outcome_of
from auditkit_django.trail.links import Links
from auditkit_django.trail.rows import (
    Party,
    Row,
    change_rows,
    erased_fields,
    pairs_of,
    party_of,
    proof_of,
    row_of,
)

_CHIP = 40


class _Page(TrailView):
    """What the trail's pages have in common."""

    @cached_property
    def links(self) -> Links:
        return Links(self.request)

    @cached_property
    def form(self) -> FilterForm:
        return FilterForm(self.request.GET)

    def page(self, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
        """``template`` with what every page has."""
        common = {
            "tenant": self.tenant,
            "tenant_name": visible(self.tenant_name),
            "list_url": self.links.to("events"),
            **self.shared_context(),
        }
        return render(self.request, f"auditkit_django/trail/{template}", common | context, status=status)

    def chosen(self) -> EventFilter | None:
        """The filter that was asked for; None, with messages beside the fields, where it makes no sense."""
        if not self.form.is_valid():
            return None
        try:
            return self.get_filter(self.form)
        except MalformedError as exc:
            self.form.add_error(None, visible(exc))
            return None


class EventList(_Page):
    """The tenant's events, newest first."""

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        self.note_viewing(self.form.params())
        page, is_stale = self._found()
        rows = [row_of(event, self.links) for event in page.events] if page is not None else []
        can_export = page is not None and self.is_granted(EXPORT)
        context = {
            "form": self.form,
            "rows": rows,
            "is_stale": is_stale,
            "older_url": self._older_url(page),
            "newest_url": self.links.to("events", self.form.params()) if "cursor" in request.GET else "",
            "export_url": self.links.to("export", self.form.params(anchored=True)) if can_export else "",
            "evidence_url": self.links.to("evidence", self.form.params()) if can_export else "",
            "verify_url": self.links.to("verify") if self.is_granted(VERIFY) else "",
            "checkpoint_url": self.links.to("checkpoint") if self.is_granted(VERIFY) else "",
            "integrity": integrity_of(log_state(self.tenant)),
            "periods": self._periods(),
            "searches": self._searches(),
            "chips": self._chips(rows),
            "actions": _action_choices(),
            "actors": _known(row.actor for row in rows),
            "targets": _known(target for row in rows for target in row.targets),
        }
        return self.page("list.html", context, status=400 if is_stale else 200)

    def _found(self) -> tuple[Page | None, bool]:
        """The page that was asked for, None if the filter makes no sense; and whether its cursor is of another one."""
        chosen = self.chosen()
        if chosen is None:
            return None, False
        try:
            return page_of(self.tenant, chosen, limit=self.page_size, cursor=self.request.GET.get("cursor")), False
        except MalformedError:
            return None, True

    def _older_url(self, page: Page | None) -> str:
        if page is None or page.next_cursor is None:
            return ""
        return self.links.to("events", {**self.form.params(anchored=True), "cursor": page.next_cursor})

    def _periods(self) -> list[dict[str, object]]:
        """The presets as links that keep every other filter."""
        params = self.form.params()
        kept = {name: value for name, value in params.items() if name not in ("start", "end", "period")}
        presets: list[tuple[str, object]] = [(name, label) for name, (_span, label) in PERIODS.items()]
        return [
            {
                "label": label,
                "url": self.links.to("events", {**kept, "period": name}),
                "is_current": params.get("period") == name,
            }
            for name, label in presets
        ]

    def _searches(self) -> list[dict[str, object]]:
        """What can be searched for, by example: links that fill the field and keep every other filter."""
        kept = {name: value for name, value in self.form.params().items() if name != "q"}
        return [
            {"query": query, "meaning": meaning, "url": self.links.to("events", {**kept, "q": query})}
            for query, meaning in SEARCHES
        ]

    def _chips(self, rows: list[Row]) -> list[dict[str, object]]:
        """The active filters, each with the address of the list without it."""
        params = self.form.params()
        names = {party.value: party.name for row in rows for party in (row.actor, *row.targets) if party is not None}
        choices: dict[str, dict[str, object]] = {
            "outcome": dict(OUTCOMES),
            "period": {period: label for period, (_span, label) in PERIODS.items()},
        }
        found: list[dict[str, object]] = []
        for name, value in params.items():
            text = choices.get(name, {}).get(value) or _short(visible(value))
            found.append(
                {
                    "label": self.form.fields[name].label,
                    "value": text,
                    "name": names.get(visible(value), "") if name in ("actor", "target") else "",
                    "url": self.links.to("events", {key: other for key, other in params.items() if key != name}),
                }
            )
        return found


class EventDetail(_Page):
    """One event: everything that is disclosed of it, and its entry."""

    def get(self, request: HttpRequest, *, event_id: UUID, **kwargs: Any) -> HttpResponse:
        everything = FilterForm({})
        chosen = self.get_filter(everything) if everything.is_valid() else None
        event = event_of(self.tenant, event_id, chosen=chosen) if chosen is not None else None
        if event is None:
            raise Http404("Not found.")
        self.note_viewing({})
        context = {
            "row": row_of(event, self.links),
            "on_behalf_of": party_of(event.on_behalf_of, self.links, role="actor"),
            "changes": change_rows(event.changes),
            "context_pairs": pairs_of(event.context),
            "metadata": pairs_of(event.metadata),
            "proof": proof_of(event),
            "erased": erased_fields(event),
        }
        return self.page("event.html", context)


class Verification(_Page):
    """ "Verify now": computes the newest part of the chain again and says what it found."""

    scope = VERIFY

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        return redirect(self.links.to("events"))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        try:
            report = verify(self.tenant, max_entries=self.verify_entries)
        except UnknownTenantError:  # nothing was ever recorded
            return redirect(self.links.to("events"))
        context = {"report": report, "result": outcome_of(report, self.links), "verify_url": self.links.to("verify")}
        return self.page("verification.html", context)


class EventExport(_Page):
    """What the list shows, all of it, as CSV. Asked by POST: an export is an event, and no other site may cause one."""

    scope = EXPORT

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        return redirect(self.links.to("events", self.form.params()))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        chosen = self.chosen()
        if chosen is None:
            return redirect(self.links.to("events", self.form.params()))
        return download(request, Order(tenant=self.tenant, format="csv", proof=False, chosen=chosen))


class EvidenceExport(_Page):
    """What is to be exported, and, asked by POST, the export: with its proof, or as a copy for reading."""

    scope = EXPORT

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        shown = {name: self.form.params().get(name, "") for name in ("start", "end")}
        return self._asked(EvidenceForm(initial=shown))

    def post(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        asked = EvidenceForm(request.POST)
        narrowed = self._narrowed() if self.chosen() is not None else None
        if narrowed is None:
            return redirect(self.links.to("events", self.form.params()))
        order = asked.order(self.tenant, narrowed, name=self.tenant_name) if asked.is_valid() else None
        if order is not None:
            try:
                self.check_order(order)
                return download(request, order)
            except (AuditkitError, ImproperlyConfigured) as exc:
                asked.add_error(None, visible(exc))
        return self._asked(asked, status=400)

    def _narrowed(self) -> EventFilter | None:
        """
        What may be exported. Days are asked for here, and mean when events were entered in the log: those of the list are left
        out before the host's ``get_filter`` is asked, whose own limits in time hold.
        """
        params = {name: value for name, value in self.form.params().items() if name not in ("start", "end", "period")}
        form = FilterForm(params)
        return self.get_filter(form) if form.is_valid() else None

    def _asked(self, asked: EvidenceForm, *, status: int = 200) -> HttpResponse:
        params = {name: value for name, value in self.form.params().items() if name not in ("start", "end", "period")}
        checkpoint = newest_checkpoint(self.tenant)
        context = {
            "form": asked,
            "days": [asked["start"], asked["end"]],
            "chips": [
                {"label": self.form.fields[name].label, "value": visible(value)} for name, value in params.items()
            ],
            "checkpoint": checkpoint,
            "sealed_at": sealed_at(checkpoint) if checkpoint is not None else None,
            "export_url": self.links.to("evidence", params),
            "back_url": self.links.to("events", self.form.params()),
        }
        return self.page("evidence.html", context, status=status)


class NewestCheckpoint(_Page):
    """The newest signed checkpoint, to keep: whoever holds it can tell later whether history was rewritten."""

    scope = VERIFY

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponseBase:
        checkpoint = newest_checkpoint(self.tenant)
        if checkpoint is None:
            raise Http404("Not found.")
        response = HttpResponse(cosigned_note(checkpoint), content_type="text/plain; charset=utf-8")
        response["Content-Disposition"] = 'attachment; filename="audit-log.checkpoint.txt"'
        return response


def _short(text: str) -> str:
    """As much of a long search as a chip has room for; the field has all of it."""
    return text if len(text) <= _CHIP else f"{text[: _CHIP - 1]}…"


def _action_choices() -> list[str]:
    """What the action field suggests: groups first, then names."""
    names = [action.name for action in actions.all_actions()]
    groups = dict.fromkeys(f"{name.partition('.')[0]}.*" for name in names)
    return [*groups, *names]


def _known(parties: Any) -> list[Party]:
    """Each party that has an id, once."""
    return list({party.value: party for party in parties if party is not None and party.value}.values())
