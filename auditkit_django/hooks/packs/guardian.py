"""
django-guardian: permissions on single objects, given to users and groups and taken away.

The package sends no signals, so its rows are watched: those of the two generic models and of a project's own with a
foreign key to the object. The object is the event's target, and who got the permission comes second.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from django.contrib.contenttypes.models import ContentType
from django.db import IntegrityError, router, transaction
from django.db.models import Manager, QuerySet

from auditkit_django.drafts import Target
from auditkit_django.hooks.emitting import emit
from auditkit_django.hooks.packs.rows import before_and_after, load, tenants_of_row, watch_models
from auditkit_django.hooks.tracking.rows import RowChange
from auditkit_django.hooks.tracking.watching import active_watches_of
from auditkit_django.recording.coercion import name_of, target_from

HOOK = "guardian"

_ACTIONS = ("permission.granted", "permission.revoked")
_bulk_create: Any = Manager.bulk_create


def connect() -> None:
    """Watch every model of object permissions, and have grants to many at once tell which of them are new."""
    from guardian.managers import BaseObjectPermissionManager
    from guardian.models import BaseObjectPermission

    names = ("user", "group", "permission", "content_type", "object_pk", "content_object")
    watch_models(HOOK, BaseObjectPermission, _told, actions=_ACTIONS, names=names)
    manager: Any = BaseObjectPermissionManager
    manager.bulk_create = _told_bulk_create


@functools.wraps(_bulk_create)
def _told_bulk_create(
    self: Any, objs: Iterable[Any], batch_size: int | None = None, ignore_conflicts: bool = False, **given: Any
) -> list[Any]:
    """
    As Django's, but with ``ignore_conflicts`` (``assign_perm`` to many) only what is missing is written.

    Which rows a database that ignores conflicts has written, nobody can say afterwards.
    """
    if not ignore_conflicts or not active_watches_of(self.model):
        return _bulk_create(self, objs, batch_size, ignore_conflicts, **given)  # type: ignore[no-any-return]
    objs, using = list(objs), self._db or router.db_for_write(self.model)
    missing = _missing(self.using(using), objs)
    try:
        with transaction.atomic(using=using):
            _bulk_create(self, missing, batch_size, **given)
    except IntegrityError:
        # Somebody else granted some of them at the same time: what they did they tell.
        for one in missing:
            with suppress(IntegrityError), transaction.atomic(using=using):
                _bulk_create(self, [one], **given)
    return objs


def _missing(rows: QuerySet[Any], objs: Sequence[Any]) -> list[Any]:
    """Those of ``objs`` that stand for none of ``rows`` yet, each once."""
    columns = {field.attname for field in rows.model._meta.concrete_fields}
    unique = ("user_id", "group_id", "permission_id", "object_pk", "content_object_id")
    names = [name for name in unique if name in columns]
    wanted = {tuple(str(getattr(one, name)) for name in names): one for one in reversed(objs)}
    for name in names:
        # Each column by itself narrows enough for an index; the exact match is made here.
        rows = rows.filter(**{f"{name}__in": {getattr(one, name) for one in objs}})
    standing = {tuple(str(value) for value in row) for row in rows.values_list(*names)}
    return [one for key, one in reversed(wanted.items()) if key not in standing]


def _told(changes: Sequence[RowChange]) -> None:
    revoked, granted = [], []
    for change in changes:
        if change.kind == "updated":
            before, after = before_and_after(change)
            revoked.append(before)
            granted.append(after)
        else:
            (granted if change.kind == "created" else revoked).append(change.instance)
    _load_all([*revoked, *granted])
    for action, rows in (("permission.revoked", revoked), ("permission.granted", granted)):
        for row in rows:
            _emit(action, row)


def _load_all(rows: Sequence[Any]) -> None:
    load(rows, "permission", _holder_field(rows[0]))
    load((row for row in rows if _has_class(row)), "content_object")


def _emit(action: str, row: Any) -> None:
    field = _holder_field(row)
    holder = getattr(row, field)
    found = row.content_object if _has_class(row) else None
    emit(
        HOOK,
        action,
        tenants=tenants_of_row(found, user=holder if field == "user" else None),
        # Without its object a row is dangerous still: the next object with that key would inherit the permission.
        resource=target_from(found) if found is not None else Target(_content_type(row).model, row.object_pk),
        targets=[Target(field, str(holder.pk), name_of(holder))],
        metadata={"permission": _permission_name(row.permission)},
    )


def _has_class(row: Any) -> bool:
    """Whether the model of the row's object is there: a generic row may outlive it."""
    return not hasattr(row, "object_pk") or _content_type(row).model_class() is not None


def _permission_name(permission: Any) -> str:
    return f"{ContentType.objects.get_for_id(permission.content_type_id).app_label}.{permission.codename}"


def _content_type(row: Any) -> ContentType:
    return ContentType.objects.get_for_id(row.content_type_id)


def _holder_field(row: Any) -> str:
    return "user" if hasattr(row, "user_id") else "group"
