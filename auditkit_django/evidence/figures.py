"""Figures of the report: the period, the headline, what is not shown, and shares of the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any, Final

from django.utils.translation import gettext as _

from auditkit_django.evidence.chart import STACK
from auditkit_django.evidence.counts import ActionCount, ControlTable, Counts
from auditkit_django.evidence.facts import Facts
from auditkit_django.evidence.tally import Tally
from auditkit_django.evidence.wording import (
    FIELDS,
    OUTCOMES,
    SEVERITIES,
    Moment,
    day_text,
    filter_words,
    share,
    time_text,
    utc,
)
from auditkit_django.templatetags.auditkit_numbers import grouped

#: Days that the report shows before the first event and after the last one, where the period goes beyond them.
_MARGIN: Final = timedelta(days=366)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A figure or a row of a list: ``tone`` is the outcome that it is about, where it is about one."""

    label: Any
    value: str
    detail: str = ""
    percent: str = "0"
    tone: str = ""


def days_of(facts: Facts, tally: Tally) -> tuple[date, date]:
    """The first and the last day that charts and tables show."""
    days = [date.fromisoformat(day) for day, _outcome in tally.by_day_outcome]
    seen = [utc(moment).date() for moment in (facts.first_time, facts.last_time) if moment is not None] + days
    # What has not happened yet when the log was sealed is no zero.
    sealed = utc(facts.sealed_at if facts.sealed_at is not None else facts.exported_at).date()
    first_seen, last_seen = (min(seen), max(seen)) if seen else (sealed, sealed)
    first, last = first_seen, max(last_seen, sealed) if facts.time_to is None else last_seen
    if facts.time_from is not None:
        first = min(first_seen, max(utc(facts.time_from).date(), _shifted(first_seen, -_MARGIN)))
    if facts.time_to is not None:
        last = max(last_seen, min(_last_day(facts.time_to), sealed, _shifted(last_seen, _MARGIN)))
    return first, max(first, last)


def _last_day(end: Moment) -> date:
    """The end of a period is not in it: a period to midnight ends the day before."""
    moment = utc(end)
    return _shifted(moment.date(), -timedelta(days=1)) if moment.time() == time() else moment.date()


def _shifted(day: date, by: timedelta) -> date:
    try:
        return day + by
    except OverflowError:
        return date.min if by < timedelta() else date.max


def period_of(facts: Facts) -> str:
    """The period in words, as on the cover."""
    if facts.time_from is None and facts.time_to is None and facts.first_time is None:
        return _("No event yet")
    first = utc(facts.time_from or facts.first_time or facts.exported_at).date()
    last = _last_day(facts.time_to) if facts.time_to is not None else utc(facts.sealed_at or facts.exported_at).date()
    if last <= first:
        return day_text(first)
    return _("%(first)s to %(last)s") % {"first": day_text(first), "last": day_text(last)}


def headline(tally: Tally, counts: Counts, tables: Sequence[ControlTable]) -> list[Figure]:
    """The headline."""
    outcomes = tally.by_outcome()
    every = [action for action in counts.each() if action.description]
    recorded = sum(1 for action in every if action.total)
    controls = sum(len(table.controls) for table in tables)
    return [
        Figure(label=_("Events in scope"), value=grouped(tally.events)),
        Figure(
            label=_("Failed or denied"),
            value=grouped(outcomes.get("failure", 0) + outcomes.get("denied", 0)),
            detail=_("%(failed)s failed, %(denied)s denied")
            % {"failed": grouped(outcomes.get("failure", 0)), "denied": grouped(outcomes.get("denied", 0))},
        ),
        Figure(
            label=_("Actions recorded"),
            value=grouped(recorded),
            detail=_("of %s that are registered") % grouped(len(every)),
        ),
        Figure(
            label=_("Controls with an event"),
            value=grouped(sum(table.evidenced for table in tables)),
            detail=_("of %(controls)s in %(frameworks)s frameworks")
            % {"controls": grouped(controls), "frameworks": grouped(len(tables))},
        ),
    ]


def scope_of(facts: Facts) -> Mapping[str, object]:
    """What is in the evidence and what is not, in words and numbers."""
    return {
        "filter_words": filter_words(facts.filter),
        "filter_query": " ".join(f"{name}:{value}" for name, value in facts.filter.items()),
        "withheld": [FIELDS.get(name, name) for name in facts.withheld],
        "time_from": time_text(facts.time_from),
        "time_to": time_text(facts.time_to),
        "first_time": time_text(facts.first_time),
        "last_time": time_text(facts.last_time),
        "entries": grouped(facts.end - facts.start),
        "first_seq": grouped(facts.start),
        "last_seq": grouped(facts.end - 1) if facts.end > facts.start else "",
        "size": grouped(facts.size),
        "absent": [
            Figure(
                label=_("Left out by the filter"),
                value=grouped(facts.left_out),
                detail=_(
                    "Entries that the filter does not match. Their hashes are in the evidence: that they exist is proven."
                ),
            ),
            Figure(
                label=_("Withheld values"),
                value=grouped(facts.withheld_values),
                detail=_(
                    "Values that the operator chose not to disclose. That they were recorded is proven by their digests."
                ),
            ),
            Figure(
                label=_("Erased values"),
                value=grouped(facts.erased_values),
                detail=_(
                    "Values erased for good, such as personal data on request. The log itself says so; the entries stay."
                ),
            ),
            Figure(
                label=_("Pruned events"),
                value=grouped(facts.pruned_events),
                detail=_(
                    "Events deleted when their retention ended. The log itself says so; what remains stays provable."
                ),
            ),
        ],
    }


def outcomes_of(tally: Tally) -> list[Figure]:
    """Each outcome, with its share."""
    counted = tally.by_outcome()
    return [_row(OUTCOMES[name], counted.get(name, 0), tally.events, tone=name) for name in STACK]


def severities_of(tally: Tally) -> list[Figure]:
    """Each severity, with its share."""
    return [_row(label, tally.by_severity.get(name, 0), tally.events) for name, label in SEVERITIES.items()]


def shares_of(counted: Mapping[str, int], whole: int) -> list[Figure]:
    """What was counted, most often first, with its share of ``whole``."""
    ordered = sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))
    return [_row(name, count, whole) for name, count in ordered]


def _row(label: object, count: int, whole: int, *, tone: str = "") -> Figure:
    percent = 100 * count / whole if whole else 0.0
    return Figure(label=label, value=grouped(count), detail=share(count, whole), percent=f"{percent:.2f}", tone=tone)


def troubled_of(counts: Counts) -> Sequence[ActionCount]:
    """Actions that failed or were denied, the most often first."""
    found = [action for action in counts.each() if action.failures or action.denials]
    return sorted(found, key=lambda action: (-action.failures - action.denials, action.name))
