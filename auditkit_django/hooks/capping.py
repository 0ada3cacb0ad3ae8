"""
A cap on what strangers can have written into a log: so many events per minute and tenant, fewer per address.

Counted in this process. What is over the cap is not lost but counted, and told when its minute is over.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from django.utils import timezone

SECONDS = 60.0


@dataclass(slots=True, kw_only=True)
class Window:
    """One tenant's minute. ``suppressed`` counts what was over the cap by (action, reason)."""

    ends_at: float
    admitted: int = 0
    by_origin: Counter[str] = field(default_factory=Counter)
    suppressed: Counter[tuple[str, str]] = field(default_factory=Counter)
    first_at: datetime | None = None
    last_at: datetime | None = None


class Cap:
    """The windows of all tenants."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._windows: dict[str, Window] = {}
        #: The end of the window that ends first.
        self._next_end = float("inf")

    def admits(self, tenant: str, origin: str, what: tuple[str, str], *, limit: int, limit_per_origin: int) -> bool:
        """
        Whether one more event of ``tenant`` caused by ``origin`` may be written; counts it either way.

        An origin takes up memory only with what is admitted, so that a million of them take up none.
        """
        with self._lock:
            window = self._window(tenant)
            if window.admitted < limit and window.by_origin[origin] < limit_per_origin:
                window.admitted += 1
                window.by_origin[origin] += 1
                return True
            window.suppressed[what] += 1
            window.last_at = timezone.now()
            window.first_at = window.first_at or window.last_at
            return False

    def has_ended(self) -> bool:
        """Whether a window is over: asked at every request, so without the lock."""
        return self._clock() >= self._next_end

    def take(self, *, all_of_them: bool = False) -> list[tuple[str, Window]]:
        """The windows that are over (or all), taken out; those alone that suppressed something."""
        with self._lock:
            now = self._clock()
            ended = [tenant for tenant, window in self._windows.items() if all_of_them or window.ends_at <= now]
            taken = [(tenant, self._windows.pop(tenant)) for tenant in ended]
            self._next_end = min((window.ends_at for window in self._windows.values()), default=float("inf"))
        return [(tenant, window) for tenant, window in taken if window.suppressed]

    def put_back(self, tenant: str, window: Window) -> None:
        """What could not be told is told with the window of now."""
        with self._lock:
            now = self._window(tenant)
            now.suppressed += window.suppressed
            now.first_at, now.last_at = window.first_at, now.last_at or window.last_at

    def _window(self, tenant: str) -> Window:
        window = self._windows.get(tenant)
        if window is None:
            window = self._windows[tenant] = Window(ends_at=self._clock() + SECONDS)
            self._next_end = min(self._next_end, window.ends_at)
        return window
