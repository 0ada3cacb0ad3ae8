"""
Deletion of watched rows: an instance, a queryset, and everything that cascades from it, told at once.

Django's ``Collector`` has all of them in hand before it deletes the first: as instances, or as querysets of rows that it
deletes by one statement each; those tell themselves (:mod:`bulk`).
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any

from django.db import transaction
from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector

from auditkit_django.hooks.tracking import reading, state
from auditkit_django.hooks.tracking.rows import RowChange, read
from auditkit_django.hooks.tracking.saving import row_change
from auditkit_django.hooks.tracking.telling import told_here
from auditkit_django.hooks.tracking.watching import (
    Watch,
    active_watches_of,
    names_of,
    prepare_with,
    tell,
)

_delete = Collector.delete
_at_work: ContextVar[tuple[Collector, ...]] = ContextVar("auditkit_deletions", default=())


def teach(model: type[Model]) -> None:
    """Make deletions known, those by cascade too: once, for all models."""
    if Collector.delete is _delete:
        Collector.delete = _audited_delete  # type: ignore[method-assign]


def deletions(instances: Iterable[Model], *, operation: str | None = None) -> list[RowChange]:
    """The changes that deleting ``instances`` makes."""
    return [
        RowChange(
            kind="deleted", instance=one, pk=one.pk, old=read(one, names_of(type(one))), new={}, operation=operation
        )
        for one in instances
    ]


@functools.wraps(_delete)
def _audited_delete(self: Collector) -> tuple[int, dict[str, int]]:
    token = _at_work.set((*_at_work.get(), self))
    try:
        told = list(_told(self))
        if not told:
            return _delete(self)
        # Recorded before: afterwards the instances have no key. A deletion that fails takes the events along.
        with transaction.atomic(using=self.using, savepoint=False):
            for watch, changes in told:
                tell(changes, watch)
            with told_here(self.using, *(watch.model for watch, _changes in told)):
                return _delete(self)
    finally:
        _at_work.reset(token)


def is_being_deleted(model: type[Model], pk: Any) -> bool:
    """Whether a deletion at work takes that row."""
    return any(
        one.pk == pk
        for collector in _at_work.get()
        for other, instances in collector.data.items()
        if issubclass(other, model)
        for one in instances
    )


def _told(collector: Collector) -> Iterator[tuple[Watch, list[RowChange]]]:
    data: Mapping[type[Model], Iterable[Model]] = collector.data
    operation = "QuerySet.delete" if isinstance(collector.origin, QuerySet) else None
    for model, instances in data.items():
        watches = active_watches_of(model)
        rows = _as_stored(model, list(instances), using=collector.using) if watches else []
        for watch in watches:
            if watch.model._meta.concrete_model is not model._meta.concrete_model:
                # A watch on the parent of this row: Django deletes the parent's row by itself, or keeps it.
                continue
            children = _children_told(data, model, watch)
            gone = [one for one in rows if one.pk not in children]
            changes = deletions(gone, operation=operation)
            if changes:
                yield watch, changes
    for queryset in collector.fast_deletes:
        for watch in active_watches_of(queryset.model):
            changes = deletions(watch.narrow(queryset), operation=operation) if watch.narrow is not None else []
            if changes:
                yield watch, changes
    yield from _set_by_cascade(collector)


def _as_stored(model: type[Model], instances: list[Any], *, using: str) -> list[Any]:
    """The rows that go: the instances that hold all of what was loaded and nothing else, the others read again."""
    names, key = names_of(model), model._meta.pk
    stale = [
        one.pk for one in instances if len(have := state.known(one) or {}) < len(names) or read(one, names) != have
    ]
    rows: dict[Any, Any] = {}
    for start in range(0, len(stale), reading.CHUNK):
        some = reading.with_keys(QuerySet(model), stale[start : start + reading.CHUNK])
        rows |= {row.pk: row for row in reading.locked(some, names, using=using)}
    return [rows.get(key.to_python(one.pk), one) for one in instances]


def _children_told(data: Mapping[type[Model], Iterable[Model]], model: type[Model], watch: Watch) -> set[Any]:
    """Keys of the rows whose child is told by another watch of the same kind."""
    return {
        one.pk
        for other, instances in data.items()
        if other is not model and issubclass(other, model) and not other._meta.proxy
        if any(near.kind == watch.kind and near is not watch for near in active_watches_of(other))
        for one in instances
    }


def _set_by_cascade(collector: Collector) -> Iterator[tuple[Watch, list[RowChange]]]:
    """References that ``SET_NULL`` and its like change; those that Django has not loaded go through ``update()``."""
    updates: Any = collector.field_updates
    for (field, value), groups in updates.items():
        for instances in groups:
            if isinstance(instances, QuerySet) and instances._result_cache is None:
                continue
            for watch in active_watches_of(field.model):
                changes = [
                    change
                    for one in instances
                    if (
                        change := row_change(
                            "updated",
                            one,
                            read(one, (field.attname,)),
                            {
                                field.attname: getattr(value, field.target_field.attname)
                                if isinstance(value, Model)
                                else value
                            },
                            operation="on_delete",
                        )
                    )
                ]
                if changes and field.attname in watch.fields:
                    yield watch, changes


prepare_with(teach)
