"""The client against the API itself, over HTTP."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from auditkit_django import auditlog
from auditkit_django.access.api_keys import create_key
from auditkit_django.client import AuditKit, RefusedError
from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.seal import seal
from auditkit_django.testing import append_now

pytestmark = pytest.mark.django_db(transaction=True)

SCOPES = ("events:write", "events:read", "export", "verify")
Connect = Callable[..., AuditKit]


@pytest.fixture
def connect(live_server: Any) -> Iterator[Connect]:
    """A client of the API of this database; with a key of the tenant ``of``."""
    made: list[AuditKit] = []

    def connected(of: str | None = "acme", *, scopes: tuple[str, ...] = SCOPES, **options: Any) -> AuditKit:
        text = create_key("the client's", tenant=of, scopes=scopes)[1]
        made.append(AuditKit(text, f"{live_server.url}/api", linger_seconds=0.01, **options))
        return made[-1]

    yield connected
    for client in made:
        client.close(10)


def test_what_is_recorded_is_read_back(connect: Connect) -> None:
    client = connect()
    moment = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
    reference = uuid4()
    client.event(
        "member.role.changed",
        actor={"type": "user", "id": 17, "name": "Ada", "email": "ada@example.org"},
        on_behalf_of="user:3",
        resource={"type": "membership", "id": reference, "name": "Grace"},
        targets=["org:1"],
        outcome="denied",
        severity="high",
        occurred_at=moment,
        metadata={"total": Decimal("1.10"), "at": moment, "tags": {"a"}, "text": "\u2028 é \ud800"},
        changes={"role": ("member", "admin"), "level": (1, None)},
        context={"ip": "203.0.113.7", "request_id": "r1"},
    )
    assert client.flush(20)
    assert client.stats.refused == 0, client.stats
    [event] = client.list(action="member.role.changed").events
    assert event["actor"] == {"type": "user", "id": "17", "name": "Ada", "email": "ada@example.org"}
    assert event["on_behalf_of"] == {"type": "user", "id": "3"}
    assert event["targets"] == [
        {"type": "membership", "id": str(reference), "name": "Grace"},
        {"type": "org", "id": "1"},
    ]
    assert (event["outcome"], event["severity"], event["tenant"]) == ("denied", "high", "acme")
    assert datetime.fromisoformat(event["occurred_at"]) == moment
    assert event["metadata"]["total"] == "1.10"
    assert event["metadata"]["tags"] == ["a"]
    assert event["metadata"]["text"] == "\u2028 é \ufffd"
    assert {"field": "role", "old": "member", "new": "admin"} in event["changes"]
    assert event["context"]["ip"] == "203.0.113.7"


def test_a_repeated_key_is_one_event_and_a_refusal_is_told(connect: Connect) -> None:
    told: list[str] = []
    client = connect(on_refused=lambda event, error: told.append(f"{event['action']} {error['code']}"))
    moment = datetime.now(UTC)
    with client.batch() as batch:
        for _ in range(2):
            batch.event("member.invited", idempotency_key="k1", occurred_at=moment)
        batch.event("member.invited", idempotency_key="k1", occurred_at=moment, outcome="failure")
        batch.event("no.such.action")
        batch.event("member.invited", tenant="globex")
        batch.event("member.removed")
    assert client.flush(20)
    assert told == ["member.invited idempotency_conflict", "no.such.action action_unknown", "member.invited malformed"]
    stats = client.stats
    assert (stats.sent, stats.repeated, stats.refused) == (2, 1, 3)
    assert sorted(event["action"] for event in client.each(action="member.*")) == [
        "member.invited",
        "member.removed",
    ]


def test_what_the_server_cannot_read_costs_only_the_event_at_fault(connect: Connect) -> None:
    client = connect()
    with client.batch() as batch:
        batch.event("member.invited")
        # JSON with one name twice.
        batch.event("member.invited", metadata={1: "a", "1": "b"})
        batch.event("member.removed")
    assert client.flush(20)
    assert (client.stats.sent, client.stats.refused) == (2, 1)


def test_pages_filters_exports_and_the_verdict(connect: Connect, settings: Any, tmp_path: Path) -> None:
    client = connect()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    for number in range(25):
        client.event("data.imported", occurred_at=start + timedelta(days=number), metadata={"number": number})
    assert client.flush(20)
    found = list(client.each(limit=10, order="asc", action="data.imported", start=start + timedelta(days=5)))
    assert [event["metadata"]["number"] for event in found] == list(range(5, 25))
    assert len(client.list(q="action:data.imported", metadata={"number": 7})) == 1
    append_now()
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SecretSigner(b"k" * 32), "SEAL_GUARD_DIR": str(tmp_path)}
    seal("acme")
    file = io.BytesIO()
    size = client.export_evidence(format="bundle", file=file)
    assert size == len(file.getvalue())
    assert zipfile.ZipFile(file).testzip() is None
    blocks = client.export_evidence(format="jsonl", include_chain_proof=False, action="data.imported")
    assert not isinstance(blocks, int)
    assert b"".join(blocks).count(b"data.imported") >= 25
    assert client.verify()["verdict"] == auditlog.verify("acme").verdict


def test_a_key_of_the_installation_names_tenants(connect: Connect) -> None:
    client = connect(None, tenant="acme")
    client.event("member.invited")
    client.event("member.removed", tenant="globex")
    assert client.flush(20)
    assert [event["action"] for event in client.each(action="member.*")] == ["member.invited"]
    assert [event["action"] for event in client.each("globex", action="member.*")] == ["member.removed"]


def test_a_key_without_the_scope_is_refused(connect: Connect) -> None:
    client = connect(scopes=("events:write",))
    with pytest.raises(RefusedError) as caught:
        client.list()
    assert (caught.value.status, caught.value.code) == (403, "scope_missing")
    assert caught.value.request_id
    with pytest.raises(RefusedError, match="400 query_malformed"):
        connect().list(q="(actor:x")
