"""The client: :class:`AuditKit`."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from types import TracebackType
from typing import IO, Any, Literal, Self, Unpack

import httpx

from auditkit_django.client.batch import Batch
from auditkit_django.client.errors import ClosedError
from auditkit_django.client.events import EventFields, encode_event
from auditkit_django.client.http import FAILURES, Connection, no_answer
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

Order = Literal["desc", "asc"]
#: Exports and verifications take as long as the log is.
LONG_SECONDS = 300.0


class AuditKit:
    """
    The audit log of another process, over HTTP: the verbs of ``auditlog``.

    Key and URL default to ``AUDITKIT_API_KEY`` and ``AUDITKIT_BASE_URL``; ``tenant`` is for keys of the installation. Make
    one per process and keep it: it is safe in threads and over forks. Options: ``docs/client.md``.

    Raises:
        SettingsError: Key or URL is missing, or an option cannot be meant.
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
        self._connection = Connection(self._settings)
        self._is_closed = False

    def __repr__(self) -> str:
        return f"<AuditKit {self._settings.base_url}>"

    def event(self, action: str, **fields: Unpack[EventFields]) -> str:
        """
        Queue that something happened; the event's idempotency key, a fresh one where none is given.

        It returns at once; the event is sent in the background until the server has it. ``actor``, ``on_behalf_of``,
        ``resource`` and ``targets`` are ``"type:id"`` or dicts with type, id and name (an actor: email); the actor else is the
        API key. ``changes`` maps field to ``(old, new)``. ``occurred_at`` is an aware datetime, else now.

        Raises:
            InvalidEventError: Something given has no JSON form, or breaks a limit (a ValueError).
            QueueFullError: There is no room, and ``on_full`` is not ``"drop"``.
            ClosedError: The client was closed.
        """
        event = encode_event(action, fields, tenant=self._settings.tenant)
        self._outbox.put((event,))
        return event.key

    def batch(self) -> Batch:
        """Collects events and queues them together: ``with client.batch() as batch: batch.event(…)``."""
        return Batch(self._outbox.put, tenant=self._settings.tenant)

    def list(
        self,
        tenant: object = None,
        *,
        limit: int = 100,
        order: Order = "desc",
        cursor: str | None = None,
        **filters: Unpack[Filters],
    ) -> Page:
        """
        One page of the tenant's events, newest first, filtered; ``page.next`` is the cursor of the next one.

        Raises:
            RefusedError: The server refused (a filter, a cursor, the key).
            NoAnswerError: There is no whole answer.
        """
        asked = {"tenant": self._tenant(tenant), "limit": limit, "order": order, "cursor": cursor}
        return page_of(self._request("GET", "events", params={**parameters_of(asked), **filters_of(filters)}))

    def each(
        self, tenant: object = None, *, limit: int = 200, order: Order = "desc", **filters: Unpack[Filters]
    ) -> Iterator[dict[str, Any]]:
        """The events of all pages, one after another; ``limit`` is the size of a page. Raises like :meth:`list`."""
        cursor: str | None = None
        while True:
            page = self.list(tenant, limit=limit, order=order, cursor=cursor, **filters)
            yield from page.events
            cursor = page.next
            if cursor is None:
                return

    def export_evidence(
        self,
        tenant: object = None,
        *,
        format: Format = "csv",
        include_chain_proof: bool = True,
        file: IO[bytes] | None = None,
        timeout_seconds: float = LONG_SECONDS,
        **filters: Unpack[Filters],
    ) -> Iterator[bytes] | int:
        """
        The tenant's events as a file, in blocks of bytes; with ``file`` (binary) written there, and the number of bytes.

        ``timeout_seconds`` is that between two blocks. One that is cut off raises: what was received is then no evidence.

        Raises:
            RefusedError: The server refused.
            NoAnswerError: There is no whole answer.
        """
        params = export_parameters(
            self._tenant(tenant), format=format, include_chain_proof=include_chain_proof, filters=filters
        )
        target = None if file is None else checked_file(file)
        response = self._stream("export", params=params, timeout_seconds=timeout_seconds)
        blocks = _blocks_of(response)
        if target is None:
            return blocks
        size = 0
        for block in blocks:
            target.write(block)
            size += len(block)
        return size

    def verify(
        self,
        tenant: object = None,
        *,
        max_entries: int | None = None,
        since: str | Sequence[str] | None = None,
        timeout_seconds: float = LONG_SECONDS,
    ) -> dict[str, Any]:
        """
        The server's check of the tenant's log: its report with ``verdict`` and ``findings``. ``since`` are signed notes.

        Raises:
            RefusedError: The server refused.
            NoAnswerError: There is no whole answer.
        """
        params = parameters_of({"tenant": self._tenant(tenant)})
        body = verify_body(max_entries, since)
        return object_of(self._request("POST", "verify", params=params, json=body, timeout=timeout_seconds))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all queued before was recorded or refused; False where ``timeout`` seconds were not enough."""
        return self._outbox.flush(timeout)

    def close(self, timeout: float | None = 5.0) -> bool:
        """Flush, and take no more; whether everything was recorded or refused. What was not is said in the log."""
        is_all_sent = self._outbox.close(timeout)
        self._is_closed = True
        self._connection.close()
        return is_all_sent

    @property
    def stats(self) -> Stats:
        """What happened to the events of this process so far."""
        return self._outbox.stats

    def is_own_thread(self) -> bool:
        """Whether the caller is the thread that sends: what it logs must not become events again."""
        return self._outbox.is_own_thread()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _tenant(self, tenant: object) -> object:
        return self._settings.tenant if tenant is None else tenant

    def _client(self) -> httpx.Client:
        if self._is_closed:
            raise ClosedError("the client was closed, wanted one that is open")
        return self._connection.client

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        try:
            return self._client().request(method, path, **arguments)
        except FAILURES as exc:
            raise no_answer(exc) from exc

    def _stream(self, path: str, *, params: dict[str, str], timeout_seconds: float) -> httpx.Response:
        client = self._client()
        timeout = httpx.Timeout(timeout_seconds, connect=self._settings.connect_timeout_seconds)
        try:
            response = client.send(client.build_request("GET", path, params=params, timeout=timeout), stream=True)
            if response.status_code != 200:
                response.read()
                raise_for(response)
            return response
        except FAILURES as exc:
            raise no_answer(exc) from exc


def _blocks_of(response: httpx.Response) -> Generator[bytes]:
    try:
        yield from response.iter_bytes()
    except FAILURES as exc:
        raise no_answer(exc) from exc
    finally:
        response.close()
