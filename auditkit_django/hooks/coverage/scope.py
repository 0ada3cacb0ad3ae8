"""
What the names in a function stand for: modules, classes, functions, and variables by the class of their value.

Nothing is called. What a name stands for is read from the function's globals and closure, from annotations, and from
what is assigned to it: ``form = InvoiceForm(request.POST)`` makes ``form`` an ``InvoiceForm``.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from types import FunctionType
from typing import Any, Final

from auditkit_django.hooks.coverage.layers import LIBRARIES, closure_of, function_in, is_code, package_of
from auditkit_django.hooks.coverage.source import Imported, assigned, body_of, imported_by
from auditkit_django.hooks.coverage.things import (
    REQUEST,
    Instance,
    Method,
    Super,
    Thing,
    annotated,
    known,
    member,
    parsed,
    result_of,
)

#: Functions that give what their first argument is or holds.
_GIVING_THEIR_FIRST: Final = frozenset(
    {"get_object_or_404", "aget_object_or_404", "get_list_or_404", "aget_list_or_404", "list", "tuple", "set", "sorted"}
)


#: How far calls are followed to learn what they give.
_MAX_DEPTH: Final = 2


class Scope:
    """The names of one function; with ``owner`` and ``definer`` where it is a method."""

    def __init__(
        self, function: FunctionType, *, owner: type | None = None, definer: type | None = None, depth: int = 0
    ) -> None:
        self._depth = depth
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
                return self._locals[name] if name in self._locals else known(self._globals.get(name))
            case ast.Attribute(value=value, attr=name):
                return member(self.of(value), name)
            case ast.Call():
                return self._result_of(node)
            case ast.Await(value=value) | ast.Subscript(value=value) | ast.NamedExpr(value=value):
                return self.of(value)
            case ast.Starred(value=value):
                return self.of(value)
            case (
                ast.IfExp(body=left, orelse=right) | ast.BinOp(left=left, right=right)
            ):  # an annotation: Invoice | None
                return self._first_of([left, right])
            case ast.BoolOp(values=values):
                return self._first_of(values)
            case ast.Constant(value=str(text)):  # an annotation in quotes
                return self.of(parsed(text)) if text.isidentifier() else None
            case Imported(module=module, level=level, name=imported):
                return imported_by(self.function, "." * level + module, imported)
        return None

    def _first_of(self, nodes: list[ast.expr]) -> Thing:
        return next((found for node in nodes if (found := self.of(node)) is not None), None)

    def _result_of(self, call: ast.Call) -> Thing:
        callee = self.of(call.func)
        if callee is super and self.owner is not None and self.definer is not None:
            return Super(self.owner, self.definer)
        if call.args and _short_name(callee) in _GIVING_THEIR_FIRST:
            first = self.of(call.args[0])
            return Instance(first) if isinstance(first, type) else first
        if isinstance(callee, type):
            return Instance(callee)
        if isinstance(callee, Method):
            return result_of(callee)
        function = function_in(callee) if is_code(callee) else None
        if function is None:
            return None
        found = annotated(function, "return")
        return found if found is not None else self._returned_by(function)

    def _returned_by(self, function: FunctionType) -> Thing:
        """What a function of the same package returns, where it does not say."""
        package = package_of(function)
        if self._depth == _MAX_DEPTH or package != package_of(self.function) or package in LIBRARIES:
            return None
        scope = Scope(function, depth=self._depth + 1)
        nodes = (node for statement in scope.body for node in ast.walk(statement))
        found = (scope.of(node.value) for node in nodes if isinstance(node, ast.Return))
        return next((thing for thing in found if isinstance(thing, Instance)), None)

    def _parameters(self) -> Iterator[tuple[str, Thing]]:
        code = self.function.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        for position, name in enumerate(names):
            if name == "request":
                yield name, REQUEST
            elif position == 0 and self.owner is not None:
                yield name, Instance(self.owner)
            else:
                yield name, annotated(self.function, name)


def _short_name(thing: Thing) -> str:
    return getattr(thing, "__name__", "") if isinstance(thing, type) or is_code(thing) else ""
