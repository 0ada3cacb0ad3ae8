"""
Many-to-many relations of watched models, from both sides: ``add``, ``remove``, ``set``, ``clear``, and rows written
straight into the table between.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from django.db import connections
from django.db.models import Model
from django.db.models.signals import m2m_changed
from django.db.transaction import get_connection

from auditkit_django.hooks.tracking.deleting import is_being_deleted
from auditkit_django.hooks.tracking.rows import RelationChange, RowChange
from auditkit_django.hooks.tracking.watching import Watch, active_watches_of, watch, watches_of

#: The transaction block in which Django's relation manager works; gone when the block is, whatever happened in it.
_in_manager: ContextVar[tuple[object, ...]] = ContextVar("auditkit_relation_manager", default=())


@dataclass(frozen=True, slots=True)
class _Relation:
    watch: Watch
    field: Any

    @property
    def through(self) -> Any:
        return self.field.remote_field.through

    @property
    def source(self) -> str:
        """Attribute of the row between that holds the key of the watched side."""
        return str(self.through._meta.get_field(self.field.m2m_field_name()).attname)

    @property
    def target(self) -> str:
        return str(self.through._meta.get_field(self.field.m2m_reverse_field_name()).attname)


_RELATIONS: dict[type[Model], list[_Relation]] = {}


def connect(new: Watch) -> None:
    """Tell ``new.relation_sink`` about the watched relations."""
    if new.relation_sink is None:
        return
    for field in new.relations.values():
        if field.model is not new.model and any(one.kind == new.kind for one in watches_of(field.model)):
            # Inherited: the watch on the parent tells it.
            continue
        relation = _Relation(new, field)
        _RELATIONS.setdefault(relation.through, []).append(relation)
        m2m_changed.connect(_changed, sender=relation.through, dispatch_uid=("auditkit_django.m2m", relation.through))
        if relation.through._meta.auto_created:
            # Of a table between that is a model of its own, the host says whether it is tracked.
            watch(
                Watch(
                    kind=f"relation {field}",
                    model=relation.through,
                    sink=lambda changes, relation=relation: _rows_changed(relation, changes),  # type: ignore[misc]
                    is_active=lambda new=new: new.is_active() and not _is_in_manager(),  # type: ignore[misc]
                )
            )


def _changed(
    sender: type[Model], instance: Model, action: str, reverse: bool, pk_set: set[Any] | None, using: str, **_: Any
) -> None:
    if action.startswith("pre_"):
        _in_manager.set((*_in_manager.get(), *get_connection(using).atomic_blocks[-1:]))
    for relation in _RELATIONS.get(sender, ()):
        if relation.watch not in active_watches_of(relation.watch.model):
            continue
        if action in ("pre_clear", "pre_remove"):
            # Afterwards nobody knows which of them were there.
            _leave_note(instance, sender, _keys_before(relation, instance, pk_set, reverse=reverse, using=using))
        elif action in ("post_clear", "post_remove"):
            _tell(relation, instance, removed=_note(instance, sender), reverse=reverse, using=using)
        elif action == "post_add":
            _tell(relation, instance, added=pk_set or (), reverse=reverse, using=using)
    if action.startswith("post_"):
        _in_manager.set(_in_manager.get()[:-1])


def _tell(
    relation: _Relation,
    instance: Model,
    *,
    added: Iterable[Any] = (),
    removed: Iterable[Any] = (),
    reverse: bool,
    using: str,
) -> None:
    gone, come = tuple(sorted(removed, key=str)), tuple(sorted(added, key=str))
    if not gone and not come:
        return
    name, sink = relation.field.name, relation.watch.relation_sink
    assert sink is not None
    if not reverse:
        sink([RelationChange(instance=instance, field=name, removed=gone, added=come)])
        if not gone or not relation.field.remote_field.symmetrical:
            return
        # Django takes the mirrored rows away by the same statement; it adds them by a second one.
    # Seen from the other side: each watched row lost or won one key.
    rows = _rows(relation, gone or come, using=using)
    other = (instance.pk,)
    sink(
        [
            RelationChange(instance=row, field=name, removed=other if gone else (), added=other if come else ())
            for row in rows
        ]
    )


def _rows_changed(relation: _Relation, changes: Sequence[RowChange]) -> None:
    added: dict[Any, list[Any]] = {}
    removed: dict[Any, list[Any]] = {}
    for change in changes:
        # An updated row is one that went and one that came.
        pair = {relation.source: None, relation.target: None} | {
            name: getattr(change.instance, name) for name in (relation.source, relation.target)
        }
        before, after = pair | dict(change.old), pair | dict(change.new)
        if change.kind != "created" and not is_being_deleted(relation.watch.model, before[relation.source]):
            removed.setdefault(before[relation.source], []).append(before[relation.target])
        if change.kind != "deleted":
            added.setdefault(after[relation.source], []).append(after[relation.target])
    sink = relation.watch.relation_sink
    assert sink is not None
    rows = _rows(relation, (*added, *removed), using=None)
    told = [
        RelationChange(
            instance=row,
            field=relation.field.name,
            removed=tuple(removed.get(row.pk, ())),
            added=tuple(added.get(row.pk, ())),
        )
        for row in rows
    ]
    if told:
        sink(told)


def _rows(relation: _Relation, keys: Iterable[Any], *, using: str | None) -> list[Model]:
    found = relation.watch.model._base_manager.using(using).filter(pk__in=set(keys))
    return list(found.select_related(*relation.watch.related) if relation.watch.related else found)


def _keys_before(
    relation: _Relation, instance: Model, among: set[Any] | None, *, reverse: bool, using: str
) -> list[Any]:
    own, other = (relation.target, relation.source) if reverse else (relation.source, relation.target)
    rows = relation.through._default_manager.using(using).filter(**{own: instance.pk})
    if among is not None:
        rows = rows.filter(**{f"{other}__in": among})
    return list(rows.values_list(other, flat=True))


def _leave_note(instance: Model, through: type[Model], keys: list[Any]) -> None:
    instance.__dict__.setdefault("_auditkit_cleared", {})[through] = keys


def _note(instance: Model, through: type[Model]) -> list[Any]:
    keys: list[Any] = instance.__dict__.get("_auditkit_cleared", {}).pop(through, [])
    return keys


def _is_in_manager() -> bool:
    blocks = _in_manager.get()
    return bool(blocks) and any(
        block in connection.atomic_blocks for connection in connections.all(initialized_only=True) for block in blocks
    )
