"""
What packs share that watch the rows of a package's models: finding the models, a project's own among them, seeing a row
as it was and as it is, and whose log it belongs to.
"""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from django.apps import apps
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Model, prefetch_related_objects

from auditkit_django.drafts import ANONYMOUS, SYSTEM, SYSTEM_TENANT
from auditkit_django.hooks.emitting import follows_on_error, is_on, tenant_of_context, tenants_of, unique_keys
from auditkit_django.hooks.tracking.rows import RowChange
from auditkit_django.hooks.tracking.watching import Sink, Watch, all_watches, watch
from auditkit_django.recording import context as contexts


def watch_models(
    hook: str,
    base: type[Model],
    sink: Sink,
    *,
    actions: Collection[str],
    names: Collection[str] | None = None,
    exclude: Collection[str] = (),
) -> None:
    """
    Tell ``sink`` about the rows of every model of the project that extends ``base``, if any of ``actions`` is recorded.

    A base that is abstract has no rows, and a child table columns of its own, so each concrete model is watched by itself.
    Of ``names`` (default: all columns but ``exclude``) those count that the model has. Calling it again adds nothing.
    """
    watched = {one.model for one in all_watches() if one.kind == hook}
    for model in apps.get_models():
        if not issubclass(model, base) or model._meta.proxy or model in watched:
            continue
        columns = {field.name for field in model._meta.concrete_fields}
        watch(
            Watch(
                kind=hook,
                model=model,
                sink=follows_on_error(sink),
                names=None if names is None else [name for name in names if name in columns],
                exclude=[name for name in exclude if name in columns],
                is_active=lambda: any(is_on(hook, action) for action in actions),
            )
        )


def before_and_after(change: RowChange) -> tuple[Any, Any]:
    """The updated row as it was and as it is now: copies, whichever of the two the change's own instance is."""
    return _with(change.instance, change.old), _with(change.instance, change.new)


def load(rows: Iterable[Model], *paths: str) -> None:
    """Read the relations of ``rows`` that are not loaded yet, all rows at once."""
    rows = list(rows)
    if rows:
        prefetch_related_objects(rows, *paths)


def tenants_of_row(row: object, *, user: AbstractBaseUser | None = None) -> list[str]:
    """
    Keys of the logs that an event about ``row`` belongs to.

    The row says so itself by an attribute or method ``auditkit_tenant``; else it is the tenant in whose context it is
    written, since not everything of a user is the business of all their organizations; else those of ``user``.
    """
    own = getattr(row, "auditkit_tenant", None)
    own = own() if callable(own) else own
    if own is not None:
        return unique_keys([own])
    of_context = tenant_of_context()
    return [of_context] if of_context != SYSTEM_TENANT else tenants_of(user)


def actor_or(person: object, *, is_nobody: Collection[object] = (ANONYMOUS, SYSTEM)) -> object:
    """``person`` where the context names no actor, or one of ``is_nobody``; else None: the actor of the context."""
    context = contexts.current()
    if context is None:
        return person if SYSTEM in is_nobody else None
    return person if context.resolve_actor() in is_nobody else None


def _with(instance: Model, values: Mapping[str, Any]) -> Model:
    copied = copy.copy(instance)
    for attname, value in values.items():
        # Of a foreign key this also forgets the row that it led to.
        setattr(copied, attname, value)
    return copied
