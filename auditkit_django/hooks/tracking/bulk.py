"""
``QuerySet.update``, ``bulk_create`` and ``bulk_update`` of watched models: every row is told, with old and new.

Django sends no signals for these, and what the peers leave out here is what their users complain of most. So the four
methods of ``QuerySet`` itself are wrapped (docs/adr/0008): whatever manager, related manager or subclass a host uses
leads to them. For models that nobody watches the wrapper is one look-up.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from typing import Any

from django.db import transaction
from django.db.models import AutoField, Model, QuerySet
from django.db.transaction import get_connection

from auditkit_django.exceptions import UntrackedError
from auditkit_django.hooks.tracking import reading, state
from auditkit_django.hooks.tracking.rows import RowChange, is_expression, read, typed
from auditkit_django.hooks.tracking.saving import current, row_change
from auditkit_django.hooks.tracking.telling import told_here
from auditkit_django.hooks.tracking.watching import (
    active_watches_of,
    fields_of,
    has_triggers,
    inner,
    names_of,
    prepare_with,
    tell,
    written_watches_of,
)

logger = logging.getLogger("auditkit_django")

_update, _raw_delete = QuerySet.update, QuerySet._raw_delete
_bulk_create, _bulk_update = QuerySet.bulk_create, QuerySet.bulk_update


def teach(model: type[Model]) -> None:
    """Wrap Django's methods, once for all models."""
    if QuerySet.update is _update:
        QuerySet.update = _audited_update  # type: ignore[method-assign]
        QuerySet.bulk_create = _audited_bulk_create  # type: ignore[assignment]
        QuerySet.bulk_update = _audited_bulk_update  # type: ignore[method-assign]
        QuerySet._raw_delete = _audited_raw_delete  # type: ignore[assignment, method-assign]


@functools.wraps(_update)
def _audited_update(self: Any, **kwargs: Any) -> int:
    touched = _touched(self.model, kwargs)
    if not touched or self.query.is_sliced or self.query.combinator:
        return _update(self, **kwargs)
    using = _for_write(self)
    # In an open transaction no block of our own: Django refuses a wrong name without spoiling the host's transaction.
    with nullcontext() if get_connection(using).in_atomic_block else transaction.atomic(using=using):
        count = 0
        # One statement, as the host wrote it: by halves the second would see what the first changed.
        instances = _locked_rows(self, touched, using=using)
        if instances:
            with inner(), told_here(using, self.model):
                count = _update(reading.with_keys(self, [one.pk for one in instances]), **kwargs)
        with transaction.mark_for_rollback_on_error(using):
            for some in _chunks(instances):
                _tell_updates(self.model, some, kwargs, touched, using=using)
        # Django checks the names of the fields and answers 0 where there are no rows.
        return count or _update(self.filter(pk__in=()), **kwargs)


@functools.wraps(_bulk_create)
def _audited_bulk_create(
    self: Any,
    objs: Iterable[Model],
    batch_size: int | None = None,
    ignore_conflicts: bool = False,
    update_conflicts: bool = False,
    update_fields: Collection[str] | None = None,
    unique_fields: Collection[str] | None = None,
) -> list[Model]:
    given = {
        "batch_size": batch_size,
        "ignore_conflicts": ignore_conflicts,
        "update_conflicts": update_conflicts,
        "update_fields": update_fields,
        "unique_fields": unique_fields,
    }
    if not written_watches_of(self.model):
        return _bulk_create(self, objs, **given)  # type: ignore[arg-type]
    objs, using = list(objs), _for_write(self)
    if ignore_conflicts:
        return _create_ignoring(self, objs, given, using=using)
    with transaction.atomic(using=using, savepoint=False):
        standing = _standing(self.model, objs, unique_fields, using=using) if update_conflicts else {}
        with inner(), told_here(using, self.model):
            created = _bulk_create(self, objs, **given)  # type: ignore[arg-type]
        changes = [_creation(one, standing, unique_fields, update_fields, using=using) for one in created]
        _tell(self.model, [change for change in changes if change is not None])
        return created


def _create_ignoring(queryset: Any, objs: list[Model], given: dict[str, Any], *, using: str) -> list[Model]:
    """
    ``bulk_create(ignore_conflicts=True)``, of which nobody says which rows it wrote.

    Refused where a host tracks the model. For hooks and packs, whose models hosts write as they always did, the new rows are
    told by a unique key that was not there before.
    """
    model = queryset.model
    if has_triggers(model) and get_connection(using).vendor == "postgresql":
        return _bulk_create(queryset, objs, **given)
    if any(watch.kind == "track" for watch in active_watches_of(model)):
        raise UntrackedError(
            f"bulk_create: got ignore_conflicts=True for {model._meta.label}, which is tracked: which rows were written"
            " cannot be known; wanted update_conflicts, get_or_create(), triggers, or tracking.suspended(reason) around it"
        )
    names = _natural_key(model)
    if names is None:
        logger.warning(
            "auditkit: new rows of %s are not recorded: nothing tells them from those ignored", model._meta.label
        )
        return _bulk_create(queryset, objs, **given)
    with transaction.atomic(using=using, savepoint=False):
        before = _standing(model, objs, names, using=using)
        with inner(), told_here(using, model):
            created = _bulk_create(queryset, objs, **given)
        rows = _standing(model, objs, names, using=using)
        new = [_created(row, using=using) for key, row in rows.items() if key not in before]
        _tell(model, new)
        return created


