"""
What a view's code reaches: is there, on some way through it, something that records?

Read are the view's functions, the methods of its class that they call (Django's own in between too), and functions of
the same project that they call, two levels deep. Found is a call of ``auditlog``, a function with ``@audited``, what a
hook records, or a row of a tracked model that is saved or deleted. An event that is a failure or a denial records no
change and does not count.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from types import FunctionType
from typing import Any, Final

from auditkit_django import actions
from auditkit_django.hooks.coverage.evidence import Evidence, by_decorator, by_model, of_admin, watches
from auditkit_django.hooks.coverage.hooked import hook_of_called
from auditkit_django.hooks.coverage.layers import dotted, each_definition, function_in, is_code, layers, marks_on
from auditkit_django.hooks.coverage.project import Project
from auditkit_django.hooks.coverage.scope import Scope
from auditkit_django.hooks.coverage.things import Instance, Method, Thing, model_of
from auditkit_django.hooks.coverage.views import Handler

MAX_LEVELS: Final = 2
_MAX_FUNCTIONS: Final = 500

_RECORDING: Final = frozenset(
    {
        "auditkit_django.auditlog.event",
        "auditkit_django.recording.record.record",
        "auditkit_django.recording.batch.Batch.event",
        "auditkit_django.hooks.emitting.emit",
    }
)
_BATCHES: Final = frozenset({"auditkit_django.auditlog.batch", "auditkit_django.recording.batch.Batch"})
_WRITING: Final = frozenset(
    {
        "save", "delete", "create", "update", "bulk_create", "bulk_update", "get_or_create", "update_or_create",
        "create_user", "create_superuser",
    }
)  # fmt: skip
_RELATING: Final = frozenset({"add", "remove", "set", "clear"})
#: What does the writing for a view.
_WORKERS: Final = ("form_class", "serializer_class")
#: Where a view says what it works on, if not in an attribute.
_CHOOSING: Final = ("get_queryset", "get_form_class", "get_serializer_class")


@dataclass(frozen=True, slots=True)
class _Step:
    function: FunctionType
    owner: type | None
    definer: type | None
    level: int


class Search:
    """One walk through the code of a handler, breadth first; ``found`` is the first thing that records."""

    def __init__(self, handler: Handler) -> None:
        self.found: Evidence | None = None
        self._weaker: Evidence | None = None
        self._handler = handler
        self._project = Project(handler.place)
        self._steps: deque[_Step] = deque()
        self._seen: set[tuple[FunctionType, type | None]] = set()
        self._begin()
        while self._steps and self.found is None and len(self._seen) < _MAX_FUNCTIONS:
            self._look_into(self._steps.popleft())
        self.found = self.found or self._weaker

    def _begin(self) -> None:
        handler = self._handler
        self._add(handler.function, handler.owner, handler.definer, level=0)
        self._add_layers(handler.view, None, None, level=0)
        for definer, dispatch in each_definition(handler.owner or object, "dispatch"):
            self._add_layers(dispatch, handler.owner, definer, level=0)

    def _add(self, thing: Any, owner: type | None, definer: type | None, *, level: int) -> None:
        """Read ``thing``, whoever wrote it, and those of its decorators that the project wrote."""
        inner = function_in(thing)
        if inner is not None:
            self._add_function(inner, None if isinstance(thing, staticmethod) else owner, definer, level=level)
        self._add_layers(thing, owner, definer, level=level)

    def _add_layers(self, thing: Any, owner: type | None, definer: type | None, *, level: int) -> None:
        for layer in layers(thing):
            if isinstance(layer, FunctionType) and self._project.has(layer):
                self._add_function(layer, owner, definer, level=level)

    def _add_function(self, function: FunctionType, owner: type | None, definer: type | None, *, level: int) -> None:
        if level <= MAX_LEVELS and (function, owner) not in self._seen:
            self._seen.add((function, owner))
            self._steps.append(_Step(function, owner, definer, level))

    def _look_into(self, step: _Step) -> None:
        scope = Scope(step.function, owner=step.owner, definer=step.definer)
        nodes = [node for statement in scope.body for node in ast.walk(statement)]
        called = {id(node.func): node for node in nodes if isinstance(node, ast.Call)}
        for node in nodes:
            if not isinstance(node, (ast.Name, ast.Attribute)):
                continue
            # A function that is handed on is as good as called: sync_to_async(invite)(…), on_commit(…).
            call, thing = called.get(id(node)), scope.of(node)
            found = self._by_call(call, scope, step) if call is not None else self._by_thing(thing, step)
            if found is not None and (found.by == "hook" or _name(thing) in _BATCHES):
                # A batch says less than what is put into it, login() less than what signing up records.
                self._weaker = self._weaker or found
            elif found is not None:
                self.found = found
                return
            self._follow(thing, step)

    def _by_call(self, call: ast.Call, scope: Scope, step: _Step) -> Evidence | None:
        callee = scope.of(call.func)
        if _name(callee) in _RECORDING:
            return None if _is_refusal(call) else _by_code(call, step)
        if isinstance(call.func, ast.Attribute):
            names = {call.func.attr, call.func.attr.removeprefix("a")}
            if names & _WRITING:
                found = self._by_row(scope.of(call.func.value), names, step)
                return found or self._by_thing(callee, step)
            if names & _RELATING:
                return _by_relation(call.func.value, scope)
        return self._by_thing(callee, step)

    def _by_thing(self, thing: Thing, step: _Step) -> Evidence | None:
        """What records if ``thing``, a function or method, is called."""
        name = _name(thing)
        if name in _RECORDING or name in _BATCHES:
            return _by_code(None, step)
        function = thing.function if isinstance(thing, Method) else thing
        if not is_code(function):
            return None
        for mark in marks_on(layers(function)):
            return by_decorator(mark)
        hook = hook_of_called(name)
        return Evidence(by="hook", detail=hook) if hook is not None else None

    def _by_row(self, thing: Thing, names: set[str], step: _Step) -> Evidence | None:
        cls = thing.cls if isinstance(thing, Instance) else thing
        if cls is not None:
            return by_model(cls) if isinstance(cls, type) else None
        if names & {"save", "delete"} and step.owner is not None and step.owner is self._handler.owner:
            return self._by_view(step)
        return None

    def _by_view(self, step: _Step) -> Evidence | None:
        """Something that has no known class is saved or deleted by a view: what the view, its form or serializer is for."""
        if hasattr(self._handler.instance, "admin_site"):
            return of_admin(self._handler)
        view: Any = self._handler.owner
        workers = [one for name in _WORKERS if isinstance(one := getattr(view, name, None), type)]
        workers += self._chosen()
        found = [by_model(holder) for holder in (*workers, view) if model_of(holder) is not None]
        if found and all(found):
            return found[0]
        for method in (method for worker in workers for method in _writing_methods(worker)):
            evidence = self._by_thing(method, step)
            if evidence is not None:
                return evidence
            self._follow(method, step)
        return None

    def _chosen(self) -> Iterator[type]:
        """The models, forms and serializers that the view chooses in a method."""
        for name in _CHOOSING:
            definer, function = next(each_definition(self._handler.owner or object, name), (None, None))
            inner = function_in(function)
            if inner is not None and self._project.has(inner):
                scope = Scope(inner, owner=self._handler.owner, definer=definer)
                things = (scope.of(node) for statement in scope.body for node in ast.walk(statement))
                yield from (thing for thing in things if isinstance(thing, type) and model_of(thing) is not None)

    def _follow(self, thing: Thing, step: _Step) -> None:
        if isinstance(thing, Method):
            inner = function_in(thing.function)
            is_own = thing.owner is self._handler.owner and step.owner is thing.owner
            if inner is not None and (is_own or self._project.has(inner)):
                self._add(thing.function, thing.owner, thing.definer, level=step.level + (not is_own))
        elif is_code(thing):
            self._add_layers(thing, None, None, level=step.level + 1)


def _writing_methods(worker: type) -> Iterator[Method]:
    for name in ("save", "create", "update"):
        yield from (Method(function, worker, definer) for definer, function in each_definition(worker, name))


def _name(thing: Thing) -> str:
    """The dotted name of a class, or of the function in a callable: ``aevent`` is ``event``. "" for everything else."""
    function = thing.function if isinstance(thing, Method) else thing
    if isinstance(function, type):
        return dotted(function)
    inner = function_in(function) if is_code(function) else None
    return dotted(inner) if inner is not None else ""


def _is_refusal(call: ast.Call) -> bool:
    """Whether the event that is recorded is a failure or denial: as said, or as its action is registered."""
    given = {keyword.arg: keyword.value for keyword in call.keywords}
    outcome = given.get("outcome")
    if isinstance(outcome, ast.Constant):
        return outcome.value not in (None, "success")
    action = actions.get(name) if (name := _action_of(call)) else None
    return action is not None and action.outcome != "success"


def _action_of(call: ast.Call) -> str:
    given = [*call.args[:1], *(keyword.value for keyword in call.keywords if keyword.arg == "action")]
    return next((node.value for node in given if isinstance(node, ast.Constant) and isinstance(node.value, str)), "")


def _by_code(call: ast.Call | None, step: _Step) -> Evidence:
    what = (_action_of(call) if call is not None else "") or "auditlog"
    return Evidence(by="code", detail=f"{what} in {dotted(step.function)}")


def _by_relation(node: ast.expr, scope: Scope) -> Evidence | None:
    """``invoice.tags.add(…)``: the relation is watched with the model that has it."""
    if not isinstance(node, ast.Attribute):
        return None
    thing = scope.of(node.value)
    model = model_of(thing.cls) if isinstance(thing, Instance) else None
    if model is None or not any(node.attr in watch.relations for watch in watches(model)):
        return None
    return by_model(model)
