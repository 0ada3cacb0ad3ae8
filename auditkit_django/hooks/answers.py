"""How a view or function answered, told to a reader once the answer stands: what it showed, or that it refused."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol, cast

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import router
from django.db.transaction import get_connection
from django.http.response import HttpResponseBase

from auditkit_django.hooks.calls import Call, outcome_of_exception, request_in
from auditkit_django.log.writing import is_broken
from auditkit_django.models import Event
from auditkit_django.recording import context as contexts
from auditkit_django.recording.survival import Survivors


class Reader(Protocol):
    """Who records what was answered."""

    def answered(self, call: Call) -> None:
        """The view gave its answer, ``call.result``."""

    def refused(self, call: Call) -> None:
        """It answered 401 or 403, or raised ``call.exception`` to the same effect."""


def wrap(reader: Reader, function: Callable[..., Any], *, is_async: bool = False) -> Callable[..., Any]:
    """``function``, its answers told to ``reader``; ``is_async`` for a plain function that answers a coroutine."""
    return (_wrap_async if is_async or iscoroutinefunction(function) else _wrap_sync)(reader, function)


def _wrap_sync(reader: Reader, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def audited_read(*args: Any, **kwargs: Any) -> Any:
        call = Call(request=request_in(args), args=args, kwargs=kwargs, function=function)
        try:
            call.result = function(*args, **kwargs)
        except Exception as exc:
            call.exception = exc
            if outcome_of_exception(exc) == "denied":
                _refuse(reader, call)
            raise
        end = _end_of(reader, call)
        if end is not None:
            end()
        return call.result

    return audited_read


def _wrap_async(reader: Reader, function: Callable[..., Any]) -> Callable[..., Coroutine[Any, Any, Any]]:
    @functools.wraps(function)
    async def audited_read(*args: Any, **kwargs: Any) -> Any:
        call = Call(request=request_in(args), args=args, kwargs=kwargs, function=function)
        try:
            call.result = await function(*args, **kwargs)
        except Exception as exc:
            call.exception = exc
            if outcome_of_exception(exc) == "denied":
                await sync_to_async(_refuse, thread_sensitive=True)(reader, call)
            raise
        end = _end_of(reader, call)
        if end is not None:
            await sync_to_async(end, thread_sensitive=True)()
        return call.result

    return audited_read


def _end_of(reader: Reader, call: Call) -> Callable[[], None] | None:
    """What is to be recorded of the answer now."""
    response, answered = call.result, partial(reader.answered, call)
    if not isinstance(response, HttpResponseBase):
        return answered
    if response.status_code in (401, 403):
        return partial(_refuse, reader, call)
    is_shown = call.request is None or call.request.method not in ("HEAD", "OPTIONS")
    if not 200 <= response.status_code < 300 or not is_shown:
        return None
    if getattr(response, "is_rendered", True):
        return answered
    # A template that fails has shown nothing; and what it shows is often queried while it renders.
    cast(Any, response).add_post_render_callback(lambda _response: answered())
    return None


def _refuse(reader: Reader, call: Call) -> None:
    """Record a refusal; where it broke the transaction around it (DRF marks that), when that is over."""
    alias = router.db_for_write(Event)
    if not is_broken(get_connection(alias)):
        reader.refused(call)
        return
    held, waiting = contexts.current(), contexts.survivors()

    def refused_later(heir: Survivors) -> None:
        with contexts.resumed(held, survivors=heir):
            reader.refused(call)

    waiting.defer(refused_later, alias)


def why(call: Call) -> dict[str, object]:
    """Metadata of a refusal: the exception's class as ``reason``, or the answer's ``status``."""
    if call.exception is not None:
        return {"reason": type(call.exception).__name__}
    return {"status": call.result.status_code}
