"""Words of the report: times, numbers, filters and verdicts as people read them. All times are in UTC."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, Literal

from django.utils.dateformat import format as format_date
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from auditkit_django.templatetags.auditkit_numbers import grouped

#: A datetime with a time zone, or text as ``ledger.entry.format_time`` writes it.
Moment = datetime | str
Tone = Literal["good", "bad", "unsure", "quiet"]

FIELDS: Final[Mapping[str, str | Promise]] = {
    "actor": gettext_lazy("who did it (actor)"),
    "changes": gettext_lazy("what changed from what to what (changes)"),
    "context": gettext_lazy("where it came from: addresses, requests, sessions (context)"),
    "metadata": gettext_lazy("details (metadata)"),
    "on_behalf_of": gettext_lazy("for whom it was done (on_behalf_of)"),
    "targets": gettext_lazy("what it was done to (targets)"),
}
OUTCOMES: Final[Mapping[str, str | Promise]] = {
    "success": gettext_lazy("Success"),
    "failure": gettext_lazy("Failed"),
    "denied": gettext_lazy("Denied"),
}
SEVERITIES: Final[Mapping[str, str | Promise]] = {
    "info": gettext_lazy("Info"),
    "low": gettext_lazy("Low"),
    "medium": gettext_lazy("Medium"),
    "high": gettext_lazy("High"),
    "critical": gettext_lazy("Critical"),
}
_CONDITIONS: Final[Mapping[str, str | Promise]] = {
    "action": gettext_lazy("the action is “%s”"),
    "actor": gettext_lazy("the actor is “%s”"),
    "target": gettext_lazy("the target is “%s”"),
    "outcome": gettext_lazy("the outcome is “%s”"),
    "severity": gettext_lazy("the severity is “%s”"),
    "category": gettext_lazy("the category is “%s”"),
    "start": gettext_lazy("it occurred at or after %s"),
    "end": gettext_lazy("it occurred before %s"),
    "ip": gettext_lazy("it came from the address or network “%s”"),
    "request_id": gettext_lazy("it belongs to the request “%s”"),
    "recorded_start": gettext_lazy("it was recorded at or after %s"),
    "recorded_end": gettext_lazy("it was recorded before %s"),
    "metadata": gettext_lazy("its details contain %s"),
    "text": gettext_lazy("one of its values has “%s” in it"),
    "query": gettext_lazy("it is found by the search “%s”"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Badge:
    """
    What the cover says of the log's integrity. ``tone`` picks colour and sign; the words alone say it too. ``verdict`` is empty
    where none was reached for all that the report is about.
    """

    tone: Tone
    headline: str
    detail: str
    verdict: str = ""


def utc(moment: Moment) -> datetime:
    """``moment`` in UTC."""
    return (datetime.fromisoformat(moment) if isinstance(moment, str) else moment).astimezone(UTC)


def time_text(moment: Moment | None) -> str:
    """As ``1 Mar 2026, 09:30:00 UTC``; empty for None."""
    return format_date(utc(moment), "j M Y, H:i:s") + " UTC" if moment is not None else ""


def day_text(day: date) -> str:
    """As ``1 March 2026``."""
    return format_date(day, "j F Y")


def share(part: int, whole: int) -> str:
    """As ``12.5 %``; neither a rounded nothing nor a rounded everything is shown as if it were one."""
    if not whole or not part or part == whole:
        return "100 %" if part else "0 %"
    return f"{min(max(100 * part / whole, 0.1), 99.9):.1f} %"


def filter_words(chosen: Mapping[str, str]) -> str:
    """One sentence that says which events are in scope."""
    if not chosen:
        return _("Every event of the period: nothing is filtered out.")
    return _("Only events of which all of this holds: %s.") % "; ".join(
        _condition(name, value) for name, value in chosen.items()
    )


def badge(verdict: str | None, verified_at: Moment | None, *, start: int, end: int, verified_size: int) -> Badge:
    """
    What the operator's own verification came to, for the entries [``start``, ``end``) of the log.

    It looked at the first ``verified_size`` entries: it says nothing good of those that came later.
    """
    at = _(" on %s") % time_text(verified_at) if verified_at is not None else ""
    if verdict in ("VALID", "VALID_WITH_GAPS"):
        return _whole(verdict, at) if verified_size >= end else _partly(at, start, end, verified_size)
    if verdict is None:
        return Badge(
            tone="quiet",
            headline=_("Sealed, and for you to verify"),
            detail=_("No verdict was noted when this report was made. The check takes one command: see section 2."),
        )
    if verdict == "INCOMPLETE":
        return Badge(
            tone="unsure",
            headline=_("The check could not finish"),
            detail=_("This says nothing about the log%s. Repeat the check: see section 2.") % at,
            verdict=verdict,
        )
    return Badge(
        tone="bad",
        headline=_("BROKEN: the chain does not hold"),
        detail=_("The check%s found that something was changed. Do not rely on this report.") % at,
        verdict=verdict,
    )


def _whole(verdict: str, at: str) -> Badge:
    is_valid = verdict == "VALID"
    return Badge(
        tone="good",
        headline=_("Verified: unchanged and complete") if is_valid else _("Verified, with gaps that the check names"),
        detail=_("Checked by the operator's software%s. You can repeat the check without the operator: see section 2.")
        % at,
        verdict=verdict,
    )


def _partly(at: str, start: int, end: int, verified_size: int) -> Badge:
    """No verdict is shown: it is of less than what the report is about."""
    if verified_size <= start:
        return Badge(
            tone="quiet",
            headline=_("Sealed, and for you to verify"),
            detail=_(
                "The operator's last check%s was before these entries. The check takes one command: see section 2."
            )
            % at,
        )
    return Badge(
        tone="unsure",
        headline=_("Verified through #%s, newer entries are not") % grouped(verified_size - 1),
        detail=_(
            "%(newer)s of the %(all)s entries came after the operator's last check%(at)s. Check them all: see section 2."
        )
        % {"newer": grouped(end - verified_size), "all": grouped(end - start), "at": at},
    )


def _condition(name: str, value: str) -> str:
    if name == "action" and value.endswith(".*"):
        return _("the action begins with “%s”") % value.removesuffix("*")
    return str(_CONDITIONS.get(name, name + " “%s”")) % value
