"""Lists, exports and verifications, by both clients."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest

from auditkit_django.client import AsyncAuditKit, NoAnswerError, Page, RefusedError
from tests.client.conftest import Make
from tests.client.servers import KEY, Asked, AuditServer, Said, problem, said, says

PAGES: dict[str | None, Any] = {
    None: {"events": [{"id": "1"}, {"id": "2"}], "next": "c2"},
    "c2": {"events": [], "next": "c3"},
    "c3": {"events": [{"id": "3"}], "next": None},
}
BLOCK = bytes(range(256)) * 4096


def answer(asked: Asked) -> Said:
    if asked.path.endswith("/v1/events"):
        return said(200, PAGES[asked.query.get("cursor", [None])[0]])
    if asked.path.endswith("/v1/export"):
        return Said(200, BLOCK)
    assert asked.path.endswith("/v1/verify")
    return said(200, {"verdict": "VALID", "findings": []})


@pytest.fixture(autouse=True)
def _answers(server: AuditServer) -> None:
    server.answer_get = answer
    server.record = answer  # type: ignore[method-assign]


def test_a_page_has_events_and_the_cursor_of_the_next(server: AuditServer, make: Make) -> None:
    client = make(tenant="acme")
    page = client.list(
        action="auth.*",
        start=datetime(2026, 1, 2, tzinfo=UTC),
        metadata={"plan": "pro"},
        q="actor:user:1",
        limit=2,
    )
    assert page == Page(events=({"id": "1"}, {"id": "2"}), next="c2")
    assert [event["id"] for event in page] == ["1", "2"]
    assert len(page) == 2
    assert server.asked[0].query == {
        "tenant": ["acme"],
        "limit": ["2"],
        "order": ["desc"],
        "action": ["auth.*"],
        "start": ["2026-01-02T00:00:00+00:00"],
        "metadata": ['{"plan":"pro"}'],
        "q": ["actor:user:1"],
    }


def test_all_pages_are_walked_also_over_an_empty_one(server: AuditServer, make: Make) -> None:
    assert [event["id"] for event in make().each("globex", outcome="denied")] == ["1", "2", "3"]
    assert [asked.query["tenant"] for asked in server.asked] == [["globex"]] * 3
    assert [asked.query["outcome"] for asked in server.asked] == [["denied"]] * 3


def test_an_export_is_streamed_or_written(server: AuditServer, make: Make) -> None:
    client = make()
    blocks = client.export_evidence("acme", format="jsonl", start=datetime(2026, 1, 1, tzinfo=UTC))
    assert isinstance(blocks, Iterator)
    assert b"".join(blocks) == BLOCK
    file = io.BytesIO()
    assert client.export_evidence("acme", format="xlsx", file=file) == len(BLOCK)
    assert file.getvalue() == BLOCK
    assert [asked.query["proof"] for asked in server.asked] == [["true"], ["false"]]
    with pytest.raises(ValueError, match="file: got a text file"):
        client.export_evidence("acme", file=io.StringIO())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="format: got 'pdf', wanted one of csv"):
        client.export_evidence("acme", format="pdf")  # type: ignore[arg-type]


def test_an_export_that_is_cut_off_is_an_error(server: AuditServer, make: Make) -> None:
    server.plays.append(says(Said(200, BLOCK, cut=True)))
    blocks = make().export_evidence("acme")
    assert isinstance(blocks, Iterator)
    with pytest.raises(NoAnswerError, match="no answer"):
        list(blocks)


def test_a_verification_gives_the_report(server: AuditServer, make: Make) -> None:
    report = make().verify("acme", max_entries=10, since="note")
    assert report["verdict"] == "VALID"
    assert server.asked[0].body == {"max_entries": 10, "since": ["note"]}
    assert server.asked[0].query == {"tenant": ["acme"]}


def test_an_error_of_the_server_has_its_code(server: AuditServer, make: Make) -> None:
    value = {"detail": "q: got ')'", "code": "query_malformed", "position": 4, "request_id": "r1"}
    server.plays.append(says(said(400, value)))
    client = make()
    with pytest.raises(RefusedError, match=r"^400 query_malformed: q: got '\)'$") as caught:
        client.list(q=")")
    error = caught.value
    assert (error.status, error.code, error.position, error.request_id) == (400, "query_malformed", 4, "r1")
    server.plays.append(says(problem(429, "throttled", **{"Retry-After": "7"})))
    with pytest.raises(RefusedError) as caught:
        client.verify()
    assert caught.value.retry_after == 7


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Said(200, b"<html>"), NoAnswerError, "wanted JSON"),
        (said(200, []), NoAnswerError, "wanted a JSON object"),
        (said(200, {"events": 1}), NoAnswerError, "wanted events and next"),
        (Said(502, b"bad gateway"), RefusedError, "502 http_502: the server answered 502"),
        (Said(302, b"", {"Location": "http://127.0.0.1:1/"}), RefusedError, "302 http_302"),
        (Said(200, b'{"events": [], "next": null}', cut=True), NoAnswerError, "no answer"),
    ],
    ids=["html", "list", "shape", "bad gateway", "redirect", "cut"],
)
def test_an_answer_that_is_none_is_an_error(
    server: AuditServer, make: Make, answer: Said, kind: type[Exception], message: str
) -> None:
    server.plays.append(says(answer))
    with pytest.raises(kind, match=message):
        make().list()
    assert len(server.asked) == 1


def test_filters_are_checked_before_anything_is_asked(server: AuditServer, make: Make) -> None:
    client = make()
    with pytest.raises(TypeError, match="got colour, wanted filters of q, action"):
        client.list(colour="red")  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="start: got .* wanted an aware datetime"):
        client.list(start=datetime(2026, 1, 1))
    assert server.asked == []


@pytest.mark.parametrize("backend", ["asyncio"])
def test_the_client_for_async_code_reads_the_same(server: AuditServer, backend: str) -> None:
    async def main() -> None:
        async with AsyncAuditKit(KEY, server.url, tenant="acme") as client:
            assert (await client.list(limit=2)).next == "c2"
            assert [event["id"] async for event in client.each()] == ["1", "2", "3"]
            blocks = await client.export_evidence(format="bundle")
            assert isinstance(blocks, AsyncIterator)
            assert b"".join([block async for block in blocks]) == BLOCK
            file = io.BytesIO()
            assert await client.export_evidence(file=file) == len(BLOCK)
            assert file.getvalue() == BLOCK
            assert (await client.verify(max_entries=1))["verdict"] == "VALID"
            server.plays.append(says(problem(403, "scope_missing", "wanted events:read")))
            with pytest.raises(RefusedError, match="403 scope_missing: wanted events:read"):
                await client.list()
            server.plays.append(says(Said(200, BLOCK, cut=True)))
            with pytest.raises(NoAnswerError):
                await client.export_evidence(file=io.BytesIO())
            server.plays.append(says(problem(409, "not_sealed")))
            with pytest.raises(RefusedError, match="409 not_sealed"):
                await client.export_evidence()

    anyio.run(main, backend=backend)
    assert {json.dumps(asked.query.get("tenant")) for asked in server.asked} == {'["acme"]'}
