"""The filter of the list: a form that lives in the query string."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from django import forms
from django.core.validators import MaxValueValidator, MinValueValidator
from django.utils import timezone
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from auditkit_django.drafts import MAX_ID, MAX_TYPE
from auditkit_django.exceptions import QueryError
from auditkit_django.query.fields import MAX_TEXT
from auditkit_django.query.filters import EventFilter
from auditkit_django.query.language import parse
from auditkit_django.templatetags.auditkit_visible import visible

#: What may be asked for: an action, or a group of them.
_ACTION = re.compile(r"[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*)*(?:\.\*)?")
#: Both ends stay within what every time zone and database can hold.
_FIRST_DAY, _LAST_DAY = dt.date(1970, 1, 1), dt.date(9998, 12, 31)

OUTCOMES = {"success": _("Success"), "failure": _("Failed"), "denied": _("Denied")}
PERIODS = {
    "24h": (dt.timedelta(hours=24), _("24 hours")),
    "7d": (dt.timedelta(days=7), _("7 days")),
    "30d": (dt.timedelta(days=30), _("30 days")),
    "90d": (dt.timedelta(days=90), _("90 days")),
}
#: Searches by example, each with what it finds.
SEARCHES = (
    ("grace", _("a word in any name, address or value")),
    ('"annual plan"', _("several words together")),
    ("-outcome:success", _("what failed or was denied; a minus excludes")),
    ("actor:user:42 action:member.*", _("both: who, and a group of actions")),
    ("ip:203.0.113.0/24", _("from an address or a network")),
    ("severity:high,critical", _("one of several")),
    ("after:2026-01-01 before:2026-02-01", _("days, in UTC")),
    ("metadata.role:admin", _("a detail of the event")),
)


class _DayInput(forms.DateInput):
    input_type = "date"

    def __init__(self) -> None:
        super().__init__(format="%Y-%m-%d")


class FilterForm(forms.Form):
    """
    Narrows the list by a text of the query language, by action, actor, target, outcome and time of occurrence; everything may
    be left out.

    ``period`` counts back from ``at`` (seconds since 1970, UTC), which pages carry along: the window must not move
    while somebody turns pages.
    """

    q = forms.CharField(
        label=_("Search"),
        required=False,
        max_length=MAX_TEXT,
        # What an error counts are the characters that the field shows.
        strip=False,
        widget=forms.TextInput(
            attrs={"type": "search", "placeholder": "action:member.* -outcome:success", "spellcheck": "false"}
        ),
    )
    action = forms.CharField(
        label=_("Action"),
        required=False,
        max_length=96,
        widget=forms.TextInput(attrs={"list": "ak-actions", "placeholder": "member.*", "spellcheck": "false"}),
    )
    actor = forms.CharField(
        label=_("Actor"),
        required=False,
        max_length=MAX_TYPE + MAX_ID + 1,
        widget=forms.TextInput(attrs={"list": "ak-actors", "placeholder": "user:42", "spellcheck": "false"}),
    )
    target = forms.CharField(
        label=_("Target"),
        required=False,
        max_length=MAX_TYPE + MAX_ID + 1,
        widget=forms.TextInput(attrs={"list": "ak-targets", "placeholder": "project:7", "spellcheck": "false"}),
    )
    outcome = forms.ChoiceField(label=_("Outcome"), required=False, choices=[("", _("Any")), *OUTCOMES.items()])
    start = forms.DateField(
        label=_("From"),
        required=False,
        input_formats=["%Y-%m-%d"],
        validators=[MinValueValidator(_FIRST_DAY), MaxValueValidator(_LAST_DAY)],
        widget=_DayInput(),
    )
    end = forms.DateField(
        label=_("To"),
        required=False,
        input_formats=["%Y-%m-%d"],
        validators=[MinValueValidator(_FIRST_DAY), MaxValueValidator(_LAST_DAY)],
        widget=_DayInput(),
    )
    period = forms.ChoiceField(
        label=_("Period"),
        required=False,
        choices=[(name, label) for name, (_span, label) in PERIODS.items()],
        widget=forms.HiddenInput(),
    )
    at = forms.IntegerField(required=False, min_value=0, max_value=253_370_764_799, widget=forms.HiddenInput())

    #: Shown one beside the other, below the search; ``period`` and ``at`` come from links.
    shown: ClassVar[tuple[str, ...]] = ("action", "actor", "target", "outcome", "start", "end")

    def __init__(self, data: Mapping[str, Any], *, now: dt.datetime | None = None) -> None:
        super().__init__(data, auto_id="ak-%s")
        self.now = now or timezone.now()
        #: What stands before, at and after the character where the search stops making sense; a blank one is empty.
        self.misread: tuple[str, str, str] | None = None
        for name in ("start", "end"):
            # A browser drops what is no date from a date field, so the message repeats it.
            value = str(data.get(name, ""))[:40]
            self.fields[name].error_messages["invalid"] = _("“%(value)s” is not a date such as 2026-01-31.") % {
                "value": value
            }

    def clean_q(self) -> str:
        query = str(self.cleaned_data["q"])
        try:
            parse(query)
        except QueryError as exc:
            at = exc.position
            self.misread = (visible(query[:at]), visible(query[at : at + 1].strip()), visible(query[at + 1 :]))
            raise forms.ValidationError(visible(capfirst(str(exc).removeprefix("query: ")))) from exc
        return query.strip()

    def clean_action(self) -> str:
        action = str(self.cleaned_data["action"]).strip().lower()
        if action and not _ACTION.fullmatch(action):
            raise forms.ValidationError(_("Write an action such as member.invited, or a group such as member.*"))
        return action

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        start, end = cleaned.get("start"), cleaned.get("end")
        if start and end and end < start:
            self.add_error("end", _("This day is before the first one."))
        if cleaned.get("period") and (start or end):
            # The dates say more precisely what is wanted.
            cleaned["period"] = ""
        return cleaned

    def event_filter(self) -> EventFilter:
        """The filter of a valid form; days are days of the current time zone, and the last one is included."""
        cleaned = self.cleaned_data
        start, end = _midnight(cleaned["start"]), _midnight(cleaned["end"], after=True)
        if cleaned["period"]:
            start = self._anchor() - PERIODS[cleaned["period"]][0]
        return EventFilter(
            query=cleaned["q"] or None,
            action=cleaned["action"] or None,
            actor=cleaned["actor"] or None,
            target=cleaned["target"] or None,
            outcome=cleaned["outcome"] or None,
            start=start,
            end=end,
        )

    def params(self, *, anchored: bool = False) -> dict[str, str]:
        """The query parameters that say the same; ``anchored`` adds the moment from which the period counts."""
        found = {name: str(self.data.get(name, "")) for name in ("q", *self.shown, "period")}
        if found["start"] or found["end"]:
            found["period"] = ""
        if anchored and self.is_valid() and self.cleaned_data["period"]:
            found["at"] = str(int(self._anchor().timestamp()))
        return {name: value for name, value in found.items() if value.strip()}

    def _anchor(self) -> dt.datetime:
        at = self.cleaned_data["at"]
        return dt.datetime.fromtimestamp(at, tz=dt.UTC) if at is not None else self.now.replace(microsecond=0)


def _midnight(day: dt.date | None, *, after: bool = False) -> dt.datetime | None:
    if day is None:
        return None
    return dt.datetime.combine(
        day + dt.timedelta(days=1) if after else day, dt.time.min, tzinfo=timezone.get_current_timezone()
    )
