"""
Requests watched while tests run: which of them changed data, by their method, and left no event.

Django's handler is wrapped, so that every test client and a live server are seen. A request counts if its method is
POST, PUT, PATCH or DELETE, its view answers that method, and it was answered with 2xx or 3xx; not if it was refused with
such an answer: sent to sign in, or shown the errors of its form.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from typing import Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from django.core.handlers.base import BaseHandler
from django.forms.forms import BaseForm
from django.forms.formsets import BaseFormSet
from django.forms.utils import ErrorList
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.test.signals import template_rendered

from auditkit_django.hooks.coverage.routes import Route, route_of
from auditkit_django.hooks.coverage.views import CHANGING, handlers_of
from auditkit_django.signals import event_recorded


class Endpoint(NamedTuple):
    """A route under one method."""

    method: str
    path: str
    name: str


@dataclass(slots=True)
class Tally:
    """How many requests there were, how many of them left no event, and the test of the first of those."""

    requests: int = 0
    silent: int = 0
    test: str = ""


@dataclass(slots=True)
class _Exchange:
    has_event: bool = False
    has_errors: bool = False


_exchange: ContextVar[_Exchange | None] = ContextVar("auditkit_testing_exchange", default=None)
_UID: Final = "auditkit_django.testing.observing"


class Observer:
    """Counts from ``install()`` on; ``test`` is the running one, and is told from outside; None: do not count."""

    def __init__(self) -> None:
        self.tallies: dict[Endpoint, Tally] = {}
        self.test: str | None = ""
        self._lock = Lock()
        self._originals: tuple[Any, Any] | None = None

    def install(self) -> None:
        """Wrap Django's handler."""
        self._originals = (BaseHandler.get_response, BaseHandler.get_response_async)
        get_response, get_response_async = self._originals

        def observed(handler: BaseHandler, request: HttpRequest) -> HttpResponseBase:
            with _in_exchange() as exchange:
                response: HttpResponseBase = get_response(handler, request)
            self._count(request, response, exchange)
            return response

        async def observed_async(handler: BaseHandler, request: HttpRequest) -> HttpResponseBase:
            with _in_exchange() as exchange:
                response: HttpResponseBase = await get_response_async(handler, request)
            self._count(request, response, exchange)
            return response

        BaseHandler.get_response = observed  # type: ignore[assignment,method-assign]
        BaseHandler.get_response_async = observed_async  # type: ignore[assignment,method-assign]
        event_recorded.connect(_event_recorded, dispatch_uid=_UID)
        template_rendered.connect(_template_rendered, dispatch_uid=_UID)

    def uninstall(self) -> None:
        """Give Django its handler back."""
        if self._originals is not None:
            BaseHandler.get_response, BaseHandler.get_response_async = self._originals  # type: ignore[method-assign]
            self._originals = None
            event_recorded.disconnect(dispatch_uid=_UID)
            template_rendered.disconnect(dispatch_uid=_UID)

    def add(self, tallies: Mapping[Endpoint, Tally]) -> None:
        """Take over what another process counted."""
        for endpoint, tally in tallies.items():
            own = self.tallies.setdefault(endpoint, Tally())
            own.requests += tally.requests
            own.silent += tally.silent
            own.test = own.test or tally.test

    def _count(self, request: HttpRequest, response: HttpResponseBase, exchange: _Exchange) -> None:
        route, method = route_of(request), request.method or ""
        if self.test is None or route is None or method not in CHANGING or not 200 <= response.status_code < 400:
            return
        if exchange.has_errors or _is_sent_to_sign_in(request, response) or not _is_answered(route, method):
            return
        with self._lock:
            tally = self.tallies.setdefault(Endpoint(method, route.path, route.name), Tally())
            tally.requests += 1
            if not exchange.has_event:
                tally.silent += 1
                tally.test = tally.test or self.test


@contextmanager
def _in_exchange() -> Iterator[_Exchange]:
    token = _exchange.set(exchange := _Exchange())
    try:
        yield exchange
    finally:
        _exchange.reset(token)


def _event_recorded(**_signal: object) -> None:
    exchange = _exchange.get()
    if exchange is not None:
        exchange.has_event = True


def _template_rendered(context: Any, **_signal: object) -> None:
    exchange = _exchange.get()
    if exchange is not None and not exchange.has_errors:
        values = (value for level in getattr(context, "dicts", ()) for value in level.values())
        exchange.has_errors = any(_has_errors(value) for value in values)


def _has_errors(value: object) -> bool:
    """Whether ``value`` of a template's context is a form that was refused; none is validated or woken for that."""
    kind = type(value)
    if issubclass(kind, ErrorList):  # the admin's
        return bool(value)
    if issubclass(kind, BaseForm):
        return bool(getattr(value, "_errors", None))
    if issubclass(kind, BaseFormSet):
        return any(getattr(value, "_errors", None) or ()) or bool(getattr(value, "_non_form_errors", None))
    return False


def _is_sent_to_sign_in(request: HttpRequest, response: HttpResponseBase) -> bool:
    """Whether ``response`` leads elsewhere, to come back here afterwards: what was asked for was not done."""
    if not 300 <= response.status_code < 400:
        return False
    here = {request.get_full_path(), request.build_absolute_uri()}
    query = parse_qs(urlsplit(response.headers.get("Location", "")).query)
    return any(value in here for values in query.values() for value in values)


def _is_answered(route: Route, method: str) -> bool:
    return any(handler.method == method for handler in handlers_of(route.view))
