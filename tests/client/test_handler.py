"""Log records as events."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from auditkit_django.client import AsyncAuditKit
from auditkit_django.client.handler import AuditKitHandler
from tests.client.conftest import Make
from tests.client.servers import KEY, AuditServer, Said, says

Attach = Any


@pytest.fixture
def attach() -> Iterator[Attach]:
    """Put a handler on the root logger, which hears everything, down to DEBUG."""
    root, handlers, level = logging.getLogger(), list[logging.Handler](), logging.getLogger().level

    def attached(handler: logging.Handler) -> None:
        root.addHandler(handler)
        handlers.append(handler)

    root.setLevel(logging.DEBUG)
    yield attached
    root.setLevel(level)
    for handler in handlers:
        root.removeHandler(handler)


def test_a_record_with_an_action_is_an_event(server: AuditServer, make: Make, attach: Attach) -> None:
    client = make()
    attach(AuditKitHandler(client))
    log = logging.getLogger("shop.billing")
    log.info("no action here")
    log.warning(
        "approved %s",
        "4711",
        extra={
            "action": "invoice.approved",
            "actor": "user:17",
            "resource": "invoice:4711",
            "metadata": {"total": 12},
            "idempotency_key": "k1",
            "unrelated": object(),
        },
    )
    assert client.flush(10)
    [event] = server.log.values()
    assert event.pop("occurred_at")
    assert event == {
        "action": "invoice.approved",
        "actor": "user:17",
        "targets": ["invoice:4711"],
        "metadata": {"message": "approved 4711", "logger": "shop.billing", "total": 12},
        "idempotency_key": "k1",
    }


def test_an_event_occurred_when_its_record_was_made(server: AuditServer, make: Make) -> None:
    client = make()
    moment = datetime(2026, 1, 2, 3, 4, 5, 500_000, tzinfo=UTC)
    AuditKitHandler(client).handle(
        logging.makeLogRecord({"name": "shop", "created": moment.timestamp(), "action": "a.b"})
    )
    assert client.flush(10)
    [event] = server.log.values()
    assert datetime.fromisoformat(event["occurred_at"]) == moment


def test_a_default_action_makes_every_record_an_event(server: AuditServer, make: Make, attach: Attach) -> None:
    client = make()
    attach(AuditKitHandler(client, action="app.logged", level=logging.WARNING, has_message=False))
    logging.getLogger("shop").info("quiet")
    logging.getLogger("shop").warning("loud")
    assert client.flush(10)
    [event] = server.log.values()
    assert event["action"] == "app.logged"
    assert "metadata" not in event


def test_what_the_client_logs_makes_no_events(server: AuditServer, make: Make, attach: Attach) -> None:
    server.plays.extend([says(Said(500)), says(Said(401))])
    server.refuse = lambda event: ("malformed", "no")

    def on_refused(event: Any, error: Any) -> None:
        logging.getLogger("shop").error("refused", extra={"action": "audit.refused"})

    client = make(on_refused=on_refused)
    attach(AuditKitHandler(client, action="app.logged"))
    logging.getLogger("shop").error("once")
    assert client.flush(10)
    assert client.flush(10)
    assert {event["metadata"]["message"] for asked in server.asked for event in asked.body} == {"once"}
    assert client.stats.refused == 1


def test_a_record_that_is_no_event_does_not_break_the_caller(
    make: Make, attach: Attach, capsys: pytest.CaptureFixture[str]
) -> None:
    attach(AuditKitHandler(make()))
    logging.getLogger("shop").info("x", extra={"action": "a.b", "metadata": {"x": object()}})
    assert "metadata.x: got object" in capsys.readouterr().err


def test_a_client_for_async_code_will_do(server: AuditServer, attach: Attach) -> None:
    client = AsyncAuditKit(KEY, server.url)
    attach(AuditKitHandler(client))
    logging.getLogger("shop").info("x", extra={"action": "a.b"})
    assert client._outbox.close(10)
    assert server.actions() == ["a.b"]
