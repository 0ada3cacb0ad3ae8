"""What a run says: one section per benchmark, and the budgets with what was reached, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """A figure with its limit. ``is_floor``: more is better."""

    name: str
    got: float
    wanted: float
    unit: str = ""
    is_floor: bool = False

    @property
    def is_met(self) -> bool:
        """Whether the figure is on the right side of its limit."""
        return self.got >= self.wanted if self.is_floor else self.got <= self.wanted


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One benchmark's outcome. ``note`` says how it was measured, in words for a reader who doubts it."""

    title: str
    note: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]
    budgets: Sequence[Budget] = field(default_factory=tuple)


def table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A Markdown table; the first column is text, the others are numbers on the right."""
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    lines += [f"| {' | '.join(str(cell) for cell in row)} |" for row in rows]
    return "\n".join(lines)


def section_text(section: Section) -> str:
    """The section as Markdown."""
    return f"### {section.title}\n\n{section.note}\n\n{table(section.columns, section.rows)}\n"


def budgets_text(sections: Sequence[Section]) -> str:
    """All budgets in one table."""
    rows = [
        (
            budget.name,
            f"{number(budget.got)} {budget.unit}".strip(),
            f"{'≥' if budget.is_floor else '≤'} {number(budget.wanted)} {budget.unit}".strip(),
            "yes" if budget.is_met else "**no**",
        )
        for section in sections
        for budget in section.budgets
    ]
    return f"### Budgets\n\n{table(('figure', 'got', 'wanted', 'met'), rows)}\n"


def number(value: float) -> str:
    """``value`` with three significant digits, thousands apart."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"
