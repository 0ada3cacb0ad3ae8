"""
Data access: who read which sensitive record, and who took many at once.

    @audited.read(resource="kwargs.patient")
    def patient_detail(request, patient): ...

    class PatientView(AuditedReadMixin, DetailView):
        model = Patient

A read is recorded when the view has answered it (2xx, a template once it is rendered) or refused it (401, 403, or such
an exception: outcome ``denied``). Repeats are collapsed (:mod:`repeated_reads`); refusals and exports never are.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from inspect import isclass
from typing import Any, TypeVar, cast

from django.db.models import Model, QuerySet
from django.http import HttpRequest

from auditkit_django.drafts import MAX_ID, Target
from auditkit_django.hooks.answers import why, wrap
from auditkit_django.hooks.calls import Call
from auditkit_django.hooks.repeated_reads import EXPORTED, VIEWED, record_read
from auditkit_django.recording.record import record

_T = TypeVar("_T")


def read(
    resource: Any, *, tenant: Any = None, actor: Any = None, metadata: Any = None, action: str = VIEWED
) -> Callable[[_T], _T]:
    """
    Record each read of ``resource`` by the decorated view, view class, method or function, coroutines included.

    ``resource``, ``tenant``, ``actor`` and ``metadata`` are values, paths into the call ("kwargs.pk", "result.instance")
    or callables of one :class:`Call`, asked after the call. For exports pass ``action="data.exported"`` and the number
    of rows as ``metadata``; they are never collapsed.

    Raises:
        TypeError: Something other than a function or a view class is decorated.
    """
    reader = _Read(action=action, resource=resource, tenant=tenant, actor=actor, metadata=metadata)

    def decorate(decorated: Any) -> Any:
        if isclass(decorated):
            if not hasattr(decorated, "dispatch"):
                raise TypeError(
                    f"audited.read: got class {decorated.__name__}, wanted a class-based view or a function"
                )
            # Not by method_decorator, which hides the view: "self.object" is what a view class is read for.
            # The dispatch of an asynchronous view is a plain function that returns a coroutine.
            is_async = getattr(decorated, "view_is_async", False)
            view: Any = decorated
            view.dispatch = wrap(reader, view.dispatch, is_async=is_async)
            return view
        if not callable(decorated):
            raise TypeError(f"audited.read: got {type(decorated).__name__}, wanted a function or a view class")
        return wrap(reader, decorated)

    return cast("Callable[[_T], _T]", decorate)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Read:
    """The arguments of one ``@audited.read``."""

    action: str
    resource: Any
    tenant: Any
    actor: Any
    metadata: Any

    def answered(self, call: Call) -> None:
        record_read(
            action=self.action,
            resource=call.value(self.resource),
            tenant=call.value(self.tenant),
            actor=call.value(self.actor),
            metadata=call.values(self.metadata),
        )

    def refused(self, call: Call) -> None:
        resource: Any = None
        metadata: Any = None
        # Both may be said in terms of what a refused call never came to, and a refusal must stay one.
        with suppress(Exception):
            resource = call.value(self.resource)
        with suppress(Exception):
            metadata = call.values(self.metadata)
        record(
            action=self.action,
            resource=resource,
            tenant=call.value(self.tenant),
            actor=call.value(self.actor),
            metadata={**(metadata or {}), **why(call)},
            outcome="denied",
        )


class AuditedReadMixin:
    """
    Records what a class-based view shows on GET: one object (``DetailView``, ``RetrieveModelMixin``) as
    ``data.record.viewed``, many (``ListView``, ``ListModelMixin``) as ``data.exported`` with their count.

    Leftmost among the bases, so that it sees the refusals of the others. Every method here may be overridden.
    """

    #: What the view of one object is recorded as; None: not at all.
    audited_view_action: str | None = VIEWED
    #: What the view of many is recorded as; None: not at all (a list that is no export).
    audited_export_action: str | None = EXPORTED
    #: The object that ``get_object()`` gave, and the list (of one page) that the template gets.
    audited_object: object = None
    audited_list: object = None

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        """As the view does, and recorded."""
        function = cast(Any, super()).dispatch
        if request.method not in ("GET", "HEAD"):
            return function(request, *args, **kwargs)
        is_async = getattr(self, "view_is_async", False)
        return wrap(_ViewReader(self), function, is_async=is_async)(request, *args, **kwargs)

    def get_object(self, *args: Any, **kwargs: Any) -> Any:
        """The object, kept for the record."""
        self.audited_object = cast(Any, super()).get_object(*args, **kwargs)
        return self.audited_object

    def get_context_data(self, **kwargs: Any) -> Any:
        """The template's context, its list kept for the record."""
        context = cast(Any, super()).get_context_data(**kwargs)
        self.audited_list = context.get("object_list")
        return context

    def get_audited_resource(self) -> object:
        """What is said to be read: the object, else the model with the key that the URL names; of many, the model."""
        if self.audited_object is not None:
            return self.audited_object
        model = _model_of(self)
        if model is None:
            return None
        # A refusal comes before the object is known.
        names = ("lookup_url_kwarg", "lookup_field", "pk_url_kwarg", "slug_url_kwarg")
        kwargs = getattr(self, "kwargs", {})
        key = next((kwargs[name] for name in (getattr(self, name, None) for name in names) if name in kwargs), None)
        return Target(model._meta.model_name or "", None if key is None else str(key)[:MAX_ID])

    def get_audited_count(self, response: Any) -> int | None:
        """How many objects ``response`` shows; None where it shows no list, and nothing is recorded."""
        shown = self.audited_list if self.audited_list is not None else getattr(self, "object_list", None)
        if shown is None:
            data = getattr(response, "data", None)
            shown = data.get("results") if isinstance(data, dict) else data
        if isinstance(shown, QuerySet):
            return shown.count()
        return len(shown) if isinstance(shown, (list, tuple)) else None

    def get_audited_metadata(self, response: Any) -> dict[str, Any]:
        """Metadata besides ``count``: of exports the ``format``, from the content type."""
        kind = response.headers.get("Content-Type", "").partition(";")[0].rpartition("/")[2]
        return {} if self.audited_object is not None or not kind else {"format": kind}


@dataclass(frozen=True, slots=True)
class _ViewReader:
    """The reads of one instance of a view with the mixin."""

    view: AuditedReadMixin

    def answered(self, call: Call) -> None:
        view, response = self.view, call.result
        if view.audited_object is not None:
            action, count = view.audited_view_action, None
        else:
            action = view.audited_export_action
            count = view.get_audited_count(response) if action else None
            if count is None:
                return
        if action:
            metadata = view.get_audited_metadata(response)
            metadata |= {} if count is None else {"count": count}
            record_read(action=action, resource=view.get_audited_resource(), metadata=metadata)

    def refused(self, call: Call) -> None:
        resource = self.view.get_audited_resource()
        is_many = isinstance(resource, Target) and resource.id is None
        action = self.view.audited_export_action if is_many else self.view.audited_view_action
        if action:
            record(action=action, resource=resource, metadata=why(call), outcome="denied")


def _model_of(view: Any) -> type[Model] | None:
    for source in (view, getattr(view, "queryset", None), getattr(view, "object_list", None)):
        model = getattr(source, "model", None)
        if model is not None:
            return cast("type[Model]", model)
    return None
