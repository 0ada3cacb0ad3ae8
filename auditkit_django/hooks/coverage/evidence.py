"""What records the doings of a view: decorator, hook, tracked model, or its own code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from django.db.models import Model

from auditkit_django.hooks.coverage.hooked import hook_of
from auditkit_django.hooks.coverage.layers import dotted, layers, mark_on
from auditkit_django.hooks.coverage.scope import model_of
from auditkit_django.hooks.coverage.views import Handler
from auditkit_django.hooks.tracking.watching import Watch, active_watches_of

#: The admin's views that write a row, and those that write the rows of inlines too.
_ADMIN_VIEWS: Final = frozenset({"add_view", "change_view", "delete_view", "changelist_view"})
_WITH_INLINES: Final = frozenset({"add_view", "change_view"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """
    What records, and where that was seen: ``detail`` names the action, the hook or the model.

    ``by`` is "decorator" (``@audited``), "hook" (auth or a pack), "model" (``@track``) or "code" (a call of
    ``auditlog`` that the view reaches).
    """

    by: Literal["decorator", "hook", "model", "code"]
    detail: str


def declared(handler: Handler) -> Evidence | None:
    """What is known of ``handler`` without reading its code."""
    outside = [*layers(handler.view), *layers(handler.function)]
    if handler.owner is not None and handler.instance is None:
        outside += [handler.owner, handler.owner.__dict__.get("dispatch")]
    mark = mark_on(outside)
    if mark is not None:
        return by_decorator(mark)
    places = [handler.place] if handler.instance is None else [handler.place, f"{dotted(type(handler.instance))}."]
    hook = next((hook for place in places if (hook := hook_of(place)) is not None), None)
    if hook is not None:
        return Evidence(by="hook", detail=hook)
    return _of_admin(handler)


def by_decorator(mark: object) -> Evidence:
    """``@audited``, with the action where the mark tells it."""
    return Evidence(by="decorator", detail=f"@audited {getattr(mark, 'action', '')}".rstrip())


def by_model(holder: object) -> Evidence | None:
    """The watch on the model that ``holder`` is or works for; None where nobody watches all of it."""
    model = model_of(holder)
    watch = next(watches(model), None) if model is not None else None
    if watch is None or model is None:
        return None
    if watch.kind == "track":
        return Evidence(by="model", detail=f"@track {model._meta.label}")
    return Evidence(by="hook", detail=f"{watch.kind}: {model._meta.label}")


def watches(model: type[Model]) -> Iterator[Watch]:
    """Who is told of each change of the model's rows."""
    # A narrow watch is told of some deletions only.
    return (watch for watch in active_watches_of(model) if watch.narrow is None)


def _of_admin(handler: Handler) -> Evidence | None:
    name = getattr(handler.function, "__name__", "")
    instance: Any = handler.instance
    if instance is None or name not in _ADMIN_VIEWS:
        return None
    inlines = instance.inlines if name in _WITH_INLINES else ()
    if not all(by_model(inline) for inline in inlines):
        return None
    return by_model(instance)
