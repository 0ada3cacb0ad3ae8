"""
Waffle: flags, switches and samples made, changed and removed, with old and new values, and whom a flag is on for.

The project's own models (``WAFFLE_FLAG_MODEL`` and its like) count, with the fields and relations that they add.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from auditkit_django.drafts import MAX_TARGETS, Change, Target
from auditkit_django.hooks.emitting import emit, follows_on_error, is_on
from auditkit_django.hooks.tracking import relations
from auditkit_django.hooks.tracking.rows import RelationChange, RowChange, shown, typed
from auditkit_django.hooks.tracking.watching import Watch, watch, watches_of
from auditkit_django.recording.coercion import name_of

HOOK = "waffle"

_ACTION = "config.updated"
#: Set on every save: no change of anything.
_CLOCKS = ("created", "modified")


def connect() -> None:
    """Watch the three models; the package's admin, commands and API save rows, and it sends no signals."""
    import waffle

    _watch(waffle.get_waffle_flag_model(), "flag")
    _watch(waffle.get_waffle_switch_model(), "switch")
    _watch(waffle.get_waffle_sample_model(), "sample")


def _watch(model: Any, kind: str) -> None:
    if any(one.kind == HOOK for one in watches_of(model)):
        return
    relations.connect(
        watch(
            Watch(
                kind=HOOK,
                model=model,
                sink=_rows_sink(kind),
                relation_sink=_relations_sink(kind),
                exclude=_CLOCKS,
                is_active=lambda: is_on(HOOK, _ACTION),
            )
        )
    )


def _rows_sink(kind: str) -> Callable[[Sequence[RowChange]], None]:
    @follows_on_error
    def told(changes: Sequence[RowChange]) -> None:
        for change in changes:
            target = Target(kind, str(change.pk), name_of(change.instance))
            emit(HOOK, _ACTION, resource=target, changes=_changes(change), metadata={"change": change.kind})

    return told


def _changes(change: RowChange) -> list[Change]:
    meta: Any = change.instance._meta
    names = [name for name in change.new or change.old if name != meta.pk.attname]
    found = [
        Change(name, *(shown(typed(values.get(name), meta.get_field(name))) for values in (change.old, change.new)))
        for name in names
    ]
    # Of a row made or removed, what it left empty says nothing.
    return [one for one in found if change.kind == "updated" or one.old not in (None, "") or one.new not in (None, "")]


def _relations_sink(kind: str) -> Callable[[Sequence[RelationChange]], None]:
    @follows_on_error
    def told(changes: Sequence[RelationChange]) -> None:
        for change in changes:
            emit(
                HOOK,
                _ACTION,
                resource=Target(kind, str(change.instance.pk), name_of(change.instance)),
                targets=_touched(change),
                changes=[Change(change.field, list(change.removed), list(change.added))],
                metadata={"change": "updated"},
            )

    return told


def _touched(change: RelationChange) -> list[Target]:
    """The users, groups and others who left or joined, as far as an event has room for them."""
    model: Any = change.instance._meta.get_field(change.field).related_model
    keys = (*change.removed, *change.added)[: MAX_TARGETS - 1]
    rows = model._base_manager.in_bulk(keys)
    name = model._meta.model_name
    return [Target(name, str(key), name_of(rows[key]) if key in rows else None) for key in keys]
