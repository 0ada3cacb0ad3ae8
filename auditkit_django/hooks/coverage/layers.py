"""What a callable is made of: decorators outside, the function that somebody wrote inside."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any, Final

#: Packages whose code is known, and is not the host's.
LIBRARIES: Final = frozenset({"django", "rest_framework", "auditkit_django", *sys.stdlib_module_names})
_MAX_LAYERS: Final = 50


def layers(outermost: object) -> list[Any]:
    """
    ``outermost`` and all that it wraps, in order; decorators that are kept to be applied on each call too.

    ``__wrapped__``, partials, bound methods and ``sync_to_async`` are followed; a decorator without ``functools.wraps``
    is seen through by the functions that it closes over.
    """
    found: list[Any] = []
    waiting = [outermost]
    while waiting and len(found) < _MAX_LAYERS:
        layer = waiting.pop(0)
        if not any(layer is known for known in found):
            found.append(layer)
            waiting += [*_inside(layer), *_kept_decorators(layer)]
    return found


def function_in(thing: object) -> FunctionType | None:
    """The innermost function of ``thing``."""
    found = thing
    for _ in range(_MAX_LAYERS):
        inner = next(iter(_inside(found)), None)
        if inner is None or inner is found:
            break
        found = inner
    return found if isinstance(found, FunctionType) else None


def dotted(thing: Any) -> str:
    """Where a class or function is defined: "package.module.Class.method"."""
    return f"{getattr(thing, '__module__', '')}.{getattr(thing, '__qualname__', type(thing).__qualname__)}"


def closure_of(function: object) -> Mapping[str, Any]:
    """The variables that ``function`` closes over, by name."""
    if not isinstance(function, FunctionType):
        return {}
    found = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    return found


def is_code(thing: object) -> bool:
    """Whether ``thing`` is a function, or something that is called in place of one."""
    if isinstance(thing, (FunctionType, MethodType, functools.partial, staticmethod, classmethod)):
        return True
    return not isinstance(thing, type) and inspect.getattr_static(thing, "__wrapped__", None) is not None


def module_of(function: FunctionType) -> str:
    """The module that ``function`` was written in; ``functools.wraps`` does not change it."""
    return str(function.__globals__.get("__name__", ""))


def package_of(function: FunctionType) -> str:
    """The package, by its first name, that ``function`` was written in."""
    return module_of(function).partition(".")[0]


def marks_on(things: Iterable[object]) -> list[Any]:
    """The marks that ``@audited`` left on ``things``."""
    return [mark for thing in things if (mark := getattr(thing, "auditkit_audit", None))]


def each_definition(cls: type, name: str) -> Iterator[tuple[type, Any]]:
    """The classes that define ``name``, in the order of resolution, each with its own."""
    for base in cls.__mro__:
        if name in vars(base):
            yield base, vars(base)[name]


def _inside(layer: Any) -> list[Any]:
    if isinstance(layer, (MethodType, staticmethod, classmethod)):
        return [layer.__func__]
    if isinstance(layer, functools.partial):
        return [layer.func]
    if isinstance(layer, FunctionType):
        wrapped = getattr(layer, "__wrapped__", None)
        if wrapped is not None:
            return [wrapped]
        # By type(): isinstance() would wake a lazy object.
        return [value for value in closure_of(layer).values() if type(value) in (FunctionType, MethodType)]
    if isinstance(layer, type):
        return []
    # Instances that are called: sync_to_async, a task, a class with __call__. Asked without waking lazy objects.
    for place, name in ((layer, "__wrapped__"), (layer, "func"), (type(layer), "__call__")):
        inner = inspect.getattr_static(place, name, None)
        if isinstance(inner, (FunctionType, MethodType, staticmethod)):
            return [inner]
    return []


def _kept_decorators(layer: object) -> list[Any]:
    # method_decorator() keeps its decorators and applies them on each call.
    kept = closure_of(layer).get("decorators", ())
    return [one for one in (kept if isinstance(kept, (list, tuple)) else [kept]) if isinstance(one, FunctionType)]
