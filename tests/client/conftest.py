"""A server and clients that are closed after the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from auditkit_django.client import AuditKit
from tests.client.servers import KEY, AuditServer, serving

Make = Callable[..., AuditKit]


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for what another thread does, for at most 20 seconds."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline, "it did not come about in 20 seconds"
        time.sleep(0.005)


@pytest.fixture
def server() -> Iterator[AuditServer]:
    with serving() as found:
        yield found


@pytest.fixture
def waits() -> list[float]:
    """The seconds that clients of ``make`` would have waited between attempts."""
    return []


@pytest.fixture
def make(server: AuditServer, waits: list[float]) -> Iterator[Make]:
    """A client of ``server`` that does not wait between attempts, but notes how long it would have."""
    made: list[AuditKit] = []

    def client(**options: Any) -> AuditKit:
        options = {"linger_seconds": 0.01, "pause": waits.append, **options}
        made.append(AuditKit(KEY, options.pop("base_url", server.url), **options))
        return made[-1]

    yield client
    for one in made:
        one.close(0)
