"""Where events wait: the port that the outbox knows, and the queue in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class Line:
    """An event that waits: its JSON; ``size`` bytes are taken by it. Not ``is_readable``: a crash left something else."""

    data: bytes
    size: int
    is_readable: bool = True


class Store(Protocol):
    """
    Events in order. All but :meth:`peek` and :meth:`adopt` are called under the outbox's lock; those two by the one thread
    that settles.
    """

    #: Bytes that wait; 0 where nothing does.
    waiting_bytes: int

    def __len__(self) -> int:
        """Events that wait."""
        ...

    def put(self, events: Sequence[bytes]) -> int:
        """Take all of ``events``; the bytes that they take. 0 where there is no room for all: then none is taken."""
        ...

    def peek(self, *, max_events: int, max_bytes: int) -> list[Line]:
        """The next events, which stay: as many as fit, at least one where one waits."""
        ...

    def settle(self, lines: Sequence[Line]) -> None:
        """Let go of ``lines``, which are the first that wait."""
        ...

    def keep_refused(self, line: Line, error: dict[str, Any]) -> None:
        """Keep for people what the server refused, where there is a place for it."""
        ...

    def adopt(self, lock: AbstractContextManager[object]) -> int:
        """
        Take over what processes that are gone have left; how many bytes of events that is.

        Called without the outbox's ``lock``, which is taken where it is needed.
        """
        ...

    def why_full(self) -> str:
        """Why :meth:`put` just took nothing, for a message: what was got and what is wanted."""
        ...

    def whereabouts(self) -> str:
        """What becomes of events that wait when the process ends, for a message."""
        ...

    def close(self) -> None:
        """Let go of files; what waits in them stays there."""
        ...


class MemoryQueue:
    """At most ``max_events`` and ``max_bytes`` of JSON, those that are being sent included."""

    def __init__(self, *, max_events: int, max_bytes: int) -> None:
        self._max_events, self._max_bytes = max_events, max_bytes
        self._lines: deque[Line] = deque()
        self.waiting_bytes = 0

    def __len__(self) -> int:
        return len(self._lines)

    def put(self, events: Sequence[bytes]) -> int:
        size = sum(map(len, events))
        if len(self._lines) + len(events) > self._max_events or self.waiting_bytes + size > self._max_bytes:
            return 0
        self._lines.extend(Line(data, len(data)) for data in events)
        self.waiting_bytes += size
        return size

    def peek(self, *, max_events: int, max_bytes: int) -> list[Line]:
        # By index: others append meanwhile, which an iterator does not survive.
        found: list[Line] = []
        size = 0
        for index in range(min(max_events, len(self._lines))):
            line = self._lines[index]
            size += line.size
            if found and size > max_bytes:
                break
            found.append(line)
        return found

    def settle(self, lines: Sequence[Line]) -> None:
        for line in lines:
            self._lines.popleft()
            self.waiting_bytes -= line.size

    def keep_refused(self, line: Line, error: dict[str, Any]) -> None:
        """There is no place: the log and ``on_refused`` have it."""

    def adopt(self, lock: AbstractContextManager[object]) -> int:
        return 0

    def why_full(self) -> str:
        return (
            f"{len(self)} events of {self.waiting_bytes} bytes wait,"
            f" wanted at most {self._max_events} and {self._max_bytes} with it"
        )

    def whereabouts(self) -> str:
        return "they are lost (a spool would keep them)"

    def close(self) -> None:
        """There are no files."""
