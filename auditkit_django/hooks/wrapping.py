"""Wrappers that audit a call: of a function, a coroutine function, a generator, and of answers that stream."""

from __future__ import annotations

import functools
from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from inspect import isasyncgenfunction, isgeneratorfunction
from typing import Any

from asgiref.sync import iscoroutinefunction, sync_to_async
from django.db import router, transaction
from django.db.transaction import get_connection
from django.http.response import HttpResponseBase

from auditkit_django.exceptions import AuditkitError
from auditkit_django.hooks.audits import Audit, frame
from auditkit_django.hooks.calls import Call, outcome_of, request_in
from auditkit_django.log.writing import is_broken
from auditkit_django.models import Event
from auditkit_django.recording import context as contexts
from auditkit_django.recording.context import context as recording_context
from auditkit_django.recording.survival import Survivors


def wrap(audit: Audit, function: Callable[..., Any], *, is_async: bool = False) -> Callable[..., Any]:
    """``function``, audited; ``is_async`` for a plain function that answers a coroutine."""
    if isasyncgenfunction(function):
        return _marked(_wrap_async_generator(audit, function), audit)
    if isgeneratorfunction(function):
        return _marked(_wrap_generator(audit, function), audit)
    if is_async or iscoroutinefunction(function):
        return _marked(_wrap_async(audit, function), audit)
    return _marked(_wrap_sync(audit, function), audit)


def _marked(wrapper: Any, audit: Audit) -> Callable[..., Any]:
    # Coverage finds audited views by this mark.
    wrapper.auditkit_audit = audit
    return wrapper  # type: ignore[no-any-return]


def _call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
    return Call(request=request_in(args), args=args, kwargs=kwargs, function=function)


def _wrap_sync(audit: Audit, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def audited_call(*args: Any, **kwargs: Any) -> Any:
        call = _call(function, args, kwargs)
        if not audit.start(call):
            return function(*args, **kwargs)
        alias = router.db_for_write(Event)
        is_inside = _is_in_open_transaction(alias)
        has_returned = is_undone = False
        with recording_context(), frame():
            try:
                # Change and event commit together or not at all.
                with nullcontext() if is_inside else transaction.atomic(using=alias):
                    call.result = function(*args, **kwargs)
                    has_returned = True
                    is_undone = transaction.get_rollback(using=alias)
                    if not is_undone:
                        audit.end(call)
            except Exception as exc:
                if has_returned and isinstance(exc, AuditkitError):
                    if is_inside:
                        # A change whose record was refused is not kept, even by a host that catches the refusal.
                        transaction.set_rollback(True, using=alias)
                else:
                    call.exception = exc
                    _end_after_rollback(audit, call, alias)
                raise
            if is_undone and outcome_of(call.result) != "success":
                # DRF answers an exception so: the transaction is marked, and nothing is raised.
                _end_after_rollback(audit, call, alias)
            return _watched_stream(audit, call)

    return audited_call


def _end_after_rollback(audit: Audit, call: Call, alias: str) -> None:
    """Record a failure or denial; where the transaction around it is broken and takes no question, when that is over."""
    if not is_broken(get_connection(alias)):
        audit.end(call)
        return
    held, waiting = contexts.current(), contexts.survivors()

    def write_with(heir: Survivors, write: Callable[[], None]) -> None:
        with contexts.resumed(held, survivors=heir):
            write()

    audit.end(call, later=lambda write: waiting.defer(lambda heir: write_with(heir, write), alias))


def _is_in_open_transaction(alias: str) -> bool:
    """
    Whether the call belongs to a transaction that is open already. It gets no savepoint then: the decorator adds no query,
    and a host that catches an exception finds its transaction as it would be without us. The transaction that a
    ``TestCase`` holds open does not count: what a test sees is what happens in production.
    """
    blocks = get_connection(alias).atomic_blocks
    return bool(blocks) and not blocks[-1]._from_testcase


def _wrap_async(audit: Audit, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def audited_call(*args: Any, **kwargs: Any) -> Any:
        # Django has no asynchronous transactions: what a coroutine changes is committed before its event is written.
        call = _call(function, args, kwargs)
        if not audit.start(call):
            return await function(*args, **kwargs)
        with frame():
            try:
                call.result = await function(*args, **kwargs)
            except Exception as exc:
                call.exception = exc
                await sync_to_async(audit.end, thread_sensitive=True)(call)
                raise
            await sync_to_async(audit.end, thread_sensitive=True)(call)
            return _watched_stream(audit, call)

    return audited_call


def _wrap_generator(audit: Audit, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def audited_generator(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
        call = _call(function, args, kwargs)
        if not audit.start(call):
            return (yield from function(*args, **kwargs))
        with _ending(audit, call):
            call.result = yield from function(*args, **kwargs)
            return call.result

    return audited_generator


@contextmanager
def _ending(audit: Audit, call: Call) -> Iterator[None]:
    try:
        yield
    except GeneratorExit:
        # Whoever took the values stopped before the last one: they had those until then.
        audit.end(call, metadata={"interrupted": True})
        raise
    except Exception as exc:
        call.exception = exc
        audit.end(call)
        raise
    audit.end(call)


def _wrap_async_generator(audit: Audit, function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def audited_generator(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        call = _call(function, args, kwargs)
        is_audited = audit.start(call)
        end = sync_to_async(audit.end if is_audited else _nothing, thread_sensitive=True)
        try:
            async for item in function(*args, **kwargs):
                yield item
        except GeneratorExit:
            await end(call, metadata={"interrupted": True})
            raise
        except Exception as exc:
            call.exception = exc
            await end(call)
            raise
        await end(call)

    return audited_generator


def _nothing(*_args: Any, **_kwargs: Any) -> None:
    """For calls that are not audited."""


def _watched_stream(audit: Audit, call: Call) -> Any:
    """
    The result; of an answer that streams, one whose failure is recorded too.

    That it was given is recorded before the first byte leaves, so that nothing leaves unrecorded. Should it break
    afterwards, a failure follows, in the context of the request, which has ended by then.
    """
    result = call.result
    if not (isinstance(result, HttpResponseBase) and getattr(result, "streaming", False)):
        return result
    context = copy_context()

    def broken(exc: Exception) -> None:
        call.exception = exc
        context.run(audit.end, call)

    answer: Any = result
    parts = answer.streaming_content
    answer.streaming_content = _watched_async(parts, broken) if answer.is_async else _watched(parts, broken)
    return result


def _watched(parts: Any, broken: Callable[[Exception], None]) -> Iterator[Any]:
    try:
        yield from parts
    except Exception as exc:
        broken(exc)
        raise


async def _watched_async(parts: Any, broken: Callable[[Exception], None]) -> AsyncGenerator[Any, None]:
    try:
        async for part in parts:
            yield part
    except Exception as exc:
        await sync_to_async(broken, thread_sensitive=True)(exc)
        raise
