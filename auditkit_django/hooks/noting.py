"""What was recorded within a request, noted so that a refusal already told is not told twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from auditkit_django.models import Event
from auditkit_django.recording import context as contexts
from auditkit_django.signals import event_recorded


@dataclass(slots=True)
class Noted:
    """What one request recorded."""

    actions: set[str] = field(default_factory=set)
    was_denied: bool = False

    def has_denial(self) -> bool:
        """Whether one of its events is a denial, written or waiting to be written after a rollback."""
        context = contexts.current()
        return self.was_denied or (context is not None and context.survivors.has_denial())


_noted: ContextVar[Noted | None] = ContextVar("auditkit_noted", default=None)


@contextmanager
def noting() -> Iterator[Noted]:
    """Inside, what is recorded is noted, in threads and tasks that the request starts too."""
    token = _noted.set(noted := Noted())
    try:
        yield noted
    finally:
        _noted.reset(token)


def connect() -> None:
    """Have every event noted that is recorded while somebody is noting."""
    event_recorded.connect(_note, sender=Event, dispatch_uid="auditkit_django.noting")


def _note(*, action: str, outcome: str, **_signal: object) -> None:
    noted = _noted.get()
    if noted is not None:
        noted.actions.add(action)
        noted.was_denied = noted.was_denied or outcome == "denied"
