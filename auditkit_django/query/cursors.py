"""Page cursors: where a listing goes on, signed and bound to one tenant and filter."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from django.core import signing

from auditkit_django.exceptions import MalformedError

_SALT = "auditkit_django.cursor"
_MAX_LENGTH = 1024


def dump_cursor(occurred_at: datetime, event_id: UUID, *, scope: str) -> str:
    """A cursor that goes on after this event in the listing that ``scope`` names."""
    return signing.dumps([occurred_at.isoformat(), event_id.hex], salt=_salt(scope), compress=True)


def load_cursor(cursor: str, *, scope: str) -> tuple[datetime, UUID]:
    """
    The place that ``cursor`` names.

    Raises:
        MalformedError: Not a cursor of ours, changed, or made for another tenant, filter or order.
    """
    try:
        if len(cursor) > _MAX_LENGTH:
            raise ValueError(len(cursor))
        moment, event_id = signing.loads(cursor, salt=_salt(scope))
        return datetime.fromisoformat(moment), UUID(event_id)
    except (signing.BadSignature, ValueError, TypeError) as exc:
        raise MalformedError(
            f"cursor: got {cursor[:20]!r}…, wanted one of this tenant's listing with the same filter"
        ) from exc


def _salt(scope: str) -> str:
    return f"{_SALT}:{scope}"
