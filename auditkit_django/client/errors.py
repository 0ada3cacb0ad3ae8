"""
What the client raises. Each class ends in Error and carries a stable ``code`` for machines.

::

    ClientError               client
    ├── SettingsError         settings       an option or variable is missing or cannot be meant; also a ValueError
    ├── InvalidEventError     invalid_event  an event that has no JSON form or breaks a limit; also a ValueError
    ├── QueueFullError        queue_full     there is no room for the event: it was not taken
    ├── ClosedError           closed         the client was closed
    ├── NoAnswerError         no_answer      of a read: no connection, no answer in time, or a cut one
    └── RefusedError          the server's   of a read: it answered with an error

The key is in none of them. Sending events raises neither of the last two: it happens in the background, and is repeated.
"""

from __future__ import annotations


class ClientError(Exception):
    """Root of what the client raises on purpose."""

    code: str = "client"


class SettingsError(ClientError, ValueError):
    """An option or a variable of the environment is missing, or cannot be meant."""

    code = "settings"


class InvalidEventError(ClientError, ValueError):
    """The event cannot be sent as it is: what was got has no JSON form, or breaks a limit."""

    code = "invalid_event"


class QueueFullError(ClientError):
    """There was no room for the event within the limits: it was not taken."""

    code = "queue_full"


class ClosedError(ClientError):
    """The client was closed, and takes no more events."""

    code = "closed"


class NoAnswerError(ClientError):
    """There was no connection, no answer in time, or one that was cut off (see ``__cause__``)."""

    code = "no_answer"


class RefusedError(ClientError):
    """
    The server answered with an error.

    ``code`` is the server's (``scope_missing``), or ``http_<status>`` where it gave none. ``position`` is that of an
    error in a query, ``retry_after`` the seconds after which it may be tried again.
    """

    def __init__(
        self,
        detail: str,
        *,
        status: int,
        code: str,
        request_id: str | None = None,
        retry_after: float | None = None,
        position: int | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.detail, self.status, self.code = detail, status, code
        self.request_id, self.retry_after, self.position = request_id, retry_after, position


def excerpt(got: object) -> str:
    """What a message may show of refused data: at most 80 characters."""
    data = got[:80] if isinstance(got, str | bytes) else got
    try:
        shown = repr(data)
    except (ValueError, RecursionError):
        shown = f"<{type(data).__name__}>"
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
