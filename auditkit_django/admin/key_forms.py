"""What is asked of whoever makes, rotates or revokes an API key."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, time, timedelta
from typing import Any, Final

from django import forms
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from auditkit_django.access.grant import EXPORT, READ, STREAMS, VERIFY, WRITE
from auditkit_django.conf import settings
from auditkit_django.drafts import MAX_TENANT

#: Scope to what it lets its bearer do; the keys are those of ``access.grant.SCOPES``.
MEANINGS: Final = {
    WRITE: _("record events"),
    READ: _("list, search and read events, with their proofs"),
    EXPORT: _("export events and evidence"),
    VERIFY: _("verify the log, and read checkpoints and proofs of it"),
    STREAMS: _("manage streams"),
}
OVERLAPS: Final = {
    "0": _("not at all: the old key is refused at once"),
    "1": _("1 hour"),
    "24": _("1 day"),
    "168": _("7 days"),
}
TENANT: Final = "tenant"
INSTALLATION: Final = "installation"


class CreateKeyForm(forms.Form):
    """A new key; :meth:`given` of a valid form are the arguments of ``access.api_keys.create_key``."""

    name = forms.CharField(
        label=_("Name"),
        max_length=100,
        help_text=_("What it is for, such as “billing service”. Events name the key by it."),
    )
    reach = forms.ChoiceField(
        label=_("For"),
        initial=TENANT,
        choices=[(TENANT, _("one tenant")), (INSTALLATION, _("the whole installation: every tenant's log"))],
        widget=forms.RadioSelect,
    )
    tenant = forms.CharField(
        label=_("Tenant"), required=False, max_length=MAX_TENANT, help_text=_("The tenant's key, where it is for one.")
    )
    scopes = forms.MultipleChoiceField(
        label=_("It may"),
        choices=[(name, meaning) for name, meaning in MEANINGS.items()],
        widget=forms.CheckboxSelectMultiple,
    )
    expires_on = forms.DateField(
        label=_("Expires"),
        required=False,
        input_formats=["%Y-%m-%d"],
        widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
    )
    networks = forms.CharField(
        label=_("Networks"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false", "placeholder": "203.0.113.0/24"}),
        help_text=_("That it may be used from, one in a line. None: from everywhere."),
    )

    def __init__(self, data: Mapping[str, Any] | None = None, *, tenant: str = "") -> None:
        super().__init__(data, initial={"tenant": tenant, "expires_on": _last_day()})
        days = settings.API_KEY_DAYS
        self.fields["expires_on"].help_text = (
            _("The last day that it is valid. None: for ever.")
            if days is None
            else _("The last day that it is valid; at most %(days)s days from today.") % {"days": days}
        )

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        tenant, reach = cleaned.get("tenant"), cleaned.get("reach")
        if reach == TENANT and not tenant and "tenant" not in self.errors:
            self.add_error("tenant", _("Write the tenant's key, or choose the whole installation."))
        if reach == INSTALLATION:
            # A key of everything must not be made by a field that was left as it was.
            cleaned["tenant"] = None
        return cleaned

    def given(self) -> dict[str, Any]:
        """The arguments, by name."""
        cleaned = self.cleaned_data
        return {
            "name": cleaned["name"],
            "tenant": cleaned["tenant"],
            "scopes": cleaned["scopes"],
            "expires_at": _end_of(cleaned["expires_on"]),
            "networks": cleaned["networks"].split(),
        }


class RotateKeyForm(forms.Form):
    """For how long the old key is valid beside the new one."""

    overlap = forms.ChoiceField(
        label=_("The old key stays valid for"),
        initial="24",
        choices=[(hours, label) for hours, label in OVERLAPS.items()],
        widget=forms.RadioSelect,
    )

    def given(self) -> timedelta:
        """The overlap."""
        return timedelta(hours=int(self.cleaned_data["overlap"]))


class RevokeKeyForm(forms.Form):
    """Why; the log of the key's tenant keeps it."""

    reason = forms.CharField(
        label=_("Reason"),
        max_length=200,
        help_text=_("It is recorded in the log that the key belongs to, and its readers see it."),
    )


def _last_day() -> Any:
    # The key is valid to the end of the day: the one before the last leaves room for the hours since.
    days = settings.API_KEY_DAYS
    return None if days is None else timezone.localdate() + timedelta(days=max(0, days - 1))


def _end_of(day: Any) -> datetime | None:
    if day is None:
        return None
    end = datetime.combine(day, time.max, tzinfo=timezone.get_current_timezone())
    last = None if settings.API_KEY_DAYS is None else timezone.now() + timedelta(days=settings.API_KEY_DAYS)
    # The last day that can be chosen ends after the moment that the setting names.
    is_last = last is not None and day == timezone.localdate(last)
    return min(end, last) if is_last and last is not None else end
