"""One call of an audited function: what it was given, what came of it, and values read from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from inspect import Signature, signature
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase

from auditkit_django.drafts import Outcome

Value = Any | Callable[["Call"], Any]

_PATH: Final = re.compile(r"(?:request|result|self|args|kwargs)(?:\.\w+)+|request|result|self")


@dataclass(slots=True, kw_only=True)
class Call:
    """What the callables given to ``@audited`` are given. ``notes`` is theirs: what ``before`` leaves, ``changes`` finds."""

    request: HttpRequest | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    function: Callable[..., Any] | None = None
    result: Any = None
    exception: BaseException | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def arguments(self) -> Mapping[str, Any]:
        """The arguments by name, defaults included."""
        if self.function is None:
            return self.kwargs
        bound = _signature(self.function).bind_partial(*self.args, **self.kwargs)
        bound.apply_defaults()
        return bound.arguments

    def value(self, given: Value) -> Any:
        """
        What ``given`` comes to: a callable of this call, a path ("args.project", "result.instance", "self.object",
        "request.user", "kwargs.pk"; a member is an attribute, a key or an index), or itself.

        Raises:
            ImproperlyConfigured: A path that leads nowhere.
        """
        if isinstance(given, str):
            return self._follow(given) if _PATH.fullmatch(given) else given
        if callable(given) and not isinstance(given, (Model, type)):
            return given(self)
        return given

    def values(self, given: Value) -> Any:
        """As :meth:`value`; of a dict each member by itself."""
        if isinstance(given, Mapping):
            return {name: self.value(member) for name, member in given.items()}
        return self.value(given)

    def _follow(self, path: str) -> Any:
        root, *steps = path.split(".")
        if root == "args" and steps:
            found = self.args[int(steps[0])] if steps[0].isdigit() else _member(self.arguments, steps[0], path)
            steps = steps[1:]
        elif root == "self":
            found = self.args[0] if self.args else None
        else:
            found = getattr(self, root)
        for step in steps:
            if found is None:
                # Nothing came of the call (it raised), or a reference is empty.
                return None
            found = _member(found, step, path)
        return found


def _member(value: Any, step: str, path: str) -> Any:
    if isinstance(value, Mapping) and step in value:
        return value[step]
    if isinstance(value, (list, tuple)) and step.isdigit() and int(step) < len(value):
        return value[int(step)]
    try:
        return getattr(value, step)
    except AttributeError:
        raise ImproperlyConfigured(
            f"audited: got the path {path!r}, but {type(value).__name__} has no {step!r}; wanted a path that leads"
            " somewhere, or a callable: lambda call: …"
        ) from None


@lru_cache(maxsize=1024)
def _signature(function: Callable[..., Any]) -> Signature:
    return signature(function)


def request_in(args: tuple[Any, ...]) -> HttpRequest | None:
    """The request among the first two arguments (functions and methods); of DRF's the one inside."""
    for arg in args[:2]:
        if isinstance(arg, HttpRequest):
            return arg
        inner = getattr(arg, "_request", None)
        if isinstance(inner, HttpRequest):
            return inner
        own = getattr(arg, "request", None)
        if isinstance(own, HttpRequest):
            return own
    return None


def outcome_of(result: Any) -> Outcome:
    """What a returned value says: 401 and 403 denied, from 400 up failure, everything else success."""
    if isinstance(result, HttpResponseBase):
        if result.status_code in (401, 403):
            return "denied"
        if result.status_code >= 400:
            return "failure"
    return "success"


def outcome_of_exception(exc: BaseException) -> Outcome:
    """Denied for ``PermissionDenied`` and what carries status 401 or 403, else failure."""
    # DRF's exceptions carry their status; this room does not know DRF.
    status = 404 if isinstance(exc, Http404) else getattr(exc, "status_code", None)
    return "denied" if isinstance(exc, PermissionDenied) or status in (401, 403) else "failure"
