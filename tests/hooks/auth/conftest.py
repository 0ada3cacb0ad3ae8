"""The auth hooks switched on, and what they recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from auditkit_django.models import Event

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

Told = list[tuple[str, str, str | None]]


@pytest.fixture(autouse=True)
def _hooks_on(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {name: value for name, value in settings.AUDITKIT.items() if name != "HOOKS_OFF"}


@pytest.fixture
def told(db: None, _hooks_on: None) -> Callable[..., list[Any]]:
    """The events since it was last asked, oldest first; with ``full`` the rows themselves."""
    seen: set[Any] = set()

    def ask(*, full: bool = False) -> list[Any]:
        rows = [event for event in Event.objects.order_by("recorded_at", "id") if event.pk not in seen]
        seen.update(event.pk for event in rows)
        rows = [event for event in rows if not event.action.startswith("audit.")]
        return rows if full else [(event.action, event.outcome, event.actor_id, event.target_id) for event in rows]

    return ask
