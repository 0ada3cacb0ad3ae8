"""
What the names in a function stand for: modules, classes, functions, and variables by the class of their value.

Nothing is called. What a name stands for is read from the function's globals and closure, from annotations, and from
what is assigned to it: ``form = InvoiceForm(request.POST)`` makes ``form`` an ``InvoiceForm``.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType, ModuleType
from typing import Any, Final

from django.apps import apps
from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Manager, Model, QuerySet

from auditkit_django.hooks.coverage.layers import closure_of, dotted, each_definition, function_in
from auditkit_django.hooks.coverage.source import Imported, assigned, body_of, imported_by

#: Functions that give what their first argument is or holds.
_GIVING_THEIR_FIRST: Final = frozenset(
    {"get_object_or_404", "aget_object_or_404", "get_list_or_404", "aget_list_or_404", "list", "tuple", "set", "sorted"}
)


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


class Scope:
    """The names of one function; with ``owner`` and ``definer`` where it is a method."""

    def __init__(self, function: FunctionType, *, owner: type | None = None, definer: type | None = None) -> None:
        self.function = function
        self.owner = owner
        self.definer = definer
        self.body = body_of(function)
        self._globals: dict[str, Any] = {**vars(builtins), **function.__globals__, **closure_of(function)}
        self._locals: dict[str, Thing] = dict(self._parameters())
        for name, value in assigned(self.body):
            self._locals[name] = self.of(value)

    def of(self, node: object) -> Thing:
        """What ``node`` stands for; None where that is not known."""
        match node:
            case ast.Name(id=name):
                return self._locals[name] if name in self._locals else self._globals.get(name)
            case ast.Attribute(value=value, attr=name):
                return member(self.of(value), name)
            case ast.Call():
                return self._result_of(node)
            case ast.Await(value=value) | ast.Subscript(value=value) | ast.NamedExpr(value=value):
                return self.of(value)
            case ast.Starred(value=value):
                return self.of(value)
            case ast.IfExp(body=body, orelse=other):
                return self.of(body) or self.of(other)
            case ast.BoolOp(values=values):
                return next((found for value in values if (found := self.of(value)) is not None), None)
            case ast.BinOp(left=left, right=right):  # an annotation: Invoice | None
                return self.of(left) or self.of(right)
            case ast.Constant(value=str(text)):  # an annotation in quotes
                return self.of(_parsed(text)) if text.isidentifier() else None
            case Imported(module=module, level=level, name=imported):
                return imported_by(self.function, "." * level + module, imported)
        return None

    def _result_of(self, call: ast.Call) -> Thing:
        callee = self.of(call.func)
        if callee is super and self.owner is not None and self.definer is not None:
            return Super(self.owner, self.definer)
        if call.args and getattr(callee, "__name__", None) in _GIVING_THEIR_FIRST:
            first = self.of(call.args[0])
            return Instance(first) if isinstance(first, type) else first
        if isinstance(callee, type):
            return Instance(callee)
        if isinstance(callee, Method):
            return _result_of_method(callee)
        function = function_in(callee)
        return _annotated(function, "return") if function is not None else None

    def _parameters(self) -> Iterator[tuple[str, Thing]]:
        code = self.function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        for position, name in enumerate(names):
            if name == "request":
                yield name, REQUEST
            elif position == 0 and self.owner is not None:
                yield name, Instance(self.owner)
            else:
                yield name, _annotated(self.function, name)


def member(thing: Thing, name: str) -> Thing:
    """What ``thing.name`` stands for."""
    if thing is None or isinstance(thing, Method):
        return None
    if isinstance(thing, ModuleType):
        return getattr(thing, name, None)
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
    if found is None or isinstance(found, property):
        annotation = next((vars(base).get("__annotations__", {}).get(name) for base in cls.__mro__), None)
        return _evaluated(annotation, sys.modules.get(definer.__module__))
    return found if isinstance(found, type) or callable(found) else Instance(type(found))


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


def _result_of_method(method: Method) -> Thing:
    function = function_in(method.function)
    annotated = _annotated(function, "return") if function is not None else None
    if annotated is not None:
        return annotated
    model = model_of(method.owner)
    is_ours = dotted(function).startswith("django.") or getattr(function, "__name__", "") == "save"
    # get(), filter(), first(), create(); and save() of a form gives the row.
    return Instance(model) if model is not None and is_ours else None


def _annotated(function: FunctionType, name: str) -> Thing:
    return _evaluated(getattr(function, "__annotations__", {}).get(name), function)


def _evaluated(annotation: object, place: FunctionType | ModuleType | None) -> Thing:
    """An instance of the class that an annotation names, if it names one of the host's or Django's."""
    found = annotation
    if isinstance(annotation, str):
        names = place.__globals__ if isinstance(place, FunctionType) else getattr(place, "__dict__", {})
        found = _named(_parsed(annotation), names)
    if not isinstance(found, type) or found.__module__ == "builtins":
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


def _parsed(text: str) -> ast.expr | None:
    try:
        return ast.parse(text, mode="eval").body
    except SyntaxError:
        return None


