"""
What an answer to a batch means: :func:`judge`, from status, headers and body alone.

An event counts as delivered only where the server says so of this very event. Everything else is sent again: each
event carries an idempotency key, so that one which was recorded in spite of the answer is not recorded twice.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final

TRY_AGAIN: Final = frozenset((408, 425, 429, 500, 502, 503, 504))
#: Results of single events that are no verdict on the event: the server could not record just then.
_PASSING: Final = frozenset(("recording", "internal", "unavailable", "throttled"))
_OK: Final = frozenset((200, 201, 207, 422))


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; ``body`` whole, ``retry_after`` as the header has it."""

    status: int
    body: bytes
    retry_after: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """Each event has its result. ``refusals`` are errors by position in the batch."""

    recorded: int
    repeated: int
    refusals: Mapping[int, dict[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unfit:
    """The request as a whole was refused for its content or size: halve it; a single event is refused with ``error``."""

    error: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Again:
    """
    Not delivered, and not the events' fault. ``is_slow``: it needs somebody (a key, an address), so haste is in vain.

    ``after_seconds`` is what the server asked for. ``is_partial``: some of the events were taken, others not just then.
    """

    reason: str
    is_slow: bool = False
    is_partial: bool = False
    after_seconds: float | None = None


Verdict = Delivered | Unfit | Again


def judge(answer: Answer, count: int, *, now: datetime, is_patient: bool = True) -> Verdict:
    """
    What ``answer`` to a batch of ``count`` events means.

    A result that says that the server could not record just now is a reason to try again; not ``is_patient``, it is a refusal
    where the server could record others of the same batch.
    """
    value = _json(answer.body)
    if answer.status in _OK:
        found = _results(value, count)
        if found is not None:
            return _delivered(found, is_patient=is_patient)
    problem = value if isinstance(value, dict) else {}
    # The whole request was refused for what is in it: which event it was is found by sending fewer.
    if answer.status == 413 or (answer.status == 422 and "code" in problem) or _is_malformed(answer.status, problem):
        return Unfit(error={"status": answer.status, **problem_of(answer.status, problem)})
    after = seconds_after(answer.retry_after, now=now)
    if answer.status in TRY_AGAIN:
        return Again(reason=_said(answer.status, problem), after_seconds=after)
    if answer.status < 300:
        wanted = f"wanted JSON with a result for each of {count} events"
        return Again(reason=f"{answer.status} with {len(answer.body)} bytes, {wanted}", after_seconds=after)
    return Again(reason=_said(answer.status, problem), is_slow=True, after_seconds=after)


def problem_of(status: int, value: Mapping[str, object]) -> dict[str, Any]:
    """``code`` and ``detail`` of an error: the server's (RFC 9457), or made from the status."""
    detail = value.get("detail") or value.get("title") or f"the server answered {status}"
    return {"code": str(value.get("code") or f"http_{status}"), "detail": str(detail)[:500]}


def seconds_after(header: str | None, *, now: datetime) -> float | None:
    """
    The seconds that a ``Retry-After`` asks for (RFC 9110, section 10.2.3: seconds or a date); None where it is neither.

    ``now`` is aware.
    """
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    if moment.utcoffset() is None:
        return None
    return max(0.0, (moment - now).total_seconds())


def _json(body: bytes) -> object:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _results(value: object, count: int) -> list[dict[str, Any]] | None:
    """One result per event in order, or None."""
    results = value.get("results") if isinstance(value, dict) else None
    if not isinstance(results, list) or len(results) != count:
        return None
    for index, one in enumerate(results):
        if not isinstance(one, dict) or one.get("status") not in ("recorded", "repeated", "refused"):
            return None
        if one.get("index", index) != index:
            return None
    return results


def _delivered(results: list[dict[str, Any]], *, is_patient: bool) -> Verdict:
    refusals = {index: one for index, one in enumerate(results) if one["status"] == "refused"}
    passing = [one for one in refusals.values() if one.get("code") in _PASSING]
    is_partial = len(refusals) < len(results)
    if passing and (is_patient or not is_partial):
        reason = f"{len(passing)} of {len(results)} events were not recorded: {passing[0]['code']}"
        return Again(reason=reason, is_partial=is_partial)
    return Delivered(
        recorded=sum(one["status"] == "recorded" for one in results),
        repeated=sum(one["status"] == "repeated" for one in results),
        refusals={index: problem_of(422, one) for index, one in refusals.items()},
    )


def _is_malformed(status: int, problem: Mapping[str, object]) -> bool:
    return status == 400 and problem.get("code") == "malformed"


def _said(status: int, problem: Mapping[str, object]) -> str:
    said = problem_of(status, problem)
    return f"{status} {said['code']}: {said['detail']}"
