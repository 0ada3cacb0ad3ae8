"""One batch after another: :class:`Sender` sends, reads the answer, and settles what was delivered or refused."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from auditkit_django.client.answers import Again, Answer, Delivered, Unfit, judge
from auditkit_django.client.errors import NoAnswerError
from auditkit_django.client.pace import Pace, Seldom
from auditkit_django.client.queue import Line, Store
from auditkit_django.client.settings import Settings

logger = logging.getLogger(__name__)

#: How often a batch is sent of which the server takes some events, and says of others that it cannot just now. More would
#: hold up all that come after; where it takes none it is the server that is down.
PATIENCE: Final = 10
_UNREADABLE: Final = {"code": "unreadable", "detail": "the spool has a line that is no event: a crash cut it off"}


@dataclass(slots=True)
class Counts:
    """What happened since the start of the process; under the outbox's lock. ``settled_bytes`` only ever grows."""

    recorded: int = 0
    repeated: int = 0
    refused: int = 0
    retries: int = 0
    settled_bytes: int = 0
    trouble: str | None = None


class Sender:
    """
    Sends from ``store`` with ``post`` (which raises NoAnswerError), and counts.

    ``changed`` is the outbox's lock and condition: taken to settle, never while waiting for an answer.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        post: Callable[[list[bytes]], Answer],
        *,
        counts: Counts,
        changed: threading.Condition,
    ) -> None:
        self._settings, self._store, self._post = settings, store, post
        self._counts, self._changed = counts, changed
        self._limit = settings.batch_events
        self._pace = Pace(
            first_seconds=settings.retry_seconds,
            max_seconds=settings.max_retry_seconds,
            max_asked_seconds=settings.max_retry_after_seconds,
        )
        self._partial = 0
        self._often = Seldom()
        self._said: set[str] = set()

    def attempt(self) -> tuple[float, bool]:
        """Send the next batch; the seconds to wait before the next attempt, and whether the server asked for them."""
        lines = self._store.peek(max_events=self._limit, max_bytes=self._settings.batch_bytes)
        if not lines:
            return 0.0, False
        whole = _leading(lines)
        if not whole:
            self._settle(lines[:1], refusals={0: _UNREADABLE})
            return 0.0, False
        verdict = self._ask(whole)
        match verdict:
            case Delivered():
                self._deliver(whole, verdict)
            case Unfit() if len(whole) > 1:
                self._limit = len(whole) // 2
            case Unfit(error=error):
                self._settle(whole, refusals={0: error})
                self._grow()
            case Again():
                self._partial += verdict.is_partial
                return self._wait_for(verdict, len(whole)), verdict.after_seconds is not None
        return 0.0, False

    def _ask(self, lines: Sequence[Line]) -> Delivered | Unfit | Again:
        try:
            answer = self._post([line.data for line in lines])
        except NoAnswerError as exc:
            return Again(reason=str(exc))
        return judge(answer, len(lines), now=datetime.now(UTC), is_patient=self._partial < PATIENCE)

    def _deliver(self, lines: Sequence[Line], verdict: Delivered) -> None:
        self._settle(lines, recorded=verdict.recorded, repeated=verdict.repeated, refusals=verdict.refusals)
        self._grow()
        if self._pace.failures:
            logger.info("events are sent again, after %d attempts that failed", self._pace.failures)
        self._pace.reset()
        self._partial = 0
        self._said.clear()

    def _grow(self) -> None:
        # A server that takes less for once (a proxy that was set anew) is not sent small batches for ever.
        self._limit = min(self._settings.batch_events, self._limit * 2)

    def _settle(
        self, lines: Sequence[Line], *, refusals: Mapping[int, dict[str, Any]], recorded: int = 0, repeated: int = 0
    ) -> None:
        # First kept and told, then let go: a crash between the two does it twice, and not never.
        for index, error in refusals.items():
            self._keep(lines[index], error)
            self._tell(lines[index], error)
        with self._changed:
            self._store.settle(lines)
            counts = self._counts
            counts.recorded += recorded
            counts.repeated += repeated
            counts.refused += len(refusals)
            counts.settled_bytes += sum(line.size for line in lines)
            counts.trouble = None
            self._changed.notify_all()

    def _keep(self, line: Line, error: dict[str, Any]) -> None:
        try:
            # With the lock, so that no fork's child inherits the open file, and the lock on it.
            with self._changed:
                self._store.keep_refused(line, error)
        except OSError:
            logger.exception("a refused event cannot be kept in the spool")

    def _tell(self, line: Line, error: dict[str, Any]) -> None:
        event: dict[str, Any] = json.loads(line.data) if line.is_readable else {}
        # Not its content: that is personal, and the log is read by more people than the events are.
        logger.error(
            "event %s (%s) was refused: %s: %s",
            event.get("idempotency_key"),
            event.get("action"),
            error["code"],
            error["detail"],
        )
        if self._settings.on_refused is None or not event:
            return
        try:
            self._settings.on_refused(event, error)
        except Exception:
            logger.exception("on_refused raised")

    def _wait_for(self, again: Again, count: int) -> float:
        seconds = self._pace.after(again)
        with self._changed:
            self._counts.retries += 1
            self._counts.trouble = again.reason
        if again.is_slow:
            if again.reason not in self._said:
                self._said.add(again.reason)
                logger.error("%d events or more wait, until somebody mends this: %s", count, again.reason)
        elif self._often.is_due():
            logger.warning("%d events or more wait, and are sent again in %.1f s: %s", count, seconds, again.reason)
        return seconds


def _leading(lines: Sequence[Line]) -> list[Line]:
    """The events before the first line that is none."""
    stop = next((index for index, line in enumerate(lines) if not line.is_readable), len(lines))
    return list(lines[:stop])
