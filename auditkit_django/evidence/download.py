"""Exports over HTTP: a response that is made while it is read, in constant memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

from auditkit_django.evidence.export import export
from auditkit_django.evidence.order import Order
from auditkit_django.recording.context import context, current


def download(request: HttpRequest, order: Order, *, name: str = "audit-log") -> StreamingHttpResponse:
    """
    The export as an attachment, under WSGI and ASGI; it is recorded first, as done by the user of the request (S11).

    Raises:
        UnknownTenantError, SealError, VerificationError, MalformedError: As :func:`export`, before the first byte.
    """
    # The context knows more than the request: an impersonator, an actor resolver.
    with context(actor=None if current() is not None else request.user):
        blocks = export(order).blocks
    content = _in_steps(blocks) if isinstance(request, ASGIRequest) else blocks
    response = StreamingHttpResponse(content, content_type=order.content_type)
    response["Content-Disposition"] = f'attachment; filename="{name}.{order.suffix}"'
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-store"
    return response


async def _in_steps(blocks: Iterator[bytes]) -> AsyncIterator[bytes]:
    # Django would gather the whole of a synchronous iterator in memory before an ASGI server gets the first block.
    while block := await sync_to_async(lambda: next(blocks, b""))():
        yield block
