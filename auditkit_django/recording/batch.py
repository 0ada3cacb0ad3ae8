"""Many events in one statement: built when asked for, written together."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from django.db import Error, router
from django.db.transaction import get_connection

from auditkit_django.conf import settings
from auditkit_django.exceptions import MalformedError, RecordingError
from auditkit_django.log.writing import is_broken, write_events
from auditkit_django.models import Event
from auditkit_django.recording import losses
from auditkit_django.recording.context import survivors
from auditkit_django.recording.encoding import encode_row
from auditkit_django.recording.record import build_draft, follow

if TYPE_CHECKING:
    from auditkit_django.log.rows import EventRow


class Batch:
    """
    Collects events and writes them with one statement, all or none.

    ``with auditlog.batch() as batch:`` writes at the end of the block; where the block raises, only failures and
    denials are written. Without ``with``, call :meth:`commit`.
    """

    def __init__(self, *, using: str | None = None) -> None:
        self._using = using or router.db_for_write(Event)
        self._rows: list[EventRow] = []

    def __len__(self) -> int:
        return len(self._rows)

    def event(self, action: str, **fields: Any) -> UUID:
        """
        Add one event; its id. Arguments of ``auditlog.event``; checked and cleaned here, so a bad one fails alone.

        Raises:
            MalformedError: It cannot be recorded (also for an ``idempotency_key``: record such events one by one).
        """
        if fields.get("idempotency_key") is not None:
            raise MalformedError("idempotency_key: got one in a batch, wanted it on auditlog.event()")
        return self.add(encode_row(build_draft(action=action, **fields)))

    def add(self, row: EventRow) -> UUID:
        """Add an event that is made already; its id."""
        self._rows.append(row)
        return row.id

    def commit(self) -> list[UUID]:
        """
        Write everything collected, in order; the ids. The batch is empty afterwards and may be used again.

        Raises:
            RecordingError: The database refused; nothing was written and the events are still in the batch.
        """
        if not self._rows:
            return []
        if is_broken(get_connection(self._using)) and all(row.outcome != "success" for row in self._rows):
            return self._keep()
        try:
            write_events(self._rows, using=self._using, savepoint=settings.ON_ERROR == "log")
        except Error as exc:
            if settings.ON_ERROR != "log":
                raise RecordingError(f"batch of {len(self._rows)}: not recorded, the database answered: {exc}") from exc
            for row in self._rows:
                losses.LOSSES.add(row.action, exc)
        else:
            for row in self._rows:
                follow(row, using=self._using)
        return self._emptied()

    def _keep(self) -> list[UUID]:
        for row in self._rows:
            survivors().keep(row, self._using)
        return self._emptied()

    def _emptied(self) -> list[UUID]:
        ids = [row.id for row in self._rows]
        self._rows = []
        return ids

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if exc_type is not None:
            self._rows = [row for row in self._rows if row.outcome != "success"]
        self.commit()
