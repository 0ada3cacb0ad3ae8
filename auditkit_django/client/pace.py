"""How long to wait between attempts (backoff with full jitter, and what the server asks for) and between messages."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from auditkit_django.client.answers import Again


class Pace:
    """
    Counts failures in a row and says how long to wait after each.

    Full jitter (uniform from 0 to the ceiling) spreads the clients of a server that comes back. A slow wait is between half
    of the longest and the longest.
    """

    def __init__(
        self,
        *,
        first_seconds: float,
        max_seconds: float,
        max_asked_seconds: float,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._first, self._max, self._max_asked = first_seconds, max_seconds, max_asked_seconds
        self._uniform = uniform
        self.failures = 0

    def after(self, again: Again) -> float:
        """The seconds to wait after one more failure; at least what the server asked for, which is capped."""
        # The exponent is capped too: a float overflows after a thousand failures.
        ceiling = min(self._max, self._first * 2.0 ** min(self.failures, 32))
        self.failures += 1
        if again.is_slow:
            return self._uniform(self._max / 2, self._max)
        own = self._uniform(0, ceiling)
        if again.after_seconds is None:
            return own
        return max(own, min(again.after_seconds, self._max_asked) + self._uniform(0, self._first))

    def reset(self) -> None:
        """The server answers again."""
        self.failures = 0


class Seldom:
    """Says yes at most once in ``seconds``: for messages about what happens often."""

    def __init__(self, seconds: float = 60.0) -> None:
        self._seconds = seconds
        self._last: float | None = None

    def is_due(self) -> bool:
        """Whether it is time again; then the time begins anew."""
        now = time.monotonic()
        if self._last is not None and now - self._last < self._seconds:
            return False
        self._last = now
        return True
