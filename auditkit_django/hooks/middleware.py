"""
The request's context, for WSGI and ASGI: put it right after ``AuthenticationMiddleware``.

Nothing is resolved here: actor, tenant and facts are read from the request when an event is recorded, so that users of
token and API-key authentication, known only inside the view, are right. The context always ends with the request.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from auditkit_django.recording.context import Context, enter, leave

_Sync = Callable[[HttpRequest], HttpResponseBase]
_Async = Callable[[HttpRequest], Awaitable[HttpResponseBase]]


class AuditkitMiddleware:
    """Sets the context of each request and settles what failed in it."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: _Sync | _Async) -> None:
        self.get_response = get_response
        self._is_async = iscoroutinefunction(get_response)
        if self._is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        if self._is_async:
            return self._acall(request)
        token = enter(Context(request=request))
        try:
            return cast("_Sync", self.get_response)(request)
        finally:
            leave(token)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        context = Context(request=request)
        token = enter(context)
        try:
            return await cast("_Async", self.get_response)(request)
        finally:
            leave(token, settle=False)
            if context.survivors:
                await sync_to_async(context.survivors.settle, thread_sensitive=True)()
