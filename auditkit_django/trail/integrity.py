"""What the page says about the chain, in plain words."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from uuid import UUID

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from auditkit_django.log.findings import FINDINGS, GAPS, Finding, VerifyReport
from auditkit_django.query.state import PENDING_CAP, LogState
from auditkit_django.templatetags.auditkit_visible import visible
from auditkit_django.trail.links import Links

SHOWN_FINDINGS = 10

Tone = Literal["good", "bad", "unsure", "quiet"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """Where a checkpoint was published, by the publisher's name: no address is shown."""

    text: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Integrity:
    """The strip above the list. ``tone`` picks colour and sign; the words alone say it too."""

    tone: Tone
    headline: str
    detail: str
    verified_at: datetime | None
    pending: str
    sealed: str
    sealed_at: datetime | None
    can_verify: bool
    published: tuple[Elsewhere, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A finding: where, what it means, and the details where they say more."""

    seq: int | None
    event_id: UUID | None
    url: str
    meaning: str
    details: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The result of "Verify now"."""

    tone: Tone
    headline: str
    explanation: str
    findings: tuple[Found, ...]
    omitted: int
    gaps: tuple[Found, ...]


def integrity_of(state: LogState | None) -> Integrity:
    """The strip for ``state``."""
    if state is None or (not state.size and not state.pending):
        return Integrity(
            tone="quiet",
            headline=_("No log yet"),
            detail=_("It opens with the first event."),
            verified_at=None,
            pending="",
            sealed="",
            sealed_at=None,
            can_verify=False,
        )
    tone, headline, detail = _standing(state)
    return Integrity(
        tone=tone,
        headline=headline,
        detail=detail,
        verified_at=state.verified_at,
        pending=_pending(state.pending),
        sealed=_("Sealed through #%(seq)s") % {"seq": f"{state.sealed_size - 1:,}"} if state.sealed_size else "",
        sealed_at=state.sealed_at,
        can_verify=bool(state.size),
        published=tuple(
            Elsewhere(
                text=_("%(name)s through #%(seq)s") % {"name": one.publisher, "seq": f"{one.size - 1:,}"}, at=one.at
            )
            for one in state.published
        ),
    )


def outcome_of(report: VerifyReport, links: Links) -> Outcome:
    """The result that ``report`` stands for."""
    tone, headline, explanation = _verdict(report)
    return Outcome(
        tone=tone,
        headline=headline,
        explanation=explanation,
        findings=tuple(_in_words(finding, links) for finding in report.findings[:SHOWN_FINDINGS]),
        omitted=max(0, len(report.findings) - SHOWN_FINDINGS) + report.omitted,
        gaps=tuple(_in_words(gap, links) for gap in report.gaps),
    )


def _standing(state: LogState) -> tuple[Tone, str, str]:
    if state.is_halted:
        headline = _("HALTED: the log is shorter than what was signed of it")
        return "bad", headline, _("New events are recorded and wait until it is recovered.")
    if state.verified_at is None or state.verified_size is None or not state.verdict:
        return "quiet", _("Never verified"), _entries(state.size)
    last = state.verified_size - 1
    if state.verdict == "INVALID":
        return "bad", _("BROKEN: the chain does not hold"), _("Verify again to see what was found.")
    if state.verdict == "INCOMPLETE":
        return "unsure", _("Not verified: the last check could not finish"), _entries(state.size)
    notes = [_("with gaps that the check names")] if state.verdict == "VALID_WITH_GAPS" else []
    if state.first_seq:
        notes.append(_("begins at #%(seq)s, past its retention before") % {"seq": f"{state.first_seq:,}"})
    if (since := state.size - state.verified_size) > 0:
        notes.append(ngettext("%(count)s newer entry", "%(count)s newer entries", since) % {"count": f"{since:,}"})
    return "good", _("Chain verified through #%(seq)s") % {"seq": f"{last:,}"}, " · ".join(notes)


def _verdict(report: VerifyReport) -> tuple[Tone, str, str]:
    if report.verdict == "INVALID":
        return "bad", _("BROKEN: the chain does not hold"), _("Something was changed after it was recorded.")
    if report.verdict == "INCOMPLETE":
        return "unsure", _("The check could not finish"), _("This says nothing about the log. Try again.")
    first, last = f"{report.first_seq or 0:,}", f"{report.last_seq or 0:,}"
    return (
        "good",
        _("Chain verified through #%(seq)s") % {"seq": last},
        _("From #%(first)s on, every hash was computed again and every event compared with its entry.")
        % {"first": first},
    )


def _in_words(finding: Finding, links: Links) -> Found:
    meaning = FINDINGS.get(finding.code) or GAPS.get(finding.code, finding.code)
    return Found(
        seq=finding.seq,
        event_id=finding.event_id,
        url=links.to("event", event_id=finding.event_id) if finding.event_id is not None else "",
        meaning=meaning[:1].upper() + meaning[1:],
        details=visible(finding.message),
    )


def _pending(count: int) -> str:
    if not count:
        return ""
    number = f"{PENDING_CAP:,}+" if count >= PENDING_CAP else f"{count:,}"
    return ngettext(
        "%(count)s event pending: recorded, not yet in the log",
        "%(count)s events pending: recorded, not yet in the log",
        count,
    ) % {"count": number}


def _entries(size: int) -> str:
    return ngettext("%(count)s entry in the log", "%(count)s entries in the log", size) % {"count": f"{size:,}"}
