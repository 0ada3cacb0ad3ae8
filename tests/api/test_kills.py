"""The client against a server that dies, forgets and refuses: every event is in the log, once."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from auditkit_django.client import AuditKit
from tests.api.server import Gunicorn

if TYPE_CHECKING:
    from tests.log.scene import Scene

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

EVENTS = 100_000
KILLS = 10
PATIENCE_SECONDS = 900.0


@pytest.fixture(autouse=True)
def _large_passes(scene: Scene) -> None:
    scene.environment["CROWD_APPEND_BATCH"] = "1000"


def test_100_000_events_through_a_server_that_is_killed_ten_times(scene: Scene) -> None:
    key = scene.run("key", module="tests.api.serving").strip()
    server = Gunicorn(scene, chaos=0.05)
    server.start()
    refused: list[object] = []
    client = AuditKit(
        key,
        server.url,
        allow_http=True,
        max_events=EVENTS,
        retry_seconds=0.05,
        max_retry_seconds=0.5,
        on_refused=lambda event, error: refused.append((event, error)),
    )
    for number in range(EVENTS):
        client.event("member.invited", actor=f"user:{number % 7}", resource=f"invitation:{number}")
    deadline = time.monotonic() + PATIENCE_SECONDS
    kills = 0
    while not client.flush(0.01):
        assert time.monotonic() < deadline, client.stats
        if kills < KILLS and client.stats.sent + client.stats.repeated >= (kills + 0.5) * EVENTS / KILLS:
            server.kill()
            server.start()
            kills += 1
    assert kills == KILLS
    assert refused == []
    stats = client.stats
    assert stats.sent + stats.repeated == EVENTS
    assert stats.repeated > 0, "answers were lost, and what they acknowledged was sent again"
    assert stats.retries > KILLS
    client.close(10)
    found = json.loads(scene.run("count", module="tests.api.serving"))
    assert (found["events"], found["targets"]) == (EVENTS, EVENTS)
    assert (found["entries"], found["pending"], found["verdict"]) == (found["all"], 0, "VALID")


def test_a_server_that_is_killed_in_the_middle_of_a_batch_records_all_or_nothing(scene: Scene) -> None:
    import threading

    import httpx

    key = scene.run("key", module="tests.api.serving").strip()
    server = Gunicorn(scene)
    server.start()
    items = [
        {"action": "member.invited", "target": f"invitation:{n}", "metadata": {"text": "x" * 2000}} for n in range(1000)
    ]
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": "the-batch"}
    for round in range(6):
        killer = threading.Timer(0.03 * (round + 1), server.kill)
        killer.start()
        try:
            answer = httpx.post(f"{server.url}/v1/events", json=items, headers=headers, timeout=30).status_code
        except httpx.HTTPError:
            answer = 0
        killer.join()
        found = json.loads(scene.run("count", module="tests.api.serving"))["events"]
        assert found in (0, len(items))
        assert answer == 0 or found == len(items)
        server.start()
    assert httpx.post(f"{server.url}/v1/events", json=items, headers=headers, timeout=30).status_code == 201
    assert json.loads(scene.run("count", module="tests.api.serving"))["events"] == len(items)
