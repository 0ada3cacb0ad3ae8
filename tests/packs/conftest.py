"""What every pack test needs: a reader of what was recorded, whatever the tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from auditkit_django.models import Event


@pytest.fixture(autouse=True)
def _before(db: None) -> set[UUID]:
    """What is there before the test: guardian makes its anonymous user when it migrates."""
    return set(Event.objects.values_list("id", flat=True))


@pytest.fixture
def recorded(_before: set[UUID]) -> Callable[..., list[dict[str, Any]]]:
    """All events of the test so far as dicts, oldest first, without those of ``but`` (action prefixes)."""

    def read(*, only: str = "", but: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        return [
            {"tenant": event.tenant, "action": event.action, "outcome": event.outcome, **event.disclosed()}
            for event in Event.objects.order_by("recorded_at", "id")
            if event.id not in _before and event.action.startswith(only) and not event.action.startswith(but or ("-",))
        ]

    return read
