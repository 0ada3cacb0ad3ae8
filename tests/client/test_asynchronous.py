"""Events from async code: they take the same way, and the loop is never held up."""

from __future__ import annotations

import threading
from typing import Any

import anyio
import pytest

from auditkit_django.client import AsyncAuditKit, ClosedError, QueueFullError
from tests.client.servers import KEY, AuditServer, Said, says


def test_events_and_batches_arrive(server: AuditServer, tmp_path: Any) -> None:
    async def main() -> None:
        async with AsyncAuditKit(KEY, server.url, tenant="acme") as client:
            key = await client.event("a.b", idempotency_key="k1")
            assert key == "k1"
            client.event_nowait("a.c")
            with client.batch() as batch:
                batch.event("a.d")
            assert await client.flush(10)
            assert client.stats.sent == 3
        with pytest.raises(ClosedError):
            await client.event("a.e")
        async with AsyncAuditKit(KEY, server.url, spool=tmp_path, fsync=True) as client:
            await client.event("a.f")

    anyio.run(main)
    assert server.actions() == ["a.b", "a.c", "a.d", "a.f"]
    assert server.log["k1"]["tenant"] == "acme"


def test_waiting_for_room_does_not_hold_up_the_loop(server: AuditServer) -> None:
    gate = threading.Event()
    server.plays.append(lambda server, asked: gate.wait(20) and None)

    async def main() -> None:
        client = AsyncAuditKit(KEY, server.url, max_events=1, on_full="block", block_seconds=20, linger_seconds=0)
        await client.event("a.b")
        with pytest.raises(QueueFullError):
            client.event_nowait("a.x")
        async with anyio.create_task_group() as group:
            group.start_soon(client.event, "a.c")
            # Only a loop that runs on gets here.
            await anyio.sleep(0.05)
            assert client.stats.queued == 1
            gate.set()
        assert await client.close(10)

    anyio.run(main)
    assert server.actions() == ["a.b", "a.c"]


def test_a_full_queue_raises(server: AuditServer) -> None:
    server.plays.append(says(Said(500, hang=True)))

    async def main() -> None:
        client = AsyncAuditKit(KEY, server.url, max_events=1)
        await client.event("a.b")
        with pytest.raises(QueueFullError):
            await client.event("a.b")
        assert await client.close(0) is False

    anyio.run(main)
