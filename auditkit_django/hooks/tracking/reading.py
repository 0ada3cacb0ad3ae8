"""Rows read for their old values: whole instances where a sink wants them, else shells with the columns it needs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.base import ModelState

from auditkit_django.hooks.tracking.watching import active_watches_of

CHUNK = 2000
"""Rows that are read, changed and told together: memory stays bounded however many there are."""


def locked(rows: QuerySet[Any], fields: Iterable[str], *, using: str) -> list[Any]:
    """
    The rows of ``rows`` (of one table, by key) with ``fields`` at least, locked until the transaction ends.

    A shell is an instance as ``only()`` gives it, made without signals and several times cheaper; what it has not loaded
    it reads when asked.
    """
    watches = active_watches_of(rows.model)
    rows = rows.using(using).select_for_update(of=("self",))
    if any(watch.needs is None for watch in watches):
        related = sorted({path for watch in watches for path in watch.related})
        return list(rows.select_related(*related) if related else rows)
    key = rows.model._meta.pk.attname
    needed = {name for watch in watches for name in watch.needs or ()}
    return _shells(rows, tuple({key, *needed, *fields}), using=using)


def _shells(rows: QuerySet[Any], names: Sequence[str], *, using: str) -> list[Model]:
    model: Any = rows.model
    made: list[Model] = []
    # A lock "of self" needs instances to tell whose columns these are; the table is the only one.
    rows.query.select_for_update_of = ()
    for values in rows.values_list(*names):
        one = model.__new__(model)
        one.__dict__.update(zip(names, values, strict=True))
        one._state = state = ModelState()
        state.db, state.adding = using, False
        made.append(one)
    return made
