"""What every pack test needs: a reader of what was recorded, whatever the tenant."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from auditkit_django.models import Event


@pytest.fixture
def recorded(db: None) -> Callable[..., list[dict[str, Any]]]:
    """All events so far as dicts, oldest first, without those of ``but`` (action prefixes)."""

    def read(*, only: str = "", but: tuple[str, ...] = ()) -> list[dict[str, Any]]:
        found = []
        for event in Event.objects.order_by("recorded_at", "id"):
            if event.action.startswith(only) and not event.action.startswith(but or ("-",)):
                found.append({"tenant": event.tenant, "action": event.action, "outcome": event.outcome, **event.disclosed()})
        return found

    return read
