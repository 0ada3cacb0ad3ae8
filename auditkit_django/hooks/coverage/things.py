"""
What a name can stand for: some instance of a class, a method, a model's manager; and what their attributes stand for.

Of a model relations are followed (``invoice.organization``, ``organization.invoices``), and its managers and querysets
count as instances of it: all that matters is whose rows are written.
"""

from __future__ import annotations

import ast
import inspect
import sys
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, Final, cast

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Manager, Model, QuerySet
from django.utils.functional import LazyObject, Promise

from auditkit_django.hooks.coverage.layers import dotted, each_definition, function_in, is_code


@dataclass(frozen=True, slots=True)
class Instance:
    """Some object of the class; of a model its managers and querysets count as such too."""

    cls: type


@dataclass(frozen=True, slots=True)
class Method:
    """A function found on a class: called on an ``owner``, written in ``definer``."""

    function: Any
    owner: type
    definer: type


@dataclass(frozen=True, slots=True)
class Super:
    """``super()`` in a method of ``definer``, called on an ``owner``."""

    owner: type
    definer: type


#: Known, and nothing that could be a model's row: the request, its session and data.
REQUEST: Final = Instance(type("request", (), {}))

Thing = object | None


def known(value: object) -> Thing:
    """``value``, or None for what would be woken by looking at it (a lazy object, a lazy text)."""
    kind, found = type(value), cast("Any", value)
    if issubclass(kind, (LazyObject, Promise)):
        return None
    if kind.__module__ == "celery.local":
        # A task is a proxy until it is used.
        found = found._get_current_object()
    elif kind.__module__ == "django.tasks.base":
        found = getattr(found, "func", found)
    return cast("Thing", found)


def member(thing: Thing, name: str) -> Thing:
    """What ``thing.name`` stands for."""
    if thing is None or isinstance(thing, Method):
        return None
    if isinstance(thing, ModuleType):
        return known(getattr(thing, name, None))
    if thing is REQUEST or name == "request":
        return Instance(get_user_model()) if name == "user" and apps.is_installed("django.contrib.auth") else REQUEST
    if isinstance(thing, Super):
        return _member_of_super(thing, name)
    cls = thing.cls if isinstance(thing, Instance) else thing if isinstance(thing, type) else type(thing)
    return _member_of_model(cls, name) if issubclass(cls, Model) else _member_of_class(cls, name)


def model_of(cls: object) -> type[Model] | None:
    """The model that ``cls`` is, or works for: a form's, a serializer's, a view's, an admin's, a formset's."""
    if isinstance(cls, type) and issubclass(cls, Model):
        return cls
    for holder in (getattr(cls, "_meta", None), getattr(cls, "Meta", None), cls, getattr(cls, "queryset", None)):
        model = getattr(holder, "model", None)
        if isinstance(model, type) and issubclass(model, Model):
            return model
    return None


def _member_of_super(thing: Super, name: str) -> Thing:
    bases = list(thing.owner.__mro__)
    later = bases[bases.index(thing.definer) + 1 :] if thing.definer in bases else []
    found = next((base for base in later if name in vars(base)), None)
    return Method(vars(found)[name], thing.owner, found) if found is not None else None


def _member_of_class(cls: type, name: str) -> Thing:
    definer, found = next(each_definition(cls, name), (cls, None))
    if isinstance(found, (FunctionType, staticmethod, classmethod)):
        return Method(found, cls, definer)
    getter = function_in(found.fget if isinstance(found, property) else getattr(found, "func", None))
    if getter is not None:
        return annotated(getter, "return")
    if found is None:
        declared = ((base, _annotations(base)[name]) for base in cls.__mro__ if name in _annotations(base))
        base, annotation = next(declared, (cls, None))
        return _evaluated(annotation, sys.modules.get(base.__module__))
    return found if isinstance(found, type) or is_code(known(found)) else Instance(type(found))


def _member_of_model(model: type[Model], name: str) -> Thing:
    related = _related(model, name)
    if related is not None:
        return Instance(related)
    found = next(each_definition(model, name), None)
    if found is not None and isinstance(found[1], (FunctionType, staticmethod, classmethod)):
        return Method(found[1], model, found[0])
    if found is not None and isinstance(getattr(model, name, None), Manager):
        return Instance(model)
    for cls in (type(model._default_manager), QuerySet):
        for definer, function in each_definition(cls, name):
            if callable(function) or isinstance(function, (staticmethod, classmethod)):
                return Method(function, model, definer)
    return None


def _related(model: type[Model], name: str) -> type[Model] | None:
    try:
        field: Any = model._meta.get_field(name)
    except FieldDoesNotExist:
        reverse = (one for one in model._meta.related_objects if one.get_accessor_name() == name)
        field = next(reverse, None)
    found = getattr(field, "related_model", None)
    return found if isinstance(found, type) else None


def result_of(method: Method) -> Thing:
    """What a call of ``method`` gives: as annotated; a row, where it is a manager's or a form's."""
    function = function_in(method.function)
    found = annotated(function, "return") if function is not None else None
    if found is not None:
        return found
    # What managers and querysets give is about rows of their model; save() of a form or serializer gives the row.
    is_row = issubclass(method.owner, Model) and not issubclass(method.definer, Model)
    model = model_of(method.owner) if is_row or getattr(function, "__name__", "") == "save" else None
    return Instance(model) if model is not None else None


def annotated(function: FunctionType, name: str) -> Thing:
    """What a parameter of ``function`` holds, or ("return") what the function gives, by its annotation."""
    return _evaluated(_annotations(function).get(name), function)


def _annotations(thing: Any) -> dict[str, Any]:
    try:
        return inspect.get_annotations(thing)
    except Exception:  # noqa: BLE001  (Python 3.14 evaluates them now: a name may be there for type checkers alone)
        return {}


def _evaluated(annotation: object, place: FunctionType | ModuleType | None) -> Thing:
    """An instance of the class that an annotation names, if it names one of the host's or Django's."""
    found = annotation
    if isinstance(annotation, str):
        names = place.__globals__ if isinstance(place, FunctionType) else getattr(place, "__dict__", {})
        found = _named(parsed(annotation), names)
    if not isinstance(found, type) or found.__module__ in ("builtins", "typing"):
        return None
    return REQUEST if dotted(found).startswith(("django.http.", "rest_framework.request.")) else Instance(found)


def _named(node: object, names: dict[str, Any]) -> Any:
    match node:
        case ast.Subscript(value=value, slice=inner):  # QuerySet[Invoice], list[Invoice]
            found = _named(inner, names)
            return found if isinstance(found, type) and issubclass(found, Model) else _named(value, names)
        case ast.Name(id=name):
            return names.get(name)
        case ast.Attribute(value=value, attr=attribute):
            return getattr(_named(value, names), attribute, None)
        case ast.BinOp(left=left, right=right):
            found = _named(left, names)
            return found if found is not None else _named(right, names)
    return None


def parsed(text: str) -> ast.expr | None:
    """``text``, an annotation in quotes, as an expression."""
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None