def _natural_key(model: type[Model]) -> list[str] | None:
    """Names of fields that together tell the rows apart and are not made by the database; None where there are none."""
    meta = model._meta
    single = [[one.attname] for one in meta.concrete_fields if one.unique and not isinstance(one, AutoField)]
    total = [list(one.fields) for one in meta.total_unique_constraints]
    several = [*single, *total, *(list(names) for names in meta.unique_together)]
    return several[0] if several else None


@functools.wraps(_bulk_update)
def _audited_bulk_update(self: Any, objs: Iterable[Model], fields: Iterable[str], batch_size: int | None = None) -> int:
    fields = list(fields)
    touched = _touched(self.model, fields)
    if not touched:
        return _bulk_update(self, objs, fields, batch_size)
    objs, using = list(objs), _for_write(self)
    with transaction.atomic(using=using, savepoint=False):
        # Refused by Django itself: objects without a key.
        keys = [one.pk for one in objs if one.pk is not None]
        rows = {one.pk: one for some in _chunks(keys) for one in _read_through(self, some, touched, using=using)}
        with inner(), told_here(using, self.model):
            count = _bulk_update(self, objs, fields, batch_size)
        changes, key = [], self.model._meta.pk
        for one in objs:
            if one.pk is not None and (row := rows.get(key.to_python(one.pk))) is not None:
                new = current(one, touched, using=using)
                state.advance(one, new, using=using)
                changes.append(row_change("updated", row, read(row, touched), new, operation="QuerySet.bulk_update"))
        _tell(self.model, [change for change in changes if change is not None])
        return count


@functools.wraps(_raw_delete)
def _audited_raw_delete(self: Any, using: str) -> int:
    if not any(watch.narrow is None for watch in active_watches_of(self.model)):
        return _raw_delete(self, using)
    names = names_of(self.model)
    with transaction.atomic(using=using, savepoint=False):
        count = 0
        for rows in _locked_chunks(self, names, using=using):
            _tell(self.model, [_deletion(row, names) for row in rows])
            with told_here(using, self.model):
                # By their keys: rows that somebody adds meanwhile are not ours to delete unread.
                count += _raw_delete(_by_key(self.model, [row.pk for row in rows]), using)
        return count


def _deletion(row: Model, names: Sequence[str]) -> RowChange:
    # Just read and held by nobody else: its values need no copy.
    loaded = row.__dict__
    old = {name: loaded[name] for name in names if name in loaded}
    return RowChange(kind="deleted", instance=row, pk=row.pk, old=old, new={}, operation="QuerySet.delete")


def _touched(model: type[Model], names: Iterable[str]) -> tuple[str, ...]:
    """Attribute names of the watched fields among ``names``; empty where nobody watches or nobody would be told."""
    if not written_watches_of(model):
        return ()
    fields = {one.name: one.attname for one in fields_of(model).values()}
    attnames = set(fields.values())
    found = (name if name in attnames else fields.get(name) for name in names)
    return tuple(name for name in found if name is not None)


def _for_write(queryset: Any) -> str:
    queryset._for_write = True
    return str(queryset.db)


def _locked_keys(queryset: Any, *, using: str) -> list[Any]:
    """Keys of the rows that ``queryset`` stands for, which nobody else changes before we are done."""
    return list(_lockable(queryset, using=using).select_for_update().values_list("pk", flat=True))


def _locked_rows(queryset: Any, fields: Sequence[str], *, using: str) -> list[Any]:
    """The rows themselves, likewise, with ``fields`` at least."""
    if reading.are_shells(queryset.model):
        return reading.locked(_lockable(queryset, using=using), fields, using=using)
    keys = _locked_keys(queryset, using=using)
    return [row for some in _chunks(keys) for row in reading.locked(_by_key(queryset.model, some), fields, using=using)]


def _locked_chunks(queryset: Any, fields: Sequence[str], *, using: str) -> Iterator[list[Any]]:
    """Likewise, chunk by chunk; which rows they are is settled before the first is changed."""
    if reading.are_shells(queryset.model):
        # Nearly always they are few: then one query has them.
        rows = reading.locked(_lockable(queryset, using=using), fields, using=using, limit=reading.CHUNK + 1)
        if len(rows) <= reading.CHUNK:
            if rows:
                yield rows
            return
    for keys in _chunks(_locked_keys(queryset, using=using)):
        yield reading.locked(_by_key(queryset.model, keys), fields, using=using)


