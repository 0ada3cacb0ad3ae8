"""
The values that an instance was loaded with, kept beside Django's own state of it, so that a save needs no SELECT.

They are those of the database as this process last saw it. A save moves them on; where its transaction is rolled back
they move back, so that saving the same instance again records the same change again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction
from django.db.models import Model
from django.db.transaction import get_connection

from auditkit_django.hooks.tracking.rows import read


class Step:
    """
    A move from ``before`` to what is known now, made in a transaction that may still roll back. ``outer`` is the move
    before it, which a rollback to a savepoint in between leaves standing.
    """

    __slots__ = ("before", "has_committed", "outer", "using")

    def __init__(self, before: dict[str, Any] | None, outer: Step | None, using: str) -> None:
        self.before = before
        self.outer = outer
        self.using = using
        self.has_committed = False

    def __call__(self) -> None:
        self.has_committed = True
        self.before = self.outer = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Step:
        # A copy of the instance waits for the same transaction.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # Elsewhere nobody can tell what became of it; what was pickled is taken as it stood.
        return _settled, ()

    def is_undone(self) -> bool:
        """Whether the transaction of the move was rolled back."""
        if self.has_committed:
            return False
        return not any(callback[1] is self for callback in get_connection(self.using).run_on_commit)


def _settled() -> Step:
    step = Step(None, None, "")
    step.has_committed = True
    return step


def remember(instance: Model, names: tuple[str, ...]) -> None:
    """Keep the loaded values of ``names``, which were just read from the database."""
    state: Any = instance._state
    state.auditkit = read(instance, names)
    state.auditkit_step = None
    state.auditkit_key = instance.pk


def known(instance: Model) -> dict[str, Any] | None:
    """The values that the row has as far as we know, by attribute name; None for an instance never loaded or saved."""
    state: Any = instance._state
    step: Step | None = getattr(state, "auditkit_step", None)
    if step is not None and step.is_undone():
        # What the row holds now only the database knows: the next save asks it.
        state.auditkit = state.auditkit_step = None
    found: dict[str, Any] | None = getattr(state, "auditkit", None)
    return found


def forget_other_row(instance: Model) -> None:
    """An instance whose key was changed stands for another row, of which nothing is known."""
    state: Any = instance._state
    if getattr(state, "auditkit_key", instance.pk) != instance.pk:
        state.auditkit = state.auditkit_step = None
    state.auditkit_key = instance.pk


def learn(instance: Model, values: Mapping[str, Any]) -> None:
    """Add values that were read from the database because they were not known."""
    state: Any = instance._state
    state.auditkit = {**(known(instance) or {}), **values}


def advance(instance: Model, values: Mapping[str, Any], *, using: str) -> None:
    """The row now has ``values``, if the open transaction commits."""
    state: Any = instance._state
    before = known(instance)
    step = Step(before, getattr(state, "auditkit_step", None), using)
    state.auditkit = {**(before or {}), **values}
    state.auditkit_step = step
    state.auditkit_key = instance.pk
    transaction.on_commit(step, using=using)
