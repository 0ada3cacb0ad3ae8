"""Forms in which people ask for an export: one for customers, one with everything for the admin."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils.translation import gettext_lazy as _

from auditkit_django.evidence.order import MAX_SAMPLE, Order
from auditkit_django.evidence.wording import FIELDS, OUTCOMES, SEVERITIES
from auditkit_django.exceptions import MalformedError, QueryError
from auditkit_django.query.fields import MAX_TEXT
from auditkit_django.query.filters import EventFilter

#: Both ends stay within what every database can hold.
_FIRST_DAY, _LAST_DAY = dt.date(1970, 1, 1), dt.date(9998, 12, 31)
_MAX_NOTE = 65_536
#: Value to format and whether it has its proof, with what it is for.
KINDS: dict[str, tuple[str, bool, Any]] = {
    "bundle": ("bundle", True, _("Bundle (zip): events, proof, a report to read, and the verifier. For an auditor")),
    "csv": ("csv", True, _("CSV with its proof. For spreadsheets")),
    "jsonl": ("jsonl", True, _("JSON lines with their proof. For programs")),
    "json": ("json", True, _("JSON with its proof. For programs")),
    "listing": ("csv", False, _("CSV without proof: a copy for reading")),
    "xlsx": ("xlsx", False, _("Excel workbook: a copy for reading")),
    "parquet": ("parquet", False, _("Parquet: a copy for analysis")),
}


class _Day(forms.DateField):
    """A day, in UTC."""

    def __init__(self, **given: Any) -> None:
        widget = forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"})
        super().__init__(
            required=False,
            input_formats=["%Y-%m-%d"],
            widget=widget,
            validators=[MinValueValidator(_FIRST_DAY), MaxValueValidator(_LAST_DAY)],
            **given,
        )


class EvidenceForm(forms.Form):
    """What is to be exported; :meth:`order` of a valid form says it. Days are in UTC, and the last one is included."""

    start = _Day(label=_("From"))
    end = _Day(label=_("To"), help_text=_("Both days are included, in UTC. Leave them empty for everything."))
    kind = forms.ChoiceField(label=_("Format"), choices=[(name, label) for name, (_f, _p, label) in KINDS.items()])
    withheld = forms.MultipleChoiceField(
        label=_("Leave out"),
        required=False,
        choices=[(name, label) for name, label in FIELDS.items()],
        widget=forms.CheckboxSelectMultiple,
        help_text=_("With a proof, it is still proven that these values were recorded, and they are counted."),
    )
    note = forms.CharField(
        label=_("Signed checkpoint that you kept"),
        required=False,
        max_length=_MAX_NOTE,
        strip=False,
        widget=forms.Textarea(attrs={"rows": 4, "spellcheck": "false"}),
        help_text=_("Optional. The export then proves that the log was not rewritten since."),
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, initial: Mapping[str, Any] | None = None) -> None:
        super().__init__(data, auto_id="ak-%s", initial=dict(initial or {}))

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        start, end = cleaned.get("start"), cleaned.get("end")
        if start and end and end < start:
            self.add_error("end", _("This day is before the first one."))
        if cleaned.get("note", "").strip() and not KINDS.get(cleaned.get("kind", ""), ("", True, ""))[1]:
            self.add_error("note", _("A format without proof cannot lead on from a checkpoint."))
        return cleaned

    def order(self, tenant: str, chosen: EventFilter, *, name: str = "") -> Order | None:
        """The export that a valid form asks for; None, with a message beside the field, where it cannot be meant."""
        cleaned = self.cleaned_data
        form, proof, _label = KINDS[cleaned["kind"]]
        # A browser sends line feeds of a text area as CR LF.
        note = cleaned["note"].replace("\r\n", "\n").lstrip() if cleaned["note"].strip() else ""
        try:
            return Order(
                tenant=tenant,
                format=form,
                proof=proof,
                start=_midnight(cleaned["start"]),
                end=_midnight(cleaned["end"], after=True),
                chosen=chosen,
                withheld=tuple(cleaned["withheld"]),
                since=(note.rstrip("\n") + "\n",) if note else (),
                name=name,
                **self.further(),
            )
        except MalformedError as exc:
            self.add_error("note" if note else None, str(exc))
            return None

    def further(self) -> dict[str, Any]:
        """Further members of the order."""
        return {}


class AdminEvidenceForm(EvidenceForm):
    """The same with a filter, and what a report draws and how it is put in."""

    query = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=MAX_TEXT,
        # What an error counts are the characters that the field shows.
        strip=False,
        help_text=_('The query language: action:member.* -outcome:success "free text"'),
    )
    # "action" is the admin's own word.
    of_action = forms.CharField(
        label=_("Action"), required=False, max_length=96, help_text=_("member.invited or member.*")
    )
    actor = forms.CharField(label=_("Actor"), required=False, max_length=300, help_text=_("user:42 or 42"))
    target = forms.CharField(label=_("Target"), required=False, max_length=300, help_text=_("project:7 or 7"))
    outcome = forms.ChoiceField(label=_("Outcome"), required=False, choices=[("", _("Any")), *OUTCOMES.items()])
    severity = forms.ChoiceField(label=_("Severity"), required=False, choices=[("", _("Any")), *SEVERITIES.items()])
    sample = forms.IntegerField(label=_("Sample"), min_value=0, max_value=MAX_SAMPLE, initial=25)
    seed = forms.RegexField(
        regex=r"^[ -~]{0,64}$",
        label=_("Seed"),
        required=False,
        initial="1",
        help_text=_("Of the report in a bundle: the same seed draws the same events again."),
    )
    pdf = forms.BooleanField(label=_("Report as PDF, too"), required=False)

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean()
        if cleaned.get("pdf") and cleaned.get("kind") != "bundle":
            self.add_error("pdf", _("Only a bundle has a report."))
        return cleaned

    def chosen(self) -> EventFilter | None:
        """The filter of a valid form; None, with a message, where it makes no sense."""
        given = {name: self.cleaned_data[name].strip() or None for name in ("actor", "target", "outcome", "severity")}
        query = self.cleaned_data["query"]
        try:
            return EventFilter(
                action=self.cleaned_data["of_action"].strip() or None, query=query if query.strip() else None, **given
            )
        except QueryError as exc:
            self.add_error("query", str(exc).removeprefix("query: "))
            return None
        except MalformedError as exc:
            self.add_error("of_action", str(exc))
            return None

    def further(self) -> dict[str, Any]:
        """Further members of the order."""
        return {name: self.cleaned_data[name] for name in ("sample", "seed", "pdf")}


def _midnight(day: dt.date | None, *, after: bool = False) -> dt.datetime | None:
    if day is None:
        return None
    return dt.datetime.combine(day + dt.timedelta(days=1) if after else day, dt.time.min, tzinfo=dt.UTC)
