"""
``@audited``: a view or function that records what it did.

    @audited("project.deleted", resource=lambda call: call.args[0])
    def delete_project(project): ...

The event is written in the transaction of the call, after it: ``success`` when it returned, ``denied`` for
``PermissionDenied`` and answers 401 and 403, ``failure`` for any other exception and answers from 400 up. Failures
and denials survive the rollback that they cause.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from inspect import isclass, iscoroutinefunction
from typing import Any, TypeVar, cast

from asgiref.sync import sync_to_async
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator

from auditkit_django.drafts import Outcome
from auditkit_django.exceptions import AuditkitError
from auditkit_django.models import Event
from auditkit_django.recording.context import context as recording_context
from auditkit_django.recording.record import record

_T = TypeVar("_T")
_Value = Any | Callable[["Call"], Any]


@dataclass(slots=True, kw_only=True)
class Call:
    """What ``resource``, ``tenant``, ``metadata``, ``changes`` and ``actor`` callables are given."""

    request: HttpRequest | None
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    result: Any = None
    exception: BaseException | None = None
    #: For the audited function to leave things in: ``call.notes["old"] = …`` by ``before``.
    notes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Audit:
    action: str
    resource: _Value
    tenant: _Value
    actor: _Value
    metadata: _Value
    changes: _Value

    def record(self, call: Call, outcome: Outcome) -> None:
        """Write the event of one call."""
        metadata = dict(_value(self.metadata, call) or {})
        if call.exception is not None:
            metadata.setdefault("reason", type(call.exception).__name__)
        elif outcome != "success" and isinstance(call.result, HttpResponseBase):
            metadata.setdefault("status", call.result.status_code)
        record(
            action=self.action,
            resource=_value(self.resource, call),
            tenant=_value(self.tenant, call),
            actor=_value(self.actor, call),
            metadata=metadata,
            changes=_value(self.changes, call) if outcome == "success" else None,
            outcome=None if outcome == "success" else outcome,
        )


def audited(
    action: str,
    *,
    resource: Any = None,
    tenant: Any = None,
    actor: Any = None,
    metadata: Any = None,
    changes: Any = None,
) -> Callable[[_T], _T]:
    """
    Record ``action`` for each call of the decorated view class, view, function or coroutine function.

    ``resource``, ``tenant``, ``actor``, ``metadata`` and ``changes`` are values, or callables of one :class:`Call`;
    tenant and actor default from the context.

    Raises:
        TypeError: Something other than a function or a view class is decorated.
    """
    audit = _Audit(action=action, resource=resource, tenant=tenant, actor=actor, metadata=metadata, changes=changes)

    def decorate(decorated: _T) -> _T:
        if isclass(decorated):
            if not hasattr(decorated, "dispatch"):
                raise TypeError(f"audited: got class {decorated.__name__}, wanted a class-based view or a function")
            # The dispatch of an asynchronous view is a plain function that returns a coroutine.
            is_async = getattr(decorated, "view_is_async", False)
            return cast("_T", method_decorator(_wrapper_of(audit, is_async=is_async), name="dispatch")(decorated))
        if not callable(decorated):
            raise TypeError(f"audited: got {type(decorated).__name__}, wanted a function or a view class")
        return cast("_T", _wrapper_of(audit)(decorated))

    return decorate


def _wrapper_of(audit: _Audit, *, is_async: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        return (_wrap_async if is_async or iscoroutinefunction(function) else _wrap_sync)(audit, function)

    return wrap


def _wrap_sync(audit: _Audit, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def audited_call(*args: Any, **kwargs: Any) -> Any:
        call = Call(request=_request_in(args), args=args, kwargs=kwargs)
        alias = router.db_for_write(Event)
        has_returned = is_undone = False
        with recording_context():
            try:
                # Change and event commit together or not at all.
                with transaction.atomic(using=alias):
                    call.result = function(*args, **kwargs)
                    has_returned, is_undone = True, transaction.get_rollback(using=alias)
                    if not is_undone:
                        audit.record(call, _outcome_of(call.result))
            except Exception as exc:
                # After the rollback: a transaction that a failed statement broke cannot even be asked for the tenant.
                if not (has_returned and isinstance(exc, AuditkitError)):
                    _record_exception(audit, call, exc)
                raise
            if is_undone and _outcome_of(call.result) != "success":
                # DRF answers an exception so: the transaction is marked, and nothing is raised.
                audit.record(call, _outcome_of(call.result))
            return call.result

    return audited_call


def _wrap_async(audit: _Audit, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def audited_call(*args: Any, **kwargs: Any) -> Any:
        # Django has no asynchronous transactions: what a coroutine changes is committed before its event is written.
        call = Call(request=_request_in(args), args=args, kwargs=kwargs)
        try:
            call.result = await function(*args, **kwargs)
        except Exception as exc:
            await sync_to_async(_record_exception, thread_sensitive=True)(audit, call, exc)
            raise
        await sync_to_async(audit.record, thread_sensitive=True)(call, _outcome_of(call.result))
        return call.result

    return audited_call


def _record_exception(audit: _Audit, call: Call, exc: BaseException) -> None:
    call.exception = exc
    audit.record(call, "denied" if isinstance(exc, PermissionDenied) or _status_of(exc) in (401, 403) else "failure")


def _outcome_of(result: Any) -> Outcome:
    if isinstance(result, HttpResponseBase):
        if result.status_code in (401, 403):
            return "denied"
        if result.status_code >= 400:
            return "failure"
    return "success"


def _status_of(exc: BaseException) -> int | None:
    # DRF's exceptions carry their status; this room does not know DRF.
    return 404 if isinstance(exc, Http404) else getattr(exc, "status_code", None)


def _request_in(args: tuple[Any, ...]) -> HttpRequest | None:
    for arg in args[:2]:
        if isinstance(arg, HttpRequest):
            return arg
        inner = getattr(arg, "_request", None)
        if isinstance(inner, HttpRequest):
            return inner
    return None


def _value(given: _Value, call: Call) -> Any:
    return given(call) if callable(given) else given
