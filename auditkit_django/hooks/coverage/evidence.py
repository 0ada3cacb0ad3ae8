"""What records the doings of a view: decorator, hook, tracked model, or its own code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from django.db.models import Model

from auditkit_django.hooks.coverage.hooked import hook_of, hook_of_admin
from auditkit_django.hooks.coverage.layers import dotted, layers, marks_on
from auditkit_django.hooks.coverage.things import model_of
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
    for mark in marks_on(outside):
        if handler.method in (getattr(mark, "methods", None) or (handler.method,)):
            return by_decorator(mark)
    if hasattr(handler.instance, "admin_site"):
        hook = hook_of_admin(dotted(type(handler.instance)))
        found = Evidence(by="hook", detail=hook) if hook is not None else of_admin(handler)
        if found is not None:
            return found
    hook = hook_of(handler.place)
    return Evidence(by="hook", detail=hook) if hook is not None else None


def by_decorator(mark: object) -> Evidence:
    """``@audited``, with the action where that is always the same."""
    action = getattr(mark, "action", None)
    return Evidence(by="decorator", detail=f"@audited {action}" if isinstance(action, str) else "@audited")


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


def of_admin(handler: Handler) -> Evidence | None:
    """Who records what a view of the admin writes: of its model, and of its inlines where it has those."""
    name = getattr(handler.function, "__name__", "")
    instance: Any = handler.instance
    if instance is None or name not in _ADMIN_VIEWS:
        return None
    inlines = instance.inlines if name in _WITH_INLINES else ()
    if not all(by_model(inline) for inline in inlines):
        return None
    return by_model(instance)
