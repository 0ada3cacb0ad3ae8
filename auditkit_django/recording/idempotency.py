"""The same key twice: the same payload is the same event, another payload is an error."""

from __future__ import annotations

from auditkit_django.drafts import EventDraft
from auditkit_django.exceptions import IdempotencyConflictError
from auditkit_django.ledger.disclosure import encode_value, split_with_values
from auditkit_django.models import Event
from auditkit_django.recording.encoding import encode_fields

_COLUMNS = ("action", "severity", "outcome")
#: Where the request came from is not part of what happened: a retry is another request.
_FIELDS = ("actor", "on_behalf_of", "targets", "changes", "metadata")


def check_same(draft: EventDraft, *, using: str) -> None:
    """
    Compare ``draft`` with the event that its id stands for already.

    Fields that were erased since are not compared.

    Raises:
        IdempotencyConflictError: They differ; names what.
    """
    check_event(draft, Event.objects.using(using).filter(tenant=draft.tenant, id=draft.id).get())


def check_event(draft: EventDraft, event: Event) -> None:
    """As :func:`check_same`, with the event that stands."""
    differing = [column for column in _COLUMNS if getattr(event, column) != getattr(draft, column)]
    stored = split_with_values(event.disclosures) if event.disclosures else {}
    given = encode_fields(draft)
    differing += [
        name for name in _FIELDS if name in stored.keys() | given.keys() and _text(stored, name) != given.get(name)
    ]
    if differing:
        raise IdempotencyConflictError(
            f"idempotency_key: got {draft.idempotency_key!r} again with another {', '.join(differing)}, wanted the same payload"
            f" (event {draft.id} stands)"
        )


def _text(stored: dict[str, tuple[str, object]], name: str) -> str | None:
    return encode_value(stored[name][1]) if name in stored else None
