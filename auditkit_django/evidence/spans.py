"""Stretches of time into which the report sorts events: days, weeks (from Monday), months, quarters and years."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final, Literal

from django.utils.dateformat import format as format_date

Unit = Literal["day", "week", "month", "quarter", "year"]
#: Months in a unit; None where it is counted in days.
_MONTHS: Final[dict[Unit, int | None]] = {"day": None, "week": None, "month": 1, "quarter": 3, "year": 12}


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From ``first`` to ``last``, both included. ``is_partial``: the unit goes on beyond what was asked for."""

    first: date
    last: date
    unit: Unit
    is_partial: bool = False

    @property
    def label(self) -> str:
        """As a column or a bar is called."""
        if self.unit == "quarter":
            return f"Q{(self.first.month + 2) // 3} {self.first.year}"
        return format_date(self.first, {"year": "Y", "month": "M Y"}.get(self.unit, "j M Y"))


def spans(first: date, last: date, units: Sequence[Unit], *, most: int) -> tuple[Span, ...]:
    """The days from ``first`` to ``last`` in the first of ``units`` that makes at most ``most`` of them, or else in the last."""
    for unit in units:
        found = _split(first, last, unit, most=most if unit != units[-1] else None)
        if found is not None:
            return found
    raise AssertionError("units: got none")


def start_of(day: date, unit: Unit) -> date:
    """The first day of the unit that ``day`` is in."""
    months = _MONTHS[unit]
    if months is None:
        return day - timedelta(days=day.weekday() if unit == "week" else 0)
    return day.replace(month=(day.month - 1) // months * months + 1, day=1)


def _split(first: date, last: date, unit: Unit, *, most: int | None) -> tuple[Span, ...] | None:
    found: list[Span] = []
    start = start_of(first, unit)
    while start <= last:
        if most is not None and len(found) == most:
            return None
        after = _next(start, unit)
        end = after - timedelta(days=1) if after is not None else date.max
        found.append(Span(first=start, last=end, unit=unit, is_partial=start < first or end > last))
        if after is None:
            break
        start = after
    return tuple(found)


def _next(start: date, unit: Unit) -> date | None:
    months = _MONTHS[unit]
    try:
        if months is None:
            return start + timedelta(days=7 if unit == "week" else 1)
        year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
        return date(year, month + 1, 1)
    except (OverflowError, ValueError):
        return None
