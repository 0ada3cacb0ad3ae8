"""The filters of lists and exports, read from the query string."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import django_filters
from django import forms
from django.core.exceptions import ValidationError

from auditkit_django.api.problems import malformed
from auditkit_django.ledger.entry import OUTCOMES, SEVERITIES
from auditkit_django.ledger.strict_json import decode
from auditkit_django.models import Event
from auditkit_django.templatetags.auditkit_visible import visible


class _MomentField(forms.CharField):
    def to_python(self, value: object) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            # A plus sign that nobody encoded arrives as a blank.
            moment = dt.datetime.fromisoformat(text.replace(" ", "+") if "T" in text else text)
        except (ValueError, OverflowError) as exc:
            raise ValidationError(f"got {text[:40]!r}, wanted a time such as 2026-01-31T12:00:00Z, or a day") from exc
        return moment if moment.utcoffset() is not None else moment.replace(tzinfo=dt.UTC)


class _ObjectField(forms.CharField):
    def to_python(self, value: object) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            found = decode(text)
        except ValueError as exc:
            raise ValidationError(f"got {text[:40]!r}, wanted a JSON object") from exc
        if not isinstance(found, dict):
            raise ValidationError(f"got {text[:40]!r}, wanted a JSON object")
        return found


class MomentFilter(django_filters.Filter):
    """A time in ISO 8601; without a zone it is UTC, and a day is its beginning."""

    field_class = _MomentField


class ObjectFilter(django_filters.Filter):
    """A JSON object."""

    field_class = _ObjectField


class EventFilterSet(django_filters.FilterSet):
    """All filters of events. :meth:`members` are those of ``query.EventFilter``."""

    q = django_filters.CharFilter(max_length=1000, strip=False)
    action = django_filters.CharFilter(max_length=96)
    category = django_filters.CharFilter(max_length=32)
    actor = django_filters.CharFilter(max_length=193)
    target = django_filters.CharFilter(max_length=193)
    outcome = django_filters.ChoiceFilter(choices=[(name, name) for name in sorted(OUTCOMES)])
    severity = django_filters.ChoiceFilter(choices=[(name, name) for name in sorted(SEVERITIES)])
    ip = django_filters.CharFilter(max_length=64)
    request_id = django_filters.CharFilter(max_length=64)
    start = MomentFilter()
    end = MomentFilter()
    recorded_start = MomentFilter()
    recorded_end = MomentFilter()
    metadata = ObjectFilter()
    text = django_filters.CharFilter(max_length=200, strip=False)

    class Meta:
        model = Event
        fields: list[str] = []

    @classmethod
    def of(cls, params: Mapping[str, str]) -> EventFilterSet:
        """The filters in ``params``; a ProblemError names the first that makes no sense."""
        found = cls(dict(params.items()), queryset=Event.objects.none())
        for name, errors in found.form.errors.items():
            raise malformed(f"{name}: {visible(str(errors[0]))}", parameter=name)
        return found

    def members(self, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
        """What was given, by the names of ``EventFilter``."""
        cleaned = self.form.cleaned_data
        given = {"query" if name == "q" else name: value for name, value in cleaned.items() if name not in without}
        return {name: value for name, value in given.items() if value not in (None, "")}


PARAMETERS: Final = frozenset(EventFilterSet.base_filters)
