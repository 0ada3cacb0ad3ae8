"""
Log records as events: :class:`AuditKitHandler`.

    logger.info("approved", extra={"action": "invoice.approved", "actor": "user:17", "resource": "invoice:4711"})
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any, Final

from auditkit_django.client.asynchronous import AsyncAuditKit
from auditkit_django.client.events import EventFields
from auditkit_django.client.sync import AuditKit

#: What a record's ``extra`` may give beside ``action``.
FIELDS: Final = tuple(name for name in EventFields.__annotations__ if name != "occurred_at")
#: Loggers of what sends events: their records would make events that make records.
OWN: Final = ("auditkit_django.client", "httpx", "httpcore", "h11", "h2", "hpack", "anyio")


class AuditKitHandler(logging.Handler):
    """
    Queues an event for each record with an ``action`` in its ``extra``, or for each with ``action`` as the default.

    Further members of ``extra`` are the arguments of ``event()``; the event occurred when the record was made. With
    ``has_message`` the record's text and logger are in its metadata. What goes wrong goes to ``handleError``, as in any handler.
    """

    def __init__(
        self,
        client: AuditKit | AsyncAuditKit,
        *,
        action: str | None = None,
        level: int | str = logging.NOTSET,
        has_message: bool = True,
    ) -> None:
        super().__init__(level)
        self._client, self._action, self._has_message = client, action, has_message
        self._event = client.event_nowait if isinstance(client, AsyncAuditKit) else client.event

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the event of ``record``, where it has one."""
        action = getattr(record, "action", None) or self._action
        if action is None or self._is_own(record):
            return
        try:
            self._event(action, **self._fields_of(record))
        # Whoever logs must not fail for it.
        except Exception:  # noqa: BLE001
            self.handleError(record)

    def _is_own(self, record: logging.LogRecord) -> bool:
        name = record.name
        return any(name == own or name.startswith(f"{own}.") for own in OWN) or self._client.is_own_thread()

    def _fields_of(self, record: logging.LogRecord) -> Any:
        fields: dict[str, object] = {
            name: value for name in FIELDS if (value := getattr(record, name, None)) is not None
        }
        fields["occurred_at"] = datetime.fromtimestamp(record.created, UTC)
        if self._has_message:
            metadata: Any = fields.get("metadata") or {}
            fields["metadata"] = {"message": record.getMessage(), "logger": record.name, **metadata}
        return fields
