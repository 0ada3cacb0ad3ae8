"""The client for async code: :class:`AsyncAuditKit`. Events take the same way, through a thread."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from functools import partial
from types import TracebackType
from typing import IO, Any, Self, Unpack

import anyio.to_thread
import httpx

from auditkit_django.client.batch import Batch
from auditkit_django.client.errors import ClosedError, QueueFullError
from auditkit_django.client.events import EventFields, encode_event
from auditkit_django.client.http import FAILURES, make_async_client, no_answer
from auditkit_django.client.outbox import Outbox, Stats
from auditkit_django.client.reading import (
    Filters,
    Format,
    Page,
    checked_file,
    export_parameters,
    filters_of,
    object_of,
    page_of,
    parameters_of,
    raise_for,
    verify_body,
)
from auditkit_django.client.settings import Options, settings_from
from auditkit_django.client.sync import LONG_SECONDS, Order


class AsyncAuditKit:
    """
    :class:`~auditkit_django.client.sync.AuditKit` for asyncio and trio: the same arguments, options and errors.

    ``async with`` closes it. Reads belong to the event loop in which the first was made.
    """

    def __init__(
        self,
        api_key: str | None = None,
        base_url: str | None = None,
        *,
        tenant: object = None,
        **options: Unpack[Options],
    ) -> None:
        self._settings = settings_from(api_key, base_url, tenant=tenant, **options)
        self._outbox = Outbox(self._settings)
        self._reader: httpx.AsyncClient | None = None
        self._pid = os.getpid()
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<AsyncAuditKit {self._settings.base_url}>"

    async def event(self, action: str, **fields: Unpack[EventFields]) -> str:
        """
        Queue that something happened; the event's idempotency key. See ``AuditKit.event``.

        It waits only for room (``on_full="block"``) or the disk (``fsync``), and then in a thread.
        """
        event = encode_event(action, fields, tenant=self._settings.tenant)
        if self._settings.fsync and self._settings.spool is not None:
            await anyio.to_thread.run_sync(self._outbox.put, (event,))
            return event.key
        try:
            self._outbox.put((event,), may_wait=False)
        except QueueFullError:
            if self._settings.on_full != "block":
                raise
            await anyio.to_thread.run_sync(self._outbox.put, (event,))
        return event.key

    def event_nowait(self, action: str, **fields: Unpack[EventFields]) -> str:
        """:meth:`event` for code that cannot await; a full queue is then never waited for, but raises."""
        event = encode_event(action, fields, tenant=self._settings.tenant)
        self._outbox.put((event,), may_wait=False)
        return event.key

    def batch(self) -> Batch:
        """Collects events and queues them together: ``with client.batch() as batch``; a full queue raises."""
        return Batch(partial(self._outbox.put, may_wait=False), tenant=self._settings.tenant)

    async def list(
        self,
        tenant: object = None,
        *,
        limit: int = 100,
        order: Order = "desc",
        cursor: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page:
        """One page of the tenant's events. See ``AuditKit.list``."""
        asked = {"tenant": self._tenant(tenant), "limit": limit, "order": order, "cursor": cursor}
        return page_of(await self._request("GET", "events", params={**parameters_of(asked), **filters_of(filters)}))

    async def each(
        self, tenant: object = None, *, limit: int = 200, order: Order = "desc", **filters: Unpack[Filters]
    ) -> AsyncIterator[dict[str, Any]]:
        """The events of all pages: ``async for event in client.each()``."""
        cursor: str | None = None
        while True:
            page = await self.list(tenant, limit=limit, order=order, cursor=cursor, **filters)
            for event in page.events:
                yield event
            cursor = page.next
            if cursor is None:
                return

    async def export_evidence(
        self,
        tenant: object = None,
        *,
        format: Format = "csv",
        include_chain_proof: bool = True,
        file: IO[bytes] | None = None,
        timeout_seconds: float = LONG_SECONDS,
        **filters: Unpack[Filters],
    ) -> AsyncIterator[bytes] | int:
        """The tenant's events as a file: an async iterator of blocks, or the bytes written to ``file``. See ``AuditKit``."""
        params = export_parameters(
            self._tenant(tenant), format=format, include_chain_proof=include_chain_proof, filters=filters
        )
        target = None if file is None else checked_file(file)
        response = await self._stream("export", params=params, timeout_seconds=timeout_seconds)
        blocks = _blocks_of(response)
        if target is None:
            return blocks
        size = 0
        async for block in blocks:
            await anyio.to_thread.run_sync(target.write, block)
            size += len(block)
        return size

    async def verify(
        self,
        tenant: object = None,
        *,
        max_entries: int | None = None,
        since: str | Sequence[str] | None = None,
        timeout_seconds: float = LONG_SECONDS,
    ) -> dict[str, Any]:
        """The server's check of the tenant's log. See ``AuditKit.verify``."""
        params = parameters_of({"tenant": self._tenant(tenant)})
        body = verify_body(max_entries, since)
        return object_of(await self._request("POST", "verify", params=params, json=body, timeout=timeout_seconds))

    async def flush(self, timeout: float | None = None) -> bool:  # noqa: ASYNC109
        """Wait until all queued before was recorded or refused; False where ``timeout`` seconds were not enough."""
        return await anyio.to_thread.run_sync(self._outbox.flush, timeout, abandon_on_cancel=True)

    async def close(self, timeout: float | None = 5.0) -> bool:  # noqa: ASYNC109
        """Flush, and take no more; whether everything was recorded or refused."""
        is_all_sent = await anyio.to_thread.run_sync(self._outbox.close, timeout)
        self._is_closed = True
        if self._reader is not None:
            await self._reader.aclose()
        return is_all_sent

    @property
    def stats(self) -> Stats:
        """What happened to the events of this process so far."""
        return self._outbox.stats

    def is_own_thread(self) -> bool:
        """Whether the caller is the thread that sends: what it logs must not become events again."""
        return self._outbox.is_own_thread()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    def _tenant(self, tenant: object) -> object:
        return self._settings.tenant if tenant is None else tenant

    def _client(self) -> httpx.AsyncClient:
        if self._is_closed:
            raise ClosedError("the client was closed, wanted one that is open")
        if self._reader is None or self._pid != os.getpid():
            self._reader, self._pid = make_async_client(self._settings), os.getpid()
        return self._reader

    async def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return await self._client().request(method, path, **arguments)
        except FAILURES as exc:
            raise no_answer(exc) from exc

    async def _stream(self, path: str, *, params: dict[str, str], timeout_seconds: float) -> httpx.Response:
        client = self._client()
        timeout = httpx.Timeout(timeout_seconds, connect=self._settings.connect_timeout_seconds)
        try:
            request = client.build_request("GET", path, params=params, timeout=timeout)
            response = await client.send(request, stream=True)
            if response.status_code != 200:
                await response.aread()
                raise_for(response)
            return response
        except FAILURES as exc:
            raise no_answer(exc) from exc


async def _blocks_of(response: httpx.Response) -> AsyncGenerator[bytes]:
    try:
        async for block in response.aiter_bytes():
            yield block
    except FAILURES as exc:
        raise no_answer(exc) from exc
    finally:
        await response.aclose()
