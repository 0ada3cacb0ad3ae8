"""Events that are queued together: ``with client.batch() as batch``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self, Unpack

from auditkit_django.client.events import EncodedEvent, EventFields, encode_event


class Batch:
    """
    Collects events, and has them taken together at the end of the block, all or none; none where the block raises.

    Each event is checked when it is added. On the way they are events like any others: each is recorded or refused for itself.
    """

    def __init__(self, put: Callable[[Sequence[EncodedEvent]], None], *, tenant: str | None) -> None:
        self._put, self._tenant = put, tenant
        self._events: list[EncodedEvent] = []

    def __len__(self) -> int:
        return len(self._events)

    def event(self, action: str, **fields: Unpack[EventFields]) -> str:
        """Add one event; its idempotency key. Arguments and errors of the client's ``event()``."""
        event = encode_event(action, fields, tenant=self._tenant)
        self._events.append(event)
        return event.key

    def commit(self) -> list[str]:
        """
        Queue everything collected, in order; the keys. The batch is empty afterwards and may be used again.

        Raises:
            QueueFullError: There is no room for all: none was taken, and the batch is as it was.
        """
        if self._events:
            self._put(self._events)
        keys = [event.key for event in self._events]
        self._events = []
        return keys

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        self._events = []
