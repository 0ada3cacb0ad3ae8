"""The syntax trees of functions, read from their source: statements, what is assigned, what is imported."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from importlib.util import resolve_name
from textwrap import dedent
from types import CodeType, FunctionType

from auditkit_django.hooks.coverage.layers import LIBRARIES, module_of, package_of


@dataclass(frozen=True, slots=True)
class Imported:
    """A name that a function imports: ``name`` of a module, or (None) the module itself."""

    module: str
    name: str | None
    level: int = 0


def body_of(function: FunctionType | None) -> Sequence[ast.stmt]:
    """
    The statements of ``function``: of itself, not of what it wraps, and without its decorators. None where there is no
    source.
    """
    return _body(function.__code__) if function is not None else ()


@lru_cache(maxsize=4096)
def _body(code: CodeType) -> Sequence[ast.stmt]:
    try:
        [node] = ast.parse(dedent(inspect.getsource(code))).body
    except (OSError, TypeError, ValueError, SyntaxError):
        # Made by exec(), written in C, a lambda in the middle of a line, or its file is gone.
        return ()
    return node.body if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else ()


def assigned(body: Sequence[ast.stmt]) -> list[tuple[str, object]]:
    """What is assigned to which name, in the order of the lines: expressions, and :class:`Imported`."""
    nodes = (node for statement in body for node in ast.walk(statement))
    found = [one for node in nodes for one in _assigned(node)]
    return [(name, value) for _line, name, value in sorted(found, key=lambda one: one[0])]


def _assigned(node: ast.AST) -> Iterator[tuple[int, str, object]]:
    match node:
        case ast.Assign(targets=[ast.Name(id=name)], value=value, lineno=line):
            yield line, name, value
        case ast.NamedExpr(target=ast.Name(id=name), value=value, lineno=line):
            yield line, name, value
        case ast.AnnAssign(target=ast.Name(id=name), annotation=annotation, lineno=line):
            # As if the class were called: an instance of it.
            yield line, name, ast.Call(func=annotation, args=[], keywords=[])
        case ast.For(target=ast.Name(id=name), iter=value) | ast.AsyncFor(target=ast.Name(id=name), iter=value):
            yield value.lineno, name, value
        case ast.withitem(optional_vars=ast.Name(id=name), context_expr=value):
            yield value.lineno, name, value
        case ast.Import(names=names, lineno=line):
            for one in names:
                top = one.name.partition(".")[0]
                yield line, one.asname or top, Imported(one.name if one.asname else top, None)
        case ast.ImportFrom(module=module, names=names, level=level, lineno=line):
            for one in names:
                yield line, one.asname or one.name, Imported(module or "", one.name, level)


def imported_by(function: FunctionType, module: str, name: str | None) -> object:
    """
    What ``function`` imports: a module, or ``name`` of one. None where that is not loaded, unless it is of the
    function's own project: then it is loaded now, as the function would.
    """
    own = package_of(function)
    try:
        absolute = resolve_name(
            module, function.__globals__.get("__package__") or module_of(function).rpartition(".")[0]
        )
    except ImportError:
        return None
    found = _module(absolute, own)
    if name is None or found is None:
        return found
    return getattr(found, name, None) or _module(f"{absolute}.{name}", own)


def _module(name: str, own: str) -> object:
    if name not in sys.modules and name.partition(".")[0] == own and own not in LIBRARIES:
        try:
            import_module(name)
        except Exception:  # noqa: BLE001  (whatever the host's module does: what cannot be loaded is not known)
            return None
    return sys.modules.get(name)
