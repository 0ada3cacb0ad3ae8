"""Events arrive, each once, whatever the server does meanwhile."""

from __future__ import annotations

import json
import logging
import socket
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from auditkit_django.client import AuditKit, ClosedError, QueueFullError
from auditkit_django.client.answers import Again, Answer, Delivered, Unfit, judge, seconds_after
from auditkit_django.client.pace import Pace
from tests.client.conftest import Make, wait_until
from tests.client.servers import KEY, AuditServer, Said, loses, problem, said, says, serving

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_events_arrive_in_order_with_their_keys(server: AuditServer, make: Make) -> None:
    client = make()
    keys = [client.event("invoice.approved", metadata={"number": number}) for number in range(20)]
    assert client.flush(10)
    assert list(server.log) == keys
    assert [event["metadata"]["number"] for event in server.log.values()] == list(range(20))
    asked = server.asked[0]
    assert asked.path == "/audit/api/v1/events"
    assert asked.query == {"mode": ["best_effort"]}
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    stats = client.stats
    assert (stats.sent, stats.queued, stats.repeated, stats.refused, stats.retries) == (20, 0, 0, 0, 0)
    assert stats.trouble is None


def test_a_batch_is_bounded_by_count_and_by_bytes(server: AuditServer, make: Make) -> None:
    client = make(batch_events=7, linger_seconds=60)
    for _ in range(20):
        client.event("a.b")
    assert client.flush(10)
    assert sum(server.posts()) == 20
    assert max(server.posts()) == 7
    small = make(batch_bytes=1000, linger_seconds=60)
    for _ in range(10):
        small.event("a.b", metadata={"text": "x" * 300})
    assert small.flush(10)
    assert max(server.posts()[len(server.posts()) - 5 :]) <= 2
    assert len(server.log) == 30


def test_large_bodies_are_compressed_and_small_ones_are_not(server: AuditServer, make: Make) -> None:
    client = make()
    client.event("a.b")
    client.flush(10)
    client.event("a.b", metadata={"text": "x" * 2000})
    client.flush(10)
    assert [asked.headers.get("content-encoding") for asked in server.asked] == [None, "gzip"]
    plain = make(compress=False)
    plain.event("a.b", metadata={"text": "x" * 2000})
    plain.flush(10)
    assert "content-encoding" not in server.asked[-1].headers


@pytest.mark.parametrize(
    "failure",
    [
        Said(500, b"<h1>oops</h1>"),
        problem(503, "unavailable"),
        Said(408),
        Said(425),
        Said(429),
        Said(502),
        Said(504),
        Said(200, b"<html>welcome</html>"),
        Said(201, b""),
        Said(201, b"[" * 100_000),
        said(201, {"results": []}),
        said(201, {"results": [{"index": 0, "status": "recorded"}]}),
        said(201, {"results": [{"index": 0, "status": "recorded"}, {"index": 1, "status": "eaten"}]}),
        said(201, {"results": [{"index": 1, "status": "recorded"}, {"index": 0, "status": "recorded"}]}),
        said(201, ["recorded", "recorded"]),
        Said(201, b'{"results": [{"index": 0}]}', cut=True),
        Said(302, b"", {"Location": "http://127.0.0.1:1/"}),
        Said(401),
        Said(403, b"forbidden"),
        Said(404),
        Said(400, b"bad gateway of some kind"),
    ],
    ids=lambda failure: f"{failure.status}-{failure.body[:24].decode()}{'-cut' if failure.cut else ''}",
)
@pytest.mark.parametrize("play", [says, loses], ids=["before recording", "after recording"])
def test_whatever_goes_wrong_each_event_is_recorded_once(
    server: AuditServer, make: Make, waits: list[float], failure: Said, play: Callable[[Said], Any]
) -> None:
    server.plays.extend([play(failure), play(failure)])
    client = make(linger_seconds=60)
    with client.batch() as batch:
        keys = [batch.event("a.b"), batch.event("a.c")]
    assert client.flush(20)
    assert list(server.log) == keys
    assert server.actions() == ["a.b", "a.c"]
    stats = client.stats
    assert stats.sent + stats.repeated == 2
    assert stats.repeated == (2 if play is loses else 0)
    assert stats.refused == 0
    assert stats.retries == len(waits) == 2
    assert server.posts() == [2, 2, 2]


def test_a_server_that_hangs_is_left_after_the_timeout(server: AuditServer, make: Make) -> None:
    server.plays.append(loses(Said(200, hang=True)))
    client = make(timeout_seconds=0.2)
    client.event("a.b")
    assert client.flush(20)
    assert len(server.log) == 1
    assert client.stats.repeated == 1
    assert client.stats.retries == 1


