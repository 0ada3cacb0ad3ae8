"""Tables of the report: counts by action and time, by outcome, by control. What is registered and counts zero is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from auditkit_django import actions
from auditkit_django.actions import Action
from auditkit_django.evidence.controls import FRAMEWORKS, Framework
from auditkit_django.evidence.spans import Span, Unit, spans, start_of
from auditkit_django.evidence.tally import Tally

#: As many columns as a page of A4 has room for.
_MOST_COLUMNS: Final = 12
_UNITS: Final[tuple[Unit, ...]] = ("month", "quarter", "year")


@dataclass(frozen=True, slots=True, kw_only=True)
class ActionCount:
    """How often an action was recorded, in all and by column. ``description`` is empty where it is not registered (any more)."""

    name: str
    description: str
    category: str
    total: int
    columns: tuple[int, ...]
    failures: int
    denials: int
    is_on: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The actions of one category; ``category`` is empty for those that are not registered (any more)."""

    category: str
    actions: tuple[ActionCount, ...]
    total: int
    columns: tuple[int, ...]

    @property
    def recorded(self) -> int:
        """How many of the actions were recorded."""
        return sum(1 for action in self.actions if action.total)


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """Every registered action once, by category, over ``columns``."""

    columns: tuple[Span, ...]
    groups: tuple[Group, ...]

    @property
    def has_partial(self) -> bool:
        """A column stands for more time than is in the period."""
        return any(column.is_partial for column in self.columns)

    def each(self) -> Iterator[ActionCount]:
        """All actions, in their order."""
        for group in self.groups:
            yield from group.actions


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """A control, and the actions whose events help to evidence it; those recorded come first, most often first."""

    code: str
    title: str
    recorded: tuple[ActionCount, ...]
    absent: tuple[ActionCount, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlTable:
    """One framework."""

    name: str
    detail: str
    controls: tuple[Control, ...] = field(default=())

    @property
    def evidenced(self) -> int:
        """How many of the controls have an event."""
        return sum(1 for control in self.controls if control.total)


def counts_of(tally: Tally, first: date, last: date) -> Counts:
    """The counts by action from the day ``first`` to the day ``last``."""
    columns = spans(first, last, _UNITS, most=_MOST_COLUMNS)
    places = {column.first: at for at, column in enumerate(columns)}
    by_name: dict[str, list[int]] = {}
    for (name, month), count in tally.by_action_month.items():
        cells = by_name.setdefault(_today(name), [0] * len(columns))
        cells[places[start_of(date.fromisoformat(f"{month}-01"), columns[0].unit)]] += count
    outcomes: dict[tuple[str, str], int] = {}
    for (name, outcome), count in tally.by_action_outcome.items():
        outcomes[_today(name), outcome] = outcomes.get((_today(name), outcome), 0) + count
    zeros = [0] * len(columns)
    groups: dict[str, list[ActionCount]] = {}
    registered = {action.name: action for action in actions.all_actions()}
    for name in (*registered, *sorted(by_name.keys() - registered)):
        action = registered.get(name)
        counted = _counted(name, action, by_name.get(name, zeros), outcomes)
        groups.setdefault(counted.category, []).append(counted)
    return Counts(columns=columns, groups=tuple(_group(category, rows) for category, rows in groups.items()))


def control_tables(counts: Counts) -> tuple[ControlTable, ...]:
    """One table for each framework that a registered action names, known frameworks first."""
    found: dict[str, dict[str, list[ActionCount]]] = {name: {} for name in FRAMEWORKS}
    for counted in counts.each():
        action = actions.get(counted.name)
        for framework, codes in action.controls.items() if action is not None else ():
            for code in codes:
                found.setdefault(framework, {}).setdefault(code, []).append(counted)
    return tuple(_table(name, controls) for name, controls in found.items() if controls)


def _today(name: str) -> str:
    """An action that was renamed counts under the name that it has now."""
    action = actions.get(name)
    return action.name if action is not None else name


def _counted(
    name: str, action: Action | None, columns: list[int], outcomes: Mapping[tuple[str, str], int]
) -> ActionCount:
    return ActionCount(
        name=name,
        description=action.description or action.name if action is not None else "",
        category=action.category if action is not None else "",
        total=sum(columns),
        columns=tuple(columns),
        failures=outcomes.get((name, "failure"), 0),
        denials=outcomes.get((name, "denied"), 0),
        is_on=action is None or action.is_on,
    )


def _group(category: str, rows: list[ActionCount]) -> Group:
    columns = tuple(map(sum, zip(*(row.columns for row in rows), strict=True)))
    return Group(category=category, actions=tuple(rows), total=sum(row.total for row in rows), columns=columns)


def _table(name: str, controls: Mapping[str, list[ActionCount]]) -> ControlTable:
    framework = FRAMEWORKS.get(name) or Framework(name=name, detail="", titles={})
    ordered = sorted(controls, key=_natural)
    return ControlTable(
        name=framework.name,
        detail=framework.detail,
        controls=tuple(_control(framework, code, controls[code]) for code in ordered),
    )


def _control(framework: Framework, code: str, rows: list[ActionCount]) -> Control:
    return Control(
        code=framework.prefix + code,
        title=framework.titles.get(code, ""),
        recorded=tuple(sorted((row for row in rows if row.total), key=lambda row: (-row.total, row.name))),
        absent=tuple(sorted((row for row in rows if not row.total), key=lambda row: row.name)),
        total=sum(row.total for row in rows),
    )


def _natural(code: str) -> list[tuple[int, str]]:
    """So that A.8.9 comes before A.8.10."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in re.split(r"([0-9]+)", code)]