def _lockable(queryset: Any, *, using: str) -> QuerySet[Any]:
    """
    The same rows as a query that may take a lock, of one table and with no instructions how to load them; in the order of
    their keys, so that two such queries do not wait for each other.
    """
    model = queryset.model
    clone = queryset._chain().order_by()
    clone.query.select_for_update = False
    query = clone.query
    is_plain = not (query.distinct or query.annotations or query.extra) and query.group_by is None
    if is_plain and len(query.alias_map) <= 1:
        query.clear_deferred_loading()
        query.select_related = False
        rows: QuerySet[Any] = clone.using(using).order_by("pk")
        return rows
    # A lock is not allowed on such a query, or would take the joined rows too.
    return QuerySet(model, using=using).filter(pk__in=clone.values("pk")).order_by("pk")


def _by_key(model: Any, keys: Sequence[Any]) -> QuerySet[Any]:
    return reading.with_keys(QuerySet(model), keys)


def _read_through(queryset: Any, keys: Sequence[Any], fields: Sequence[str], *, using: str) -> list[Any]:
    """The rows with ``keys`` among those that ``queryset`` stands for."""
    if queryset.query.where or queryset.query.is_sliced:
        keys = list(reading.with_keys(queryset.using(using), keys).order_by().values_list("pk", flat=True))
    return reading.locked(_by_key(queryset.model, keys), fields, using=using)


def _tell_updates(
    model: type[Model], instances: Sequence[Model], given: dict[str, Any], touched: Sequence[str], *, using: str
) -> None:
    values = _plain(model, given)
    asked = [name for name in touched if name not in values]
    rows = {}
    if asked:
        found = _by_key(model, [one.pk for one in instances]).using(using)
        rows = {row.pop("pk"): row for row in found.values("pk", *asked)}
    plain = {name: value for name, value in values.items() if name in touched}
    changes = [
        row_change("updated", one, read(one, touched), plain | rows.get(one.pk, {}), operation="QuerySet.update")
        for one in instances
    ]
    _tell(model, [change for change in changes if change is not None])


def _plain(model: type[Model], given: dict[str, Any]) -> dict[str, Any]:
    """Values that are known without asking the database, by attribute name."""
    found = {}
    for name, value in given.items():
        field: Any = model._meta.get_field(name)
        if not is_expression(value):
            found[field.attname] = typed(
                getattr(value, field.target_field.attname) if isinstance(value, Model) else value, field
            )
    return found


def _standing(
    model: type[Model], objs: Sequence[Model], unique_fields: Collection[str] | None, *, using: str
) -> dict[tuple[Any, ...], Model]:
    """Rows that ``objs`` would run into, by the values of the unique fields."""
    fields = _unique(model, unique_fields)
    found: dict[tuple[Any, ...], Model] = {}
    for chunk in _chunks(objs):
        rows: QuerySet[Any] = QuerySet(model, using=using).select_for_update(of=("self",))
        # Each field by itself narrows enough for an index; the exact match is made here.
        for field in fields:
            rows = rows.filter(**{f"{field.attname}__in": {getattr(one, field.attname) for one in chunk}})
        found.update({_unique_key(row, fields): row for row in rows})
    return found


def _creation(
    one: Model,
    standing: dict[tuple[Any, ...], Model],
    unique_fields: Collection[str] | None,
    update_fields: Collection[str] | None,
    *,
    using: str,
) -> RowChange | None:
    model = type(one)
    row = standing.get(_unique_key(one, _unique(model, unique_fields))) if standing else None
    if row is None:
        return _created(one, using=using)
    touched = _touched_by_upsert(model, update_fields)
    new = current(one, touched, using=using)
    return row_change("updated", row, read(row, touched), new, operation="QuerySet.bulk_create")


def _created(one: Model, *, using: str) -> RowChange:
    new = current(one, names_of(type(one)), using=using)
    state.advance(one, new, using=using)
    return RowChange(kind="created", instance=one, pk=one.pk, old={}, new=new, operation="QuerySet.bulk_create")


def _touched_by_upsert(model: type[Model], update_fields: Collection[str] | None) -> tuple[str, ...]:
    names = set(names_of(model))
    attnames = (model._meta.get_field(name).attname for name in update_fields or ())  # type: ignore[union-attr]
    return tuple(name for name in attnames if name in names)


def _unique(model: type[Model], unique_fields: Collection[str] | None) -> list[Any]:
    meta = model._meta
    return [meta.pk if name == "pk" else meta.get_field(name) for name in unique_fields or ()]


def _unique_key(one: Model, fields: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(typed(getattr(one, field.attname), field) for field in fields)


def _tell(model: type[Model], changes: Sequence[RowChange]) -> None:
    for watch in active_watches_of(model):
        tell(changes, watch)


def _chunks(items: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, reading.CHUNK)):
        yield chunk


prepare_with(teach)
