"""
``@audited``: a view or function that records what it did.

    @audited("project.deleted", resource="args.project")
    def delete_project(project): ...

The event is written in the transaction of the call, after it: ``success`` when it returned, ``denied`` for
``PermissionDenied`` and answers 401 and 403, ``failure`` for any other exception and answers from 400 up. Failures
and denials survive the rollback that they cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from inspect import isclass
from typing import Any, TypeVar, cast

from auditkit_django.hooks.audits import Audit, On
from auditkit_django.hooks.calls import Call
from auditkit_django.hooks.reads import read
from auditkit_django.hooks.wrapping import wrap

__all__ = ["Call", "audited"]

_T = TypeVar("_T")


class _Audited:
    """What ``@audited`` and ``@audited.read`` are."""

    #: The reading of a sensitive record; repeats within minutes collapse (docs/data-access.md).
    read = staticmethod(read)

    def __call__(
        self,
        action: str | Callable[[Call], str],
        *,
        resource: Any = None,
        tenant: Any = None,
        actor: Any = None,
        metadata: Any = None,
        changes: Any = None,
        targets: Any = None,
        on: On = "always",
        methods: Iterable[str] | None = None,
        before: Callable[[Call], object] | None = None,
        after: Callable[[Call], object] | None = None,
    ) -> Callable[[_T], _T]:
        """
        Record ``action`` for each call of the decorated view class, view, method, function, coroutine or generator function.

        ``resource``, ``tenant``, ``actor``, ``metadata``, ``changes``, ``targets`` and ``action`` are values, paths into the
        call ("args.project", "result.instance", "self.object", "kwargs.pk", "request.user") or callables of one
        :class:`Call`; so are the members of a ``metadata`` dict. They are asked after the call. Tenant and actor default from
        the context. ``on="success"`` leaves failures and denials out. ``methods`` limits a view to requests of those HTTP
        methods. ``before`` and ``after`` are called with the :class:`Call`, before it and before it is recorded.

        An audited call that records the same action and outcome inside of another one is recorded once, by the inner one.

        Raises:
            TypeError: Something other than a function or a view class is decorated.
            ValueError: ``on`` or a method is none that there is.
        """
        audit = Audit(
            action=action,
            resource=resource,
            tenant=tenant,
            actor=actor,
            metadata=metadata,
            changes=changes,
            targets=targets,
            on=_checked_on(on),
            methods=_checked_methods(methods),
            before=before,
            after=after,
        )

        def decorate(decorated: _T) -> _T:
            return cast("_T", _decorated(audit, decorated))

        return decorate


audited = _Audited()


def _decorated(audit: Audit, decorated: Any) -> Any:
    if isclass(decorated):
        return _decorated_class(audit, decorated)
    if isinstance(decorated, (classmethod, staticmethod)):
        return type(decorated)(wrap(audit, decorated.__func__))
    if hasattr(decorated, "apply_async") or hasattr(decorated, "enqueue"):
        raise TypeError(f"audited: got the task {decorated!r:.60}, wanted its function: put @audited below @task")
    if not callable(decorated):
        raise TypeError(f"audited: got {type(decorated).__name__}, wanted a function or a view class")
    return wrap(audit, decorated)


def _decorated_class(audit: Audit, decorated: Any) -> Any:
    if not hasattr(decorated, "dispatch"):
        raise TypeError(f"audited: got class {decorated.__name__}, wanted a class-based view or a function")
    # The dispatch of an asynchronous view is a plain function that returns a coroutine.
    is_async = getattr(decorated, "view_is_async", False)
    # Not Django's method_decorator, which hides the view: paths such as "self.object" lead into it.
    decorated.dispatch = wrap(audit, decorated.dispatch, is_async=is_async)
    decorated.auditkit_audit = audit
    return decorated


def _checked_on(on: On) -> On:
    if on not in ("always", "success"):
        raise ValueError(f'audited: on: got {on!r}, wanted "always" or "success"')
    return on


def _checked_methods(methods: Iterable[str] | None) -> frozenset[str] | None:
    if methods is None:
        return None
    found = frozenset(methods) if not isinstance(methods, str) else frozenset({methods})
    known = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}
    if not found or found - known:
        raise ValueError(f"audited: methods: got {sorted(found)}, wanted some of {sorted(known)}")
    return found
