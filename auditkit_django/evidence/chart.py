"""The chart of activity: bars over time, stacked by outcome, as numbers for an SVG that fits any width."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final

from django.utils.dateformat import format as format_date

from auditkit_django.evidence.spans import Span, Unit, spans, start_of
from auditkit_django.templatetags.auditkit_numbers import grouped

#: Pixels from the top of the plot to its ground line.
HEIGHT: Final = 180
#: From the bottom of a bar to its top.
STACK: Final = ("success", "failure", "denied")
_MOST_BARS: Final = 100
_UNITS: Final[tuple[Unit, ...]] = ("day", "week", "month", "year")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One outcome in a bar; ``y`` and ``height`` in pixels."""

    outcome: str
    y: str
    height: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """``x`` and ``width`` in percent of the plot's width; ``title`` says in words what it shows."""

    x: str
    width: str
    title: str
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """A label at ``place``: pixels from the top, or percent from the left."""

    place: str
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """The whole of it; ``unit`` is what one bar stands for."""

    unit: Unit
    bars: tuple[Bar, ...]
    levels: tuple[Tick, ...]
    times: tuple[Tick, ...]
    most: int
    busiest: str


def chart_of(counts: Mapping[tuple[str, str], int], first: date, last: date) -> Chart:
    """The chart of ``counts``, by day (``YYYY-MM-DD``) and outcome, from the day ``first`` to the day ``last``."""
    parts = spans(first, last, _UNITS, most=_MOST_BARS)
    unit = parts[0].unit
    sums: dict[date, dict[str, int]] = {part.first: {} for part in parts}
    for (day, outcome), count in counts.items():
        of_part = sums.setdefault(start_of(date.fromisoformat(day), unit), {})
        of_part[outcome] = of_part.get(outcome, 0) + count
    totals = {start: sum(of_part.values()) for start, of_part in sums.items()}
    most = max(totals.values(), default=0)
    step = _step(most)
    top = step * max(1, -(-most // step))
    busiest = max(parts, key=lambda part: totals[part.first])
    return Chart(
        unit=unit,
        bars=tuple(_bar(part, sums[part.first], at, len(parts), top) for at, part in enumerate(parts)),
        levels=tuple(
            Tick(place=f"{HEIGHT - HEIGHT * level / top:.1f}", label=grouped(level))
            for level in range(0, top + 1, step)
        ),
        times=_times(parts),
        most=most,
        busiest=busiest.label if most else "",
    )


def _bar(part: Span, counts: Mapping[str, int], at: int, of: int, top: int) -> Bar:
    gap = 0.28 if of > 1 else 0.6
    pieces, base = [], 0
    for outcome in STACK:
        count = counts.get(outcome, 0)
        if count:
            base += count
            # What happened is seen, be it one event beside thousands.
            height = max(HEIGHT * count / top, 1.0)
            pieces.append(Piece(outcome=outcome, y=f"{HEIGHT - HEIGHT * base / top:.2f}", height=f"{height:.2f}"))
    return Bar(
        x=f"{100 * (at + gap / 2) / of:.3f}",
        width=f"{100 * (1 - gap) / of:.3f}",
        title=f"{part.label}: {grouped(sum(counts.values()))}",
        pieces=tuple(pieces),
    )


def _step(most: int) -> int:
    """The round number of which three to six make up ``most``."""
    size = 1
    while True:
        for step in (size, 2 * size, 5 * size):
            if most <= step * 5:
                return step
        size *= 10


def _times(parts: tuple[Span, ...]) -> tuple[Tick, ...]:
    """Labels below the plot: where a month or a year begins, or else every so many bars; never too many for a phone."""
    few = max(1, -(-len(parts) // 6))
    marked = [0, *(at for at, (one, other) in enumerate(pairwise(parts), 1) if _is_new(one, other))]
    if len(marked) < 3 or len(marked) > 7:
        marked = list(range(0, len(parts), few))
    elif marked[1] < len(parts) / 12:
        # The label of the first would run into that of the next.
        del marked[0]
    form = "j M" if parts[0].unit in ("day", "week") else "M Y"
    form = "Y" if parts[0].unit == "year" else form
    return tuple(
        Tick(place=f"{100 * at / len(parts):.3f}", label=format_date(parts[at].first, form))
        for at in marked
        if at <= len(parts) * 0.93 or at == 0
    )


def _is_new(one: Span, other: Span) -> bool:
    if one.unit in ("day", "week"):
        return one.first.month != other.first.month
    return one.first.year != other.first.year
