"""
Watches: who wants to know about the rows of a model, whichever way they are written.

A watch covers a model, its proxies and its children. Whatever Django's ORM does to a row leads here: ``save()``
(:mod:`saving`), deletion and its cascades (:mod:`deleting`), ``bulk_create``, ``bulk_update`` and ``QuerySet.update``
(:mod:`bulk`). What is written past the ORM is the business of :mod:`triggers`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.core.exceptions import FieldDoesNotExist, ImproperlyConfigured
from django.db.models import Field, ManyToManyField, Model, QuerySet
from django.db.models.signals import class_prepared

from auditkit_django.hooks.tracking.rows import RelationChange, RowChange

Sink = Callable[[Sequence[RowChange]], None]


@dataclass(eq=False, kw_only=True)
class Watch:
    """
    One interest in a model. ``kind`` is whose ("track", "auth", a pack): of two watches of one kind the one on the nearer
    class counts. ``sink`` is called in the transaction of the change, with all rows of one operation at once, and so is
    ``relation_sink`` for its many-to-many relations.

    ``related`` are relations that the sink will follow; bulk operations read them along. ``needs`` are the attribute names
    that it reads of an instance besides what changed; where it is None, bulk operations give it whole instances. With
    ``narrow`` only deletions are told, and of many rows at once only those that it leaves: the others are deleted unread.
    ``has_triggers``: what is not told here the database tells.
    """

    kind: str
    model: type[Model]
    sink: Sink
    relation_sink: Callable[[Sequence[RelationChange]], None] | None = None
    names: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    related: tuple[str, ...] = ()
    needs: frozenset[str] | None = None
    narrow: Callable[[QuerySet[Any]], QuerySet[Any]] | None = None
    is_active: Callable[[], bool] = field(default=lambda: True)
    has_triggers: bool = False

    @cached_property
    def fields(self) -> dict[str, Field[Any, Any]]:
        """The watched fields by attribute name. Without ``names``: all but ``exclude`` and those set on every save."""
        found = {}
        for name in self.names if self.names is not None else ():
            one = self._field(name)
            if not one.many_to_many:
                found[one.attname] = one
        if self.names is None:
            found = {
                one.attname: one for one in self.model._meta.concrete_fields if not getattr(one, "auto_now", False)
            }
        for name in self.exclude:
            found.pop(getattr(self._field(name), "attname", name), None)
        return found

    @cached_property
    def relations(self) -> dict[str, Any]:
        """The watched many-to-many fields by name."""
        if self.names is None:
            found = {one.name: one for one in self.model._meta.many_to_many}
        else:
            found = {name: one for name in self.names if (one := self._field(name)).many_to_many}
        # django-taggit's manager is many-to-many and knows no columns of the table between.
        return {
            name: one for name, one in found.items() if name not in self.exclude and isinstance(one, ManyToManyField)
        }

    def _field(self, name: str) -> Any:
        try:
            one = self.model._meta.get_field(name)
        except FieldDoesNotExist:
            known = sorted(f.name for f in (*self.model._meta.concrete_fields, *self.model._meta.many_to_many))
            raise ImproperlyConfigured(
                f"track {self.model._meta.label}: got the field {name!r}, wanted one of {', '.join(known)}"
            ) from None
        # Since Django 6.1 a many-to-many field is not concrete; only the other side of one is made by Django.
        if one.auto_created or not (one.concrete or one.many_to_many):
            raise ImproperlyConfigured(
                f"track {self.model._meta.label}: {name!r} is the other side of a relation, wanted a field of the model"
            )
        return one


_WATCHES: dict[type[Model], list[Watch]] = {}
_found: dict[type[Model], tuple[Watch, ...]] = {}
_names: dict[type[Model], tuple[str, ...]] = {}
#: Called for each class that becomes watched: its own, its proxies and children, those defined later too.
_preparers: list[Callable[[type[Model]], None]] = []

#: Whether ``tracking.suspended()`` is at work: hooks and packs go on.
is_suspended: ContextVar[bool] = ContextVar("auditkit_tracking_suspended", default=False)
_is_inner: ContextVar[bool] = ContextVar("auditkit_tracking_inner", default=False)


def watch(new: Watch) -> Watch:
    """Start telling ``new.sink`` about the rows of ``new.model``."""
    _WATCHES.setdefault(new.model, []).append(new)
    _found.clear()
    _names.clear()
    for model in _with_subclasses(new.model):
        _prepare(model)
    return new


def unwatch(old: Watch) -> None:
    """Stop telling (tests)."""
    _WATCHES[old.model].remove(old)
    _found.clear()
    _names.clear()


def watches_of(model: type[Model]) -> tuple[Watch, ...]:
    """The watches that cover ``model``: of each kind those of the nearest class."""
    found = _found.get(model)
    if found is None:
        by_kind: dict[str, list[Watch]] = {}
        for base in model.__mro__:
            here = _WATCHES.get(base, ())
            for kind in {one.kind for one in here} - by_kind.keys():
                by_kind[kind] = [one for one in here if one.kind == kind]
        found = _found[model] = tuple(one for several in by_kind.values() for one in several)
    return found


def active_watches_of(model: type[Model]) -> tuple[Watch, ...]:
    """Those of :func:`watches_of` that want to know now; none inside of an operation that is already being told."""
    found = watches_of(model)
    if not found or _is_inner.get():
        return ()
    return tuple(one for one in found if one.is_active())


def written_watches_of(model: type[Model]) -> tuple[Watch, ...]:
    """Those of :func:`active_watches_of` that want to know of more than deletions."""
    return tuple(one for one in active_watches_of(model) if one.narrow is None)


def names_of(model: type[Model]) -> tuple[str, ...]:
    """Attribute names of all watched fields of ``model``."""
    names = _names.get(model)
    if names is None:
        names = _names[model] = tuple(dict.fromkeys(name for one in watches_of(model) for name in one.fields))
    return names


def fields_of(model: type[Model]) -> dict[str, Field[Any, Any]]:
    """All watched fields of ``model`` by attribute name."""
    return {name: one for watch in watches_of(model) for name, one in watch.fields.items()}


def has_triggers(model: type[Model]) -> bool:
    """Whether the database, where it is PostgreSQL, records changes of ``model`` that nobody else tells of."""
    return any(watch.has_triggers for watch in watches_of(model))


def all_watches() -> list[Watch]:
    """Every watch, in the order of their models' registration."""
    return [one for several in _WATCHES.values() for one in several]


