"""
``save()`` of watched models: what was loaded is compared with what was written, in one transaction with it.

The class learns three things: ``from_db`` and ``refresh_from_db`` keep the loaded values, ``save_base`` opens the
transaction in which Django's ``post_save`` (sent too late for that in autocommit) is heard.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import nullcontext
from typing import Any

from django.db import router, transaction
from django.db.models import NOT_PROVIDED, Model
from django.db.models.signals import post_save, pre_save
from django.db.transaction import get_connection, mark_for_rollback_on_error

from auditkit_django.hooks.tracking import state
from auditkit_django.hooks.tracking.rows import Kind, RowChange, differing, is_expression, kept, read
from auditkit_django.hooks.tracking.telling import told_here
from auditkit_django.hooks.tracking.watching import (
    active_watches_of,
    fields_of,
    names_of,
    prepare_with,
    tell,
    watches_of,
)


def teach(model: type[Model]) -> None:
    """Make saves of ``model`` known. Proxies and children are prepared by themselves, and inherit the methods."""
    if all(watch.narrow is not None for watch in watches_of(model)):
        return
    pre_save.connect(_loading, sender=model, dispatch_uid=("auditkit_django.loading", model._meta.label))
    post_save.connect(_saved, sender=model, dispatch_uid=("auditkit_django.saved", model._meta.label))
    if "_auditkit_is_taught" in {name for base in model.__mro__ for name in vars(base)}:
        return
    model._auditkit_is_taught = True  # type: ignore[attr-defined]
    _teach_loading(model)
    _teach_saving(model)


def _teach_loading(model: Any) -> None:
    from_db, refresh_from_db = model.from_db.__func__, model.refresh_from_db

    def remembering_from_db(cls: type[Model], *args: Any, **kwargs: Any) -> Model:
        instance: Model = from_db(cls, *args, **kwargs)
        state.remember(instance, names_of(cls))
        return instance

    def remembering_refresh(self: Model, *args: Any, **kwargs: Any) -> None:
        refresh_from_db(self, *args, **kwargs)
        fields = args[1] if len(args) > 1 else kwargs.get("fields")
        names = names_of(type(self))
        wanted = names if fields is None else _attnames(self, fields) & set(names)
        state.learn(self, read(self, wanted))

    model.from_db = classmethod(remembering_from_db)
    model.refresh_from_db = remembering_refresh


def _teach_saving(model: Any) -> None:
    save_base = model.save_base

    def audited_save_base(
        self: Model,
        raw: bool = False,
        force_insert: Any = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Collection[str] | None = None,
    ) -> None:
        using = using or router.db_for_write(type(self), instance=self)
        given = {"force_insert": force_insert, "force_update": force_update, "update_fields": update_fields}
        if not active_watches_of(type(self)):
            save_base(self, raw=raw, using=using, **given)
            return
        # Change and event commit together, in autocommit too.
        with nullcontext() if get_connection(using).in_atomic_block else transaction.atomic(using=using):
            _learn_missing(
                self, using=using, update_fields=update_fields, is_insert=bool(force_insert), is_forced=force_update
            )
            save_base(self, raw=raw, using=using, **given)
            if type(self)._meta.auto_created:
                # Django sends no signals for the rows of a many-to-many relation.
                _after(self, is_created=True, using=using, update_fields=update_fields)

    save_table = model._save_table

    def told_save_table(self: Model, *args: Any, **kwargs: Any) -> Any:
        # Between the signals, so that a trigger still sees what their receivers do by SQL.
        using = kwargs.get("using") or args[4]
        with told_here(using, *((type(self),) if active_watches_of(type(self)) else ())):
            return save_table(self, *args, **kwargs)

    model.save_base = audited_save_base
    model._save_table = told_save_table


def _learn_missing(
    instance: Model, *, using: str, update_fields: Collection[str] | None, is_insert: bool, is_forced: bool = False
) -> None:
    """Read old values that this process never saw: deferred fields, or a row named by its key alone."""
    state.forget_other_row(instance)
    if instance._state.adding and (is_insert or instance.pk is None or (_has_default_key(instance) and not is_forced)):
        return
    names = names_of(type(instance))
    wanted = names if update_fields is None else _attnames(instance, update_fields) & set(names)
    have = state.known(instance) or {}
    missing = [name for name in wanted if name not in have and name in instance.__dict__]
    if missing:
        rows = type(instance)._base_manager.using(using).filter(pk=instance.pk).values(*missing)
        if (row := rows.first()) is not None:
            state.learn(instance, row)


def _has_default_key(instance: Model) -> bool:
    key = instance._meta.pk
    assert key is not None
    return key.default is not NOT_PROVIDED or getattr(key, "db_default", NOT_PROVIDED) is not NOT_PROVIDED


def _loading(sender: type[Model], instance: Model, raw: bool, using: str, **_signal: Any) -> None:
    # Fixtures are saved by Model.save_base itself, past that of the class.
    if raw and active_watches_of(sender):
        _learn_missing(instance, using=using, update_fields=None, is_insert=False, is_forced=True)


def _saved(
    sender: type[Model],
    instance: Model,
    created: bool,
    using: str,
    update_fields: Collection[str] | None,
    **_signal: Any,
) -> None:
    # A change whose record was refused is not kept, even by a host that catches the refusal.
    with mark_for_rollback_on_error(using):
        _after(instance, is_created=created, using=using, update_fields=update_fields)


def _after(instance: Model, *, is_created: bool, using: str, update_fields: Collection[str] | None) -> None:
    model = type(instance)
    watches = active_watches_of(model)
    if not watches:
        return
    names: Iterable[str] = names_of(model)
    if update_fields is not None and not is_created:
        written = _attnames(instance, update_fields)
        names = [name for name in names if name in written]
    new = current(instance, names, using=using)
    old = {} if is_created else {name: value for name, value in (state.known(instance) or {}).items() if name in new}
    change = row_change("created" if is_created else "updated", instance, old, new)
    state.advance(instance, new, using=using)
    if change is not None:
        for watch in watches:
            tell([change], watch)


def row_change(
    kind: Kind, instance: Model, old: dict[str, Any], new: dict[str, Any], *, operation: str | None = None
) -> RowChange | None:
    """The change from ``old`` to ``new``, of an updated row only what differs; None where nothing does."""
    if kind == "updated":
        names = differing(old, new, fields_of(type(instance)))
        if not names:
            return None
        old = {name: value for name, value in old.items() if name in names}
        new = {name: value for name, value in new.items() if name in names}
    return RowChange(kind=kind, instance=instance, pk=instance.pk, old=old, new=new, operation=operation)


def current(instance: Model, names: Iterable[str], *, using: str) -> dict[str, Any]:
    """The values that the row now has; those that only the database knows (``F()``) are read from it."""
    loaded = instance.__dict__
    values = {name: loaded[name] for name in names if name in loaded}
    unknown = [name for name, value in values.items() if is_expression(value)]
    if unknown:
        row = type(instance)._base_manager.using(using).filter(pk=instance.pk).values(*unknown).first()
        values.update(row or dict.fromkeys(unknown))
    return {name: kept(value) for name, value in values.items()}


def _attnames(instance: Model, names: Iterable[str]) -> set[str]:
    meta = instance._meta
    return {meta.get_field(name).attname for name in names if meta.get_field(name).concrete}  # type: ignore[union-attr]


prepare_with(teach)
