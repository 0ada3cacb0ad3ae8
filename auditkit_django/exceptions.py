"""
The whole error tree. Each class ends in Error and carries a stable ``code`` for machines.

::

    AuditkitError                      auditkit            (ledger/errors.py)
    ├── MalformedError                 malformed           refused data; also a ValueError
    │   ├── MissingTenantError         tenant_missing      no tenant given and none in the context
    │   ├── UnknownActionError         action_unknown      not registered, and UNKNOWN_ACTION = "error"
    │   ├── QueryError                 query_malformed     a text of the query language; ``position`` says where
    │   └── IdempotencyConflictError   idempotency_conflict  the key was used with another payload
    ├── AccessError                    access              a key or token that does not let its bearer in
    ├── VerificationError              verification        a proof or signature does not hold
    ├── RecordingError                 recording           the event was not recorded
    ├── AppendOnlyError                append_only         an update or delete of what may never change; also a TypeError
    ├── SealError                      seal                a log could not be sealed: no key, or what is there does not fit
    │   └── GuardError                 guard               what was signed before does not lead to what is there now
    ├── RetentionError                 retention           nothing was erased or pruned: a legal hold, no checkpoint, no policy
    ├── PublishError                   publish             a checkpoint is not where it was to be published
    │   └── PublicationRefusedError    publication_refused  what is there contradicts it: an alarm
    ├── UntrackedError                 untracked           a change of a tracked model that cannot be recorded row by row
    ├── QueryTimeoutError              query_timeout       reading took longer than it was given
    ├── AppendError                    append              a pass of the appender could not complete
    └── UnknownTenantError             tenant_unknown      no log of that tenant exists; also a LookupError

Misuse by the developer that Django has a word for (``ImproperlyConfigured``, a system check) uses that word.
"""

from __future__ import annotations

from auditkit_django.ledger.errors import AuditkitError, MalformedError, VerificationError

__all__ = [
    "AccessError",
    "AppendError",
    "AppendOnlyError",
    "AuditkitError",
    "GuardError",
    "IdempotencyConflictError",
    "MalformedError",
    "MissingTenantError",
    "PublicationRefusedError",
    "PublishError",
    "QueryError",
    "QueryTimeoutError",
    "RecordingError",
    "RetentionError",
    "SealError",
    "UnknownActionError",
    "UnknownTenantError",
    "UntrackedError",
    "VerificationError",
]


class MissingTenantError(MalformedError):
    """No tenant was given, and neither context nor ``TENANT_RESOLVER`` names one."""

    code = "tenant_missing"


class UnknownActionError(MalformedError):
    """The action is not registered and ``AUDITKIT["UNKNOWN_ACTION"]`` is ``"error"``."""

    code = "action_unknown"


class QueryError(MalformedError):
    """A text is not of the query language; ``position`` is the index, from 0, of the character where it stops being it."""

    code = "query_malformed"

    def __init__(self, message: str, *, position: int = 0) -> None:
        super().__init__(message)
        self.position = position


class IdempotencyConflictError(MalformedError):
    """The idempotency key already stands for an event with another payload."""

    code = "idempotency_conflict"


class AccessError(AuditkitError):
    """
    A key or token does not let its bearer in. ``code`` says why: ``key_malformed``, ``key_unknown``, ``key_expired``,
    ``key_revoked``, ``address_refused``, ``token_malformed``, ``token_expired``.
    """

    code = "access"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RecordingError(AuditkitError):
    """The event was not recorded: the database refused or could not be reached (see ``__cause__``)."""

    code = "recording"


class AppendOnlyError(AuditkitError, TypeError):
    """Events and entries are never updated or deleted through the ORM."""

    code = "append_only"


class SealError(AuditkitError):
    """A log could not be sealed: there is no usable key, or what was signed before does not lead to what is there now."""

    code = "seal"


class RetentionError(AuditkitError):
    """Nothing was erased or pruned: a legal hold stands, no checkpoint covers it, or there is no policy that says so."""

    code = "retention"


class PublishError(AuditkitError):
    """A checkpoint did not get where it was to be published; it is tried again."""

    code = "publish"


class PublicationRefusedError(PublishError):
    """A place outside knows another history of this log than the one that was sealed, and says so: an alarm."""

    code = "publication_refused"


class GuardError(SealError):
    """The guard refused: the log was cut off, rewritten or restored from a backup, or goes back to an older key."""

    code = "guard"


class UntrackedError(AuditkitError):
    """A change of a tracked model on a path where it cannot be known which rows change: refused, not missed."""

    code = "untracked"


class AppendError(AuditkitError):
    """A pass of the appender did not complete and was rolled back; pending events stay pending."""

    code = "append"


class QueryTimeoutError(AuditkitError):
    """Reading took longer than it was given: ask for a shorter time, or for something that has an index."""

    code = "query_timeout"


class UnknownTenantError(AuditkitError, LookupError):
    """There is no log and no event of this tenant."""

    code = "tenant_unknown"