def prepare_with(preparer: Callable[[type[Model]], None]) -> None:
    """Have ``preparer`` called for each class that is or becomes watched."""
    _preparers.append(preparer)
    for model in [model for base in _WATCHES for model in _with_subclasses(base)]:
        preparer(model)


@contextmanager
def inner() -> Iterator[None]:
    """Inside, the ORM works for an operation that tells of its rows itself."""
    token = _is_inner.set(True)
    try:
        yield
    finally:
        _is_inner.reset(token)


def tell(changes: Sequence[RowChange], watch: Watch) -> None:
    """Hand the watched part of ``changes`` to the sink, all at once."""
    if watch.narrow is not None and changes and changes[0].kind != "deleted":
        return
    if changes and len(watches_of(type(changes[0].instance))) > 1:
        told: Sequence[RowChange] = [one for change in changes if (one := _watched_part(change, watch)) is not None]
    else:
        told = changes
    if told:
        watch.sink(told)


def _watched_part(change: RowChange, watch: Watch) -> RowChange | None:
    old = {name: value for name, value in change.old.items() if name in watch.fields}
    new = {name: value for name, value in change.new.items() if name in watch.fields}
    if change.kind == "updated" and not new:
        return None
    return RowChange(
        kind=change.kind, instance=change.instance, pk=change.pk, old=old, new=new, operation=change.operation
    )


def _prepare(model: type[Model]) -> None:
    for preparer in _preparers:
        preparer(model)


def _with_subclasses(model: type[Model]) -> Iterator[type[Model]]:
    yield model
    for subclass in model.__subclasses__():
        yield from _with_subclasses(subclass)


def _prepare_late(sender: type[Model], **_signal: object) -> None:
    if any(base in _WATCHES for base in sender.__mro__[1:]):
        _found.clear()
        _names.clear()
        _prepare(sender)


class_prepared.connect(_prepare_late, dispatch_uid="auditkit_django.tracking")