def test_a_server_that_is_down_for_hours_gets_everything_when_it_is_back() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    waited: list[float] = []
    is_back = threading.Event()

    def pause(seconds: float) -> None:
        # The clock of this test: the server comes back after five hours of it.
        waited.append(seconds)
        if sum(waited) > 5 * 3600:
            is_back.wait(20)

    client = AuditKit(KEY, f"http://127.0.0.1:{port}/audit/api", pause=pause, linger_seconds=0.01)
    keys = [client.event("a.b") for _ in range(3)]
    try:
        assert not client.flush(0.05)
        while sum(waited) <= 5 * 3600:
            assert not client.flush(0.05)
        assert len(waited) > 5 * 60
        assert max(waited) <= 60
        keys += [client.event("a.c") for _ in range(3)]
        with serving(port=port) as server:
            is_back.set()
            assert client.flush(20)
            assert list(server.log) == keys
    finally:
        is_back.set()
        client.close(0)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_honoured_and_capped(server: AuditServer, make: Make, waits: list[float], form: str) -> None:
    def header(seconds: int) -> str:
        if form == "seconds":
            return str(seconds)
        return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)

    server.plays.extend(says(problem(429, "throttled", **{"Retry-After": header(s)})) for s in (50, 100_000))
    client = make(max_retry_after_seconds=900.0)
    client.event("a.b")
    assert client.flush(20)
    # A date has whole seconds, and jitter is at most retry_seconds.
    assert 48 <= waits[0] <= 50.5
    assert 900 <= waits[1] <= 900.5


