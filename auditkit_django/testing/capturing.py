"""The events recorded in a block, as ``auditlog.list()`` gives them, of all tenants and in the order of recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Any, Self, overload
from uuid import UUID

from asgiref.sync import sync_to_async
from django.db import router

from auditkit_django.models import Event
from auditkit_django.query.pages import ListedEvent, listed
from auditkit_django.signals import event_recorded


class Capture(Sequence[ListedEvent]):
    """
    A sequence of the events recorded while it is open, in any thread (a live server's too).

    What was rolled back is not among them. They are read from the database when they are looked at: while it is open
    each time, afterwards once. Recording costs no query more, so ``assertNumQueries`` may stand inside or outside.
    """

    def __init__(self) -> None:
        self._tenants: dict[UUID, str] = {}
        self._kept: list[ListedEvent] | None = None
        self._is_open = False

    @property
    def actions(self) -> list[str]:
        """The names of the actions."""
        return [event.action for event in self._events()]

    def of(self, action: str) -> list[ListedEvent]:
        """The events with this action; ``"member.*"`` for all that begin so."""
        prefix = action.removesuffix("*")
        is_pattern = action.endswith(".*")
        return [one for one in self._events() if one.action == action or (is_pattern and one.action.startswith(prefix))]

    def clear(self) -> None:
        """Forget what was recorded so far."""
        self._tenants.clear()
        self._kept = None

    def _note(self, *, id: UUID, tenant: str, **_signal: object) -> None:
        self._tenants.setdefault(id, tenant)

    def _events(self) -> list[ListedEvent]:
        if self._kept is None:
            found = self._read()
            if self._is_open:
                return found
            self._kept = found
        return self._kept

    def _read(self) -> list[ListedEvent]:
        by_tenant: dict[str, list[UUID]] = {}
        for event_id, tenant in self._tenants.items():
            by_tenant.setdefault(tenant, []).append(event_id)
        stored = Event.objects.using(router.db_for_write(Event))
        found = {
            event.id: event
            for tenant, ids in by_tenant.items()
            for event in listed(tenant, list(stored.filter(tenant=tenant, id__in=ids)))
        }
        return [found[event_id] for event_id in self._tenants if event_id in found]

    def _close(self) -> None:
        self._is_open = False
        event_recorded.disconnect(self._note, sender=Event)

    def __enter__(self) -> Self:
        event_recorded.connect(self._note, sender=Event, weak=False)
        self._is_open = True
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close()
        # A coroutine may not query: what was recorded is read now, where Django's other queries are made.
        self._kept = await sync_to_async(self._read, thread_sensitive=True)()

    def __len__(self) -> int:
        return len(self._events())

    def __iter__(self) -> Iterator[ListedEvent]:
        return iter(self._events())

    @overload
    def __getitem__(self, index: int) -> ListedEvent: ...
    @overload
    def __getitem__(self, index: slice) -> list[ListedEvent]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._events()[index]

    def __repr__(self) -> str:
        # Never a query: a debugger shows it anywhere.
        kept = [event.action for event in self._kept or ()]
        return f"<Capture: {', '.join(kept) or f'{len(self._tenants)} recorded'}>"


def capture_events() -> Capture:
    """
    The events recorded in the block, as a sequence: ``with capture_events() as events: …; events[0].action``.

    In a ``TestCase`` too, and before anything commits. In a coroutine ``async with``, and look when the block is over.
    """
    return Capture()
