"""When it happens: a company's acts on a calendar, milestones first and then the routine of its days."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Concatenate, ParamSpec

from example_project.northwind.demo import acts
from example_project.northwind.demo.acts import Stage
from example_project.northwind.demo.cast import Person

P = ParamSpec("P")
Deed = Callable[[Stage, Person], None]

_MEMBER_DAY: dict[Deed, int] = {
    acts.view_project: 5,
    acts.edit_project: 8,
    acts.create_project: 2,
    acts.archive_project: 1,
    acts.be_refused: 1,
}
_ROUTINE: dict[str, dict[Deed, int]] = {
    "owner": {acts.view_project: 2, acts.view_trail: 3, acts.edit_project: 3, acts.export_projects: 1},
    "admin": {
        acts.edit_project: 4,
        acts.restore_project: 2,
        acts.delete_project: 1,
        acts.view_trail: 2,
        acts.export_projects: 1,
        acts.create_project: 2,
    },
    "member": _MEMBER_DAY,
    "auditor": {acts.view_trail: 3, acts.export_projects: 1, acts.view_project: 1},
}
#: How likely somebody is seen on a working day.
_PRESENCE = {"owner": 0.14, "admin": 0.2, "member": 0.19, "auditor": 0.05}


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """Something that happens at a time."""

    at: datetime
    run: Callable[[], None]


class Story:
    """The acts of one company from its first day, an aware midnight, to ``end``."""

    def __init__(self, stage: Stage, *, start: datetime, end: datetime) -> None:
        self.stage = stage
        self._start = start
        self._end = end
        self._acts: list[Act] = []

    def acts(self) -> list[Act]:
        """All of them up to the end, in order."""
        return sorted((act for act in self._acts if act.at < self._end), key=lambda act: act.at)

    def on(
        self,
        day: int,
        hour: float,
        deed: Callable[Concatenate[Stage, Person, P], None],
        person: Person,
        *args: P.args,
        **values: P.kwargs,
    ) -> None:
        """A milestone: ``person``, signed in, does ``deed`` at ``hour`` of the company's day."""
        self.visit(day, hour, person, [partial(deed, self.stage, person, *args, **values)])

    def unattended(
        self,
        day: int,
        hour: float,
        deed: Callable[Concatenate[Stage, Person, P], None],
        person: Person,
        *args: P.args,
        **values: P.kwargs,
    ) -> None:
        """Something that nobody signs in for: a job, a program, somebody else's attack."""
        self._add(self._moment(day, hour), partial(deed, self.stage, person, *args, **values))

    def lately(self, minutes: int, deed: Deed, person: Person) -> None:
        """``person``, signed in, does ``deed`` so many minutes before the end, whatever day and hour that is."""
        self._add(
            self._end - timedelta(minutes=minutes),
            partial(acts.while_signed_in, self.stage, person, partial(deed, self.stage, person)),
        )

    def visit(self, day: int, hour: float, person: Person, deeds: Sequence[Callable[[], None]]) -> None:
        """``person`` arrives, does this and that with minutes in between, and may sign out."""
        moment, rng = self._moment(day, hour), self.stage.rng
        self._add(moment - timedelta(seconds=rng.randrange(20, 50)), partial(acts.arrive, self.stage, person))
        for deed in deeds:
            self._add(moment, partial(acts.while_signed_in, self.stage, person, deed))
            moment += timedelta(seconds=rng.randrange(50, 900))
        if rng.random() < 0.25:
            self._add(moment, partial(acts.leave, self.stage, person))

    def routine(self) -> None:
        """The working days of everybody while they are a member."""
        rng = self.stage.rng
        for day in range(2, (self._end - self._start).days + 1):
            weight = 1.0 if (self._start + timedelta(days=day)).weekday() < 5 else 0.12
            for person in self.stage.company.people:
                # The day of joining and the day of leaving belong to the milestones.
                if person.first_day < day < person.last_day and rng.random() < _PRESENCE[person.role] * weight:
                    self._day_of(person, day)

    def _day_of(self, person: Person, day: int) -> None:
        rng = self.stage.rng
        weights = _ROUTINE[person.role]
        chosen = rng.choices(list(weights), list(weights.values()), k=rng.choice([1, 1, 2, 2, 3]))
        deeds = [partial(deed, self.stage, person) for deed in dict.fromkeys(chosen)]
        self.visit(day, rng.triangular(0.2, 9.2, 2.5), person, deeds)

    def _moment(self, day: int, hour: float) -> datetime:
        seconds = self.stage.rng.randrange(60)
        return self._start + timedelta(days=day, hours=self.stage.company.opens + hour, seconds=seconds)

    def _add(self, moment: datetime, run: Callable[[], None]) -> None:
        self._acts.append(Act(at=moment, run=run))