def test_a_key_that_is_refused_keeps_the_events_and_is_logged_once(
    server: AuditServer, make: Make, waits: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    server.plays.extend([says(problem(401, "key_revoked", "the key was revoked"))] * 5)
    client = make()
    client.event("a.b")
    assert client.flush(20)
    assert len(server.log) == 1
    assert client.stats.retries == 5
    assert all(30 <= wait <= 60 for wait in waits)
    errors = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert len(errors) == 1
    assert "401 key_revoked: the key was revoked" in errors[0].getMessage()
    assert "Z" * 43 not in caplog.text


def test_a_batch_that_is_too_large_is_halved_and_a_single_event_refused(server: AuditServer, make: Make) -> None:
    server.most = 3
    client = make(linger_seconds=60)
    with client.batch() as batch:
        keys = [batch.event("a.b") for _ in range(10)]
    assert client.flush(10)
    assert list(server.log) == keys
    assert server.posts()[:3] == [10, 5, 2]
    server.most = 0
    refused: list[Any] = []
    client = make(on_refused=lambda event, error: refused.append((event["action"], error["code"])))
    client.event("too.large")
    assert client.flush(10)
    assert refused == [("too.large", "body_too_large")]
    assert client.stats.refused == 1


def test_a_request_that_is_refused_whole_costs_only_the_event_at_fault(server: AuditServer, make: Make) -> None:
    def play(server: AuditServer, asked: Any) -> Said | None:
        server.plays.append(play)
        return problem(422, "malformed") if any(event["action"] == "bad" for event in asked.body) else None

    server.plays.append(play)
    refused: list[str] = []
    client = make(linger_seconds=60, on_refused=lambda event, error: refused.append(event["action"]))
    with client.batch() as batch:
        for action in ("a", "b", "bad", "c", "d", "e"):
            batch.event(action)
    assert client.flush(10)
    assert server.actions() == ["a", "b", "c", "d", "e"]
    assert refused == ["bad"]


def test_events_that_are_refused_are_told_and_the_others_recorded(
    server: AuditServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse = lambda event: ("action_unknown", "action: got 'x'") if event["action"] == "x" else None
    told: list[tuple[dict[str, Any], dict[str, Any]]] = []
    client = make(linger_seconds=60, on_refused=lambda event, error: told.append((event, error)))
    with client.batch() as batch:
        batch.event("a")
        key = batch.event("x", metadata={"name": "Ada"})
        batch.event("b")
    assert client.flush(10)
    assert server.actions() == ["a", "b"]
    [(event, error)] = told
    assert event["idempotency_key"] == key
    assert event["metadata"] == {"name": "Ada"}
    assert error == {"code": "action_unknown", "detail": "action: got 'x'"}
    assert (client.stats.sent, client.stats.refused, client.stats.queued) == (2, 1, 0)
    assert f"event {key} (x) was refused: action_unknown" in caplog.text
    assert "Ada" not in caplog.text


def test_a_callback_that_raises_or_records_does_not_stop_the_sender(
    server: AuditServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    server.refuse = lambda event: ("malformed", "no") if event["action"] == "x" else None

    def callback(event: dict[str, Any], error: dict[str, Any]) -> None:
        client.event("audit.refused")
        assert client.flush(1) is False
        raise RuntimeError("of the host")

    client = make(on_refused=callback, on_full="block")
    client.event("x")
    assert client.flush(10)
    assert client.flush(10)
    client.event("y")
    assert client.flush(10)
    assert server.actions() == ["audit.refused", "y"]
    assert "on_refused raised" in caplog.text


def test_events_that_the_server_could_not_record_just_now_are_sent_again(server: AuditServer, make: Make) -> None:
    broken = 3

    def refuse(event: dict[str, Any]) -> tuple[str, str] | None:
        nonlocal broken
        if event["action"] == "y" and broken:
            broken -= 1
            return "recording", "the database is away"
        return None

    server.refuse = refuse
    client = make(linger_seconds=60)
    with client.batch() as batch:
        batch.event("x")
        batch.event("y")
    assert client.flush(10)
    assert server.actions() == ["x", "y"]
    assert client.stats.retries == 3


def test_an_event_that_the_server_can_never_record_holds_up_no_others_for_ever(server: AuditServer, make: Make) -> None:
    server.plays.extend([says(Said(503))] * 30)
    server.refuse = lambda event: ("recording", "for ever") if event["action"] == "y" else None
    refused: list[str] = []
    client = make(linger_seconds=60, on_refused=lambda event, error: refused.append(event["action"]))
    with client.batch() as batch:
        batch.event("x")
        batch.event("y")
    assert client.flush(10)
    assert (server.actions(), refused) == (["x"], ["y"])
    # The outage before is no sign of its being refused.
    assert client.stats.retries == 30 + 10


def test_a_server_that_can_record_nothing_is_waited_for(server: AuditServer, make: Make) -> None:
    left = 50

    def refuse(event: dict[str, Any]) -> tuple[str, str] | None:
        nonlocal left
        left -= 1
        return ("recording", "the database is away") if left > 0 else None

    server.refuse = refuse
    client = make()
    client.event("x")
    assert client.flush(10)
    assert server.actions() == ["x"]
    assert client.stats.refused == 0


def test_a_flush_has_a_waiting_sender_try_at_once(server: AuditServer, make: Make) -> None:
    server.plays.append(says(Said(401)))
    # It would wait for half a minute and more.
    client = make(pause=None)
    client.event("a.b")
    wait_until(lambda: client.stats.retries == 1)
    assert client.flush(20)
    assert len(server.log) == 1


def test_a_flush_does_not_hurry_a_server_that_asked_to_be_left_alone(server: AuditServer, make: Make) -> None:
    server.plays.append(says(Said(429, headers={"Retry-After": "30"})))
    client = make(pause=None)
    client.event("a.b")
    wait_until(lambda: client.stats.retries == 1)
    assert client.flush(0.1) is False
    assert len(server.asked) == 1


def test_a_batch_that_raises_sends_nothing(server: AuditServer, make: Make) -> None:
    client = make()
    with pytest.raises(KeyError), client.batch() as batch:
        batch.event("a.b")
        raise KeyError
    batch = client.batch()
    assert batch.event("a.c", idempotency_key="k1") == "k1"
    assert len(batch) == 1
    assert batch.commit() == ["k1"]
    assert batch.commit() == []
    assert client.flush(10)
    assert list(server.log) == ["k1"]


@pytest.fixture
def stuck(server: AuditServer) -> AuditServer:
    """A server that takes nothing until its ``ended``."""
    server.plays.extend([says(Said(500, hang=True))] * 20)
    return server


@pytest.mark.parametrize("limit", [{"max_events": 5}, {"max_bytes": 700}], ids=["events", "bytes"])
def test_a_full_queue_raises_and_takes_nothing(stuck: AuditServer, make: Make, limit: dict[str, int]) -> None:
    client = make(**limit)
    with pytest.raises(QueueFullError, match=r"there is no room: \d events of \d+ bytes wait, wanted at most"):
        for _ in range(20):
            client.event("a.b")
    queued = client.stats.queued
    assert 0 < queued <= 5
    with pytest.raises(QueueFullError), client.batch() as batch:
        for _ in range(6):
            batch.event("a.b")
    assert client.stats.queued == queued


def test_a_full_queue_drops_and_counts(stuck: AuditServer, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    client = make(max_events=5, on_full="drop")
    for _ in range(12):
        assert client.event("a.b")
    assert client.stats.dropped == 7
    assert client.stats.queued == 5
    assert caplog.text.count("dropped so far") == 1


def test_a_full_queue_blocks_until_there_is_room(server: AuditServer, make: Make) -> None:
    gate = threading.Event()

    def wait(server: AuditServer, asked: Any) -> None:
        gate.wait(20)

    server.plays.append(wait)
    client = make(max_events=5, on_full="block", block_seconds=20)
    for _ in range(5):
        client.event("a.b")
    threading.Timer(0.1, gate.set).start()
    client.event("a.c")
    assert gate.is_set()
    assert client.flush(10)
    assert len(server.log) == 6


def test_blocking_ends_with_an_error(stuck: AuditServer, make: Make) -> None:
    client = make(max_events=2, on_full="block", block_seconds=0.05)
    client.event("a.b")
    client.event("a.b")
    with pytest.raises(QueueFullError):
        client.event("a.b")


def test_no_thread_runs_before_the_first_event(make: Make) -> None:
    before = threading.active_count()
    client = make()
    assert client.flush(1)
    assert threading.active_count() == before
    client.event("a.b")
    assert client.flush(10)
    assert client.close()
    assert not any(thread.name == "auditkit-client" for thread in threading.enumerate())


def test_a_closed_client_takes_no_more(server: AuditServer, make: Make) -> None:
    with make() as client:
        client.event("a.b")
    assert len(server.log) == 1
    with pytest.raises(ClosedError):
        client.event("a.b")
    with pytest.raises(ClosedError):
        client.list()
    assert client.close()


def test_what_a_closed_client_could_not_send_is_said(
    stuck: AuditServer, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    client = make()
    client.event("a.b")
    client.event("a.c")
    assert client.close(0.05) is False
    assert "2 events were not sent before the client was closed: they are lost" in caplog.text


def test_threads_share_a_client(server: AuditServer, make: Make) -> None:
    client = make(batch_events=50)
    threads = [threading.Thread(target=lambda: [client.event("a.b") for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert client.flush(20)
    assert len(server.log) == 800
    assert client.stats.sent == 800


def test_an_answer_is_judged_by_its_content() -> None:
    def of(status: int, value: object, **options: Any) -> Any:
        return judge(Answer(status=status, body=json.dumps(value).encode()), 1, now=NOW, **options)

    recorded = {"results": [{"index": 0, "status": "recorded"}]}
    assert of(201, recorded) == Delivered(recorded=1, repeated=0)
    assert isinstance(of(500, recorded), Again)
    assert isinstance(of(400, {"code": "malformed"}), Unfit)
    assert of(400, {"code": "key_in_query"}).is_slow
    assert of(415, {}).is_slow
    assert not of(503, {}).is_slow
    passing = {"results": [{"index": 0, "status": "refused", "code": "recording"}]}
    assert isinstance(of(422, passing), Again)
    assert isinstance(of(422, passing, is_patient=False), Again)
    mixed = json.dumps({"results": [{"status": "recorded"}, {"status": "refused", "code": "recording"}]}).encode()
    assert judge(Answer(status=207, body=mixed), 2, now=NOW) == Again(
        reason="1 of 2 events were not recorded: recording", is_partial=True
    )
    found = judge(Answer(status=207, body=mixed), 2, now=NOW, is_patient=False)
    assert isinstance(found, Delivered)
    assert found.refusals[1]["code"] == "recording"


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Fri, 02 Jan 2026 03:04:35 GMT", 30.0),
        ("Thu, 01 Jan 2026 00:00:00 GMT", 0.0),
        ("-5", None),
        ("soon", None),
        ("", None),
        (None, None),
        ("9" * 400, 999999999.0),
        ("²", None),
        ("Fri, 99 Jan 2026 03:04:35 GMT", None),
        ("Fri, 02 Jan 99999999999999999999 03:04:35 GMT", None),
    ],
)
def test_retry_after_has_two_forms(header: str | None, seconds: float | None) -> None:
    assert seconds_after(header, now=NOW) == seconds


def test_the_pace_doubles_up_to_a_limit_and_jitters_down_to_nothing() -> None:
    asked: list[tuple[float, float]] = []

    def uniform(low: float, high: float) -> float:
        asked.append((low, high))
        return high

    pace = Pace(first_seconds=0.5, max_seconds=60, max_asked_seconds=100, uniform=uniform)
    assert [pace.after(Again(reason="x")) for _ in range(9)] == [0.5, 1, 2, 4, 8, 16, 32, 60, 60]
    assert {low for low, _ in asked} == {0}
    assert [pace.after(Again(reason="x")) for _ in range(2000)][-1] == 60
    assert pace.after(Again(reason="x", is_slow=True)) == 60
    assert pace.after(Again(reason="x", after_seconds=1e9)) == 100.5
    pace.reset()
    assert pace.after(Again(reason="x")) == 0.5
