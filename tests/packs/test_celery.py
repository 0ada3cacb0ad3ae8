"""Celery: who enqueued a task acts in it, with real workers: in threads of this process, and as a process of its own."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from celery import Celery, chain, chord, group, signals
from celery.app.trace import trace_task
from celery.beat import Scheduler
from celery.contrib.testing.worker import start_worker
from celery.worker import state
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import path
from kombu import Exchange, Queue

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import AsyncClient, Client

    from tests.host.models import Organization

# The worker process of the last test imports this module as its application, before there are models.
ROOT = Path(__file__).parents[2]
HEADER = "auditkit_context"
BROKER = os.environ.get("AUDITKIT_TEST_BROKER", "")

app = Celery("auditkit_tests", set_as_current=False)
app.conf.update(
    broker_url="filesystem://" if BROKER else "memory://",
    broker_transport_options={
        "data_folder_in": BROKER,
        "data_folder_out": BROKER,
        "control_folder": BROKER,
        "polling_interval": 0.05,
    }
    if BROKER
    else {"polling_interval": 0.01},
    result_backend=None if BROKER else "cache+memory://",
    task_queues=[Queue("auditkit", Exchange("auditkit"), routing_key="auditkit")],
    task_default_queue="auditkit",
    task_default_exchange="auditkit",
    task_default_routing_key="auditkit",
    worker_hijack_root_logger=False,
    worker_enable_remote_control=False,
    broker_connection_retry_on_startup=False,
)


@app.task(name="host.act")
def act(**fields: Any) -> None:
    from auditkit_django import auditlog

    auditlog.event("org.updated", **fields)


@app.task(name="host.fail")
def fail() -> None:
    from django.db import transaction

    from auditkit_django import auditlog

    with transaction.atomic():
        auditlog.event("org.updated", outcome="denied", tenant="acme")
        raise PermissionDenied("no")


@app.task(name="host.again", bind=True, max_retries=1)
def again(self: Any) -> None:
    from auditkit_django import auditlog

    auditlog.event("org.updated", metadata={"retries": self.request.retries})
    if not self.request.retries:
        raise self.retry(countdown=0)


@app.task(name="host.leave_open")
def leave_open() -> None:
    """Enters a context and, by a mistake of the host's, never leaves it."""
    from django.db import transaction

    from auditkit_django import auditlog
    from auditkit_django.recording.coercion import actor_from
    from auditkit_django.recording.context import Context, enter

    enter(Context(actor=actor_from("user:mallory"), tenant="globex"))
    with contextlib.suppress(PermissionDenied), transaction.atomic():
        auditlog.event("org.updated", outcome="denied")
        raise PermissionDenied("no")


@app.task(name="host.subtask")
def subtask() -> None:
    act.delay()


@app.task(name="host.explicit")
def explicit() -> None:
    from auditkit_django import auditlog

    auditlog.event("org.updated", actor="service:mailer", tenant="acme")


@app.task(name="host.after_failure")
def after_failure(failed_id: str) -> None:
    from auditkit_django import auditlog

    auditlog.event("org.updated", metadata={"after": failed_id})


def enqueue(request: HttpRequest, org: str = "") -> HttpResponse:
    """Enqueues the task that the query names, in the way it names."""
    from django.db import transaction

    from auditkit_django import auditlog

    task, way = app.tasks[request.GET.get("task", "host.act")], request.GET.get("way", "now")
    if way == "impersonating":
        with auditlog.context(on_behalf_of="user:99"):
            task.delay()
    elif way == "on_commit":
        with transaction.atomic():
            transaction.on_commit(task.delay)
    elif way == "by name":
        app.send_task(task.name)
    elif way == "eager":
        auditlog.event("org.updated", metadata={"where": "before"})
        task.apply()
        auditlog.event("org.updated", metadata={"where": "after"})
    elif way == "rolled back":
        with contextlib.suppress(LookupError), transaction.atomic():
            task.delay()
            raise LookupError("for another reason")
    else:
        task.delay(**({"tenant": request.GET["tenant"]} if "tenant" in request.GET else {}))
    return HttpResponse("enqueued")


async def aenqueue(request: HttpRequest, org: str) -> HttpResponse:
    """Enqueues a task in the event loop, before anything asked for the user."""
    act.delay()
    return HttpResponse("enqueued")


urlpatterns = [
    path("enqueue/", enqueue),
    path("o/<slug:org>/enqueue/", enqueue),
    path("o/<slug:org>/aenqueue/", aenqueue),
]
pytestmark = pytest.mark.urls(__name__)


class Runs:
    """Tells when a run is over: after its end is told of, and not just when its result is known."""

    def __init__(self) -> None:
        self._over: queue.Queue[str] = queue.Queue()

    def __call__(self, *, task: Any, **_: object) -> None:
        self._over.put(task.name)

    def wait(self, *names: str) -> None:
        """Wait until runs of the tasks ``names`` are over, in whatever order."""
        assert sorted(self._over.get(timeout=10) for _ in names) == sorted(names)


@pytest.fixture(scope="module", params=["solo", "threads"])
def worker(request: pytest.FixtureRequest) -> Iterator[Runs]:
    """A worker in a thread of this process, which runs tasks one by one or in threads of its own."""
    runs = Runs()
    # One thread: what a task leaves behind meets the next one.
    with start_worker(app, pool=request.param, concurrency=1, perform_ping_check=False, loglevel="ERROR"):
        signals.task_postrun.connect(runs, weak=False, dispatch_uid="tests.runs")
        yield runs
        signals.task_postrun.disconnect(dispatch_uid="tests.runs")


@pytest.fixture
def runs(worker: Runs, transactional_db: None) -> Runs:
    return worker


Read = Callable[..., list[dict[str, Any]]]


def told(recorded: Read) -> dict[str, Any]:
    """The one event of the task."""
    (event,) = recorded(only="org.updated")
    return event


@pytest.mark.parametrize("way", ["now", "on_commit", "by name"])
def test_who_enqueues_a_task_in_a_request_acts_in_it(
    runs: Runs, ada: User, acme: Organization, client: Client, recorded: Read, way: str
) -> None:
    client.force_login(ada)
    client.get("/o/acme/enqueue/", {"way": way}, headers={"x-request-id": "req-17"}, REMOTE_ADDR="203.0.113.9")
    runs.wait("host.act")
    event = told(recorded)
    assert event["tenant"] == str(acme.pk)
    assert event["actor"] == {"type": "user", "id": str(ada.pk), "name": "Ada Lovelace", "email": "ada@example.org"}
    assert "on_behalf_of" not in event
    assert len(event["context"].pop("task_id")) == 36
    assert event["context"] == {"source": "task", "task": "host.act", "request_id": "req-17", "ip": "203.0.113.9"}


def test_who_enqueues_a_task_in_the_event_loop_acts_in_it(
    runs: Runs, ada: User, acme: Organization, async_client: AsyncClient, recorded: Read
) -> None:
    async_client.force_login(ada)
    async_to_sync(async_client.get)("/o/acme/aenqueue/")
    runs.wait("host.act")
    event = told(recorded)
    assert (event["tenant"], event["actor"]["id"]) == (str(acme.pk), str(ada.pk))


def test_on_whose_behalf_travels_too(runs: Runs, ada: User, client: Client, recorded: Read) -> None:
    client.force_login(ada)
    client.get("/o/acme/enqueue/", {"way": "impersonating"})
    runs.wait("host.act")
    event = told(recorded)
    assert (event["actor"]["id"], event["on_behalf_of"]) == (str(ada.pk), {"type": "user", "id": "99"})


def test_a_context_of_a_command_travels_like_a_request(runs: Runs, recorded: Read) -> None:
    from auditkit_django import auditlog

    with auditlog.context(actor="service:importer", tenant="acme", source="command", request_id="run-1", file="a.csv"):
        act.delay()
    runs.wait("host.act")
    event = told(recorded)
    assert (event["actor"], event["tenant"]) == ({"type": "service", "id": "importer"}, "acme")
    assert event["context"]["source"] == "task"
    assert event["context"]["request_id"] == "run-1"
    assert "file" not in event["context"]


def test_explicit_arguments_in_the_task_win(runs: Runs, recorded: Read) -> None:
    from auditkit_django import auditlog

    with auditlog.context(actor="user:1", tenant="acme", on_behalf_of="user:2"):
        act.delay(actor="service:mailer", tenant="globex", on_behalf_of="user:3")
    runs.wait("host.act")
    event = told(recorded)
    assert (event["actor"]["id"], event["tenant"], event["on_behalf_of"]["id"]) == ("mailer", "globex", "3")


def test_the_next_task_of_the_worker_has_nothing_of_the_one_before(runs: Runs, recorded: Read) -> None:
    from auditkit_django import auditlog

    with auditlog.context(actor="user:1", tenant="acme", on_behalf_of="user:2", request_id="req-17"):
        for task in (act, fail, again, leave_open):
            task.delay()
    runs.wait("host.act", "host.fail", "host.again", "host.again", "host.leave_open")
    act.delay(tenant="system", metadata={"which": "the next"})
    act.delay(metadata={"which": "one without a tenant, which is an error"})
    runs.wait("host.act", "host.act")
    event = recorded(only="org.updated")[-1]
    assert event["metadata"] == {"which": "the next"}
    assert event["actor"] == {"type": "system"}
    assert "on_behalf_of" not in event
    assert event["context"].keys() == {"source", "task", "task_id"}


def test_what_is_around_a_worker_is_not_of_its_tasks(db: None, recorded: Read) -> None:
    from auditkit_django import auditlog
    from auditkit_django.recording.context import current

    with auditlog.context(actor="user:9", on_behalf_of="user:8", request_id="req-9") as around:
        trace_task(act, "17", [], {"tenant": "acme"}, {"id": "17", "delivery_info": {}}, app=app)
        assert current() is around
    event = told(recorded)
    assert event["actor"] == {"type": "system"}
    assert "on_behalf_of" not in event
    assert event["context"] == {"source": "task", "task": "host.act", "task_id": "17"}


def test_a_run_that_was_never_ended_is_ended_by_the_next(db: None, recorded: Read) -> None:
    from django.db import transaction

    from auditkit_django import auditlog
    from auditkit_django.recording.context import current

    signals.task_prerun.send(sender=act, task_id="16", task=act, args=[], kwargs={})
    with contextlib.suppress(PermissionDenied), transaction.atomic():
        auditlog.event("org.updated", outcome="denied", tenant="acme")
        raise PermissionDenied("no")
    trace_task(act, "17", [], {"tenant": "acme"}, {"id": "17", "delivery_info": {}}, app=app)
    assert current() is None
    assert [event["context"]["task_id"] for event in recorded(only="org.updated")] == ["16", "17"]


def test_a_denial_survives_the_rollback_of_its_task(runs: Runs, recorded: Read) -> None:
    from auditkit_django import auditlog

    with auditlog.context(actor="user:1"):
        fail.delay()
    runs.wait("host.fail")
    event = told(recorded)
    assert (event["outcome"], event["tenant"], event["actor"]["id"]) == ("denied", "acme", "1")
    assert event["context"]["task"] == "host.fail"


def test_a_denial_in_a_context_that_the_task_left_open_survives_too(runs: Runs, recorded: Read) -> None:
    leave_open.delay()
    runs.wait("host.leave_open")
    event = told(recorded)
    assert (event["outcome"], event["tenant"], event["actor"]["id"]) == ("denied", "globex", "mallory")


def test_a_retry_has_the_context_of_the_first_try(runs: Runs, recorded: Read) -> None:
    from auditkit_django import auditlog

    with auditlog.context(actor="user:1", tenant="acme", request_id="req-17"):
        again.delay()
    runs.wait("host.again", "host.again")
    events = recorded(only="org.updated")
    assert [event["metadata"]["retries"] for event in events] == [0, 1]
    assert {event["actor"]["id"] for event in events} == {"1"}
    assert {event["context"]["request_id"] for event in events} == {"req-17"}


@pytest.mark.parametrize(
    ("canvas", "names"),
    [
        pytest.param(lambda: subtask.si(), ("host.subtask", "host.act"), id="a task of a task"),
        pytest.param(lambda: chain(act.si(), act.si(), act.si()), ("host.act",) * 3, id="chain"),
        pytest.param(lambda: group(act.si(), act.si()), ("host.act",) * 2, id="group"),
        pytest.param(lambda: chord([act.si(), act.si()], act.si()), ("host.act",) * 3, id="chord"),
        pytest.param(lambda: act.si().set(link=act.si()), ("host.act",) * 2, id="link"),
        pytest.param(
            lambda: fail.si().set(link_error=after_failure.s()), ("host.fail", "host.after_failure"), id="link_error"
        ),
    ],
)
def test_the_context_goes_on_to_further_tasks(
    runs: Runs, recorded: Read, canvas: Callable[[], Any], names: tuple[str, ...]
) -> None:
    from auditkit_django import auditlog

    with auditlog.context(actor="user:1", tenant="acme", request_id="req-17"):
        canvas().apply_async()
    runs.wait(*names)
    events = recorded(only="org.updated")
    assert len(events) == len([name for name in names if name != "host.subtask"])
    assert {(event["actor"]["id"], event["context"]["request_id"]) for event in events} == {("1", "req-17")}


@pytest.mark.parametrize("protocol", [1, 2])
def test_it_travels_in_messages_of_either_protocol(
    runs: Runs, recorded: Read, monkeypatch: pytest.MonkeyPatch, protocol: int
) -> None:
    from auditkit_django import auditlog

    monkeypatch.setattr(app.amqp, "create_task_message", app.amqp.task_protocols[protocol])
    with auditlog.context(actor="user:1", tenant="acme"):
        act.delay()
    runs.wait("host.act")
    assert told(recorded)["actor"]["id"] == "1"


def test_in_a_scheduled_task_the_system_acts(runs: Runs, recorded: Read) -> None:
    scheduler = Scheduler(app, lazy=True)
    entry = scheduler.Entry("nightly", act.name, schedule=timedelta(days=1), kwargs={"tenant": "acme"}, app=app)
    scheduler.apply_async(entry, producer=None, advance=False)
    runs.wait("host.act")
    event = told(recorded)
    assert event["actor"] == {"type": "system"}
    assert event["context"].keys() == {"source", "task", "task_id"}


def test_a_revoked_task_leaves_no_context(runs: Runs, recorded: Read) -> None:
    from auditkit_django import auditlog

    state.revoked.add("revoked")
    with auditlog.context(actor="user:1", tenant="globex", request_id="req-17"):
        act.apply_async(task_id="revoked")
    act.delay(tenant="acme")
    runs.wait("host.act")
    event = told(recorded)
    assert (event["tenant"], event["actor"]) == ("acme", {"type": "system"})


def test_an_eager_task_neither_loses_nor_doubles_the_context_of_its_request(
    ada: User, acme: Organization, client: Client, recorded: Read
) -> None:
    client.force_login(ada)
    client.get("/o/acme/enqueue/", {"way": "eager"}, headers={"x-request-id": "req-17"})
    before, within, after = recorded(only="org.updated")
    assert {event["tenant"] for event in (before, within, after)} == {str(acme.pk)}
    assert {event["actor"]["id"] for event in (before, within, after)} == {str(ada.pk)}
    assert {event["context"]["request_id"] for event in (before, within, after)} == {"req-17"}
    assert (within["context"]["source"], within["context"]["task"]) == ("task", "host.act")
    assert before["context"] == after["context"]
    assert before["context"]["source"] == "web"
    assert "task" not in after["context"]


@pytest.fixture
def always_eager() -> Iterator[None]:
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


def test_a_denial_in_an_eager_task_survives_the_rollback_around_it(
    always_eager: None, ada: User, client: Client, recorded: Read
) -> None:
    client.force_login(ada)
    client.get("/o/acme/enqueue/", {"task": "host.fail", "way": "rolled back"})
    event = told(recorded)
    assert (event["outcome"], event["actor"]["id"], event["context"]["task"]) == ("denied", str(ada.pk), "host.fail")


def publish(task_id: str, header: object) -> None:
    """What somebody does who can write to the broker: a message past everything that the sender's side does."""
    message = app.amqp.as_task_v2(task_id, act.name, kwargs={"tenant": "acme"})
    headers = message.headers if header is None else {**message.headers, HEADER: header}
    with app.producer_or_acquire() as producer:
        producer.publish(message.body, headers=headers, routing_key="auditkit", exchange="auditkit", serializer="json")


def ticket(task_id: str, *, task: str = "host.act", key: str | None = None) -> str:
    from django.test import override_settings

    from auditkit_django import auditlog
    from auditkit_django.hooks.packs.celery import _bound_to
    from auditkit_django.recording.travelling import issue_ticket

    with auditlog.context(actor="user:1"), override_settings(**({} if key is None else {"SECRET_KEY": key})):
        return issue_ticket(bound_to=_bound_to(task, task_id)) or ""


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda: json.dumps({"actor": {"type": "user", "id": "1"}}), id="not signed"),
        pytest.param(lambda: ticket("17", key="a key of the forger"), id="signed with another key"),
        pytest.param(lambda: ticket("18"), id="of another message"),
        pytest.param(lambda: ticket("17", task="host.fail"), id="of another task"),
        pytest.param(lambda: ticket("17")[:-1], id="damaged"),
        pytest.param(lambda: "x" * 100_000, id="large"),
        pytest.param(lambda: {"actor": ["user"]}, id="not text"),
    ],
)
def test_a_forged_header_is_ignored_with_a_line_in_the_log(
    runs: Runs, recorded: Read, caplog: pytest.LogCaptureFixture, forge: Callable[[], object]
) -> None:
    # A worker sets the level of the root logger.
    caplog.set_level("WARNING", "auditkit_django")
    publish("17", forge())
    runs.wait("host.act")
    assert told(recorded)["actor"] == {"type": "system"}
    (line,) = [record.getMessage() for record in caplog.records if record.name == "auditkit_django"]
    assert line.startswith("auditkit: the context that came with host.act is ignored: ")
    assert len(line) < 120


def test_a_genuine_header_is_believed(runs: Runs, recorded: Read) -> None:
    publish("17", ticket("17"))
    runs.wait("host.act")
    assert told(recorded)["actor"] == {"type": "user", "id": "1"}


def test_where_who_enqueues_cannot_be_told_nobody_is_made_up(
    runs: Runs, ada: User, client: Client, recorded: Read, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    client.force_login(ada)
    settings.AUDITKIT = {**settings.AUDITKIT, "ACTOR_RESOLVER": broken_resolver}
    client.get("/o/acme/enqueue/")
    client.get("/o/acme/enqueue/", {"tenant": "acme"})
    client.get("/o/acme/enqueue/", {"task": "host.explicit"})
    runs.wait("host.act", "host.act", "host.explicit")
    assert told(recorded)["actor"] == {"type": "service", "id": "mailer"}
    assert "who enqueues host.act:" in caplog.text
    for missing in ("tenant", "actor"):
        assert f"{missing}: unknown, because of LookupError where this task was enqueued" in caplog.text


def test_where_failures_are_logged_an_event_without_its_actor_is_counted_as_lost(
    runs: Runs, ada: User, client: Client, recorded: Read, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditkit_django.recording import losses

    monkeypatch.setattr(losses, "LOSSES", losses.Losses())
    client.force_login(ada)
    settings.AUDITKIT = {**settings.AUDITKIT, "ACTOR_RESOLVER": broken_resolver, "ON_ERROR": "log"}
    client.get("/o/acme/enqueue/")
    runs.wait("host.act")
    assert recorded(only="org.updated") == []
    assert losses.LOSSES.count == 1


def broken_resolver(request: HttpRequest) -> object:
    raise LookupError("the directory of users is down")


def test_the_header_has_no_secret_and_is_bounded(
    db: None, make_user: Callable[..., User], client: Client, published: list[dict[str, Any]], recorded: Read
) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    user = make_user("eve", first_name="\N{GRINNING FACE}" * 150, last_name=key)
    client.force_login(user)
    client.get("/enqueue/?token=hunter2", headers={"authorization": "Bearer hunter2", "user-agent": "hunter2"})
    header = published[0][HEADER]
    for secret in (key, "hunter2", client.cookies["sessionid"].value, user.password):
        assert secret not in header
    assert len(header.encode()) <= 8 * 1024
    stated = json.loads(header.rpartition(":")[0])
    assert stated.keys() == {"actor", "request_id", "ip"}
    assert stated["actor"].keys() == {"type", "id", "name", "email"}
    assert len(stated["actor"]["name"]) <= 200


def test_text_that_no_broker_could_take_is_repaired() -> None:
    from auditkit_django import auditlog
    from auditkit_django.drafts import Actor
    from auditkit_django.recording.travelling import issue_ticket

    with auditlog.context(actor=Actor("user", "1", "Ada\0\ud800")):
        issued = issue_ticket(bound_to="host.act:17")
    assert issued is not None
    assert json.loads(issued.encode().decode().rpartition(":")[0])["actor"]["name"] == "Ada\ufffd\ufffd"


@pytest.mark.parametrize("oversize", ["truncate", "reject"])
def test_the_largest_header_is_within_its_bound(settings: Any, oversize: str) -> None:
    from auditkit_django import auditlog
    from auditkit_django.drafts import Actor
    from auditkit_django.recording.travelling import MAX_TEXT, issue_ticket

    # What is to be rejected is an event, and nothing that is enqueued.
    settings.AUDITKIT = {**settings.AUDITKIT, "OVERSIZE": oversize}
    widest = "\N{GRINNING FACE}"
    actor = Actor(widest * 64, widest * 128, "\x01" * 1000, "\x01" * 1000)
    with auditlog.context(
        actor=actor, on_behalf_of=actor, tenant=widest * 128, request_id=widest * 128, ip=widest * 128
    ):
        issued = issue_ticket(bound_to="host.act:17")
    assert issued is not None
    assert 4096 < len(issued.encode()) <= MAX_TEXT


def test_without_a_context_nothing_is_in_a_message(published: list[dict[str, Any]]) -> None:
    act.delay()
    act.apply_async(headers={HEADER: "that of another task, passed on"})
    assert [HEADER in headers for headers in published] == [False, False]


@pytest.fixture
def published() -> Iterator[list[dict[str, Any]]]:
    """The headers of what is published meanwhile; nobody runs it."""
    found: list[dict[str, Any]] = []

    def keep(*, headers: dict[str, Any], **_: object) -> None:
        found.append(dict(headers))

    signals.after_task_publish.connect(keep, weak=False, dispatch_uid="tests.published")
    yield found
    signals.after_task_publish.disconnect(dispatch_uid="tests.published")
    with app.connection_for_write() as connection:
        connection.default_channel.queue_purge("auditkit")


@pytest.mark.processes
def test_it_travels_into_the_process_of_a_worker(tmp_path: Path) -> None:
    from auditkit_django import auditlog

    folder, file = tmp_path / "broker", tmp_path / "worker.sqlite3"
    folder.mkdir()
    environment = os.environ | {
        "AUDITKIT_TEST_BROKER": str(folder),
        "AUDITKIT_TEST_SQLITE": str(file),
        "AUDITKIT_TEST_DB": "sqlite",
        "DJANGO_SETTINGS_MODULE": "tests.packs.settings",
        "CELERY_SKIP_CHECKS": "1",
    }
    migrate = [sys.executable, "-m", "django", "migrate", "auditkit_django", "-v0", "--skip-checks"]
    subprocess.run(migrate, cwd=ROOT, env=environment, check=True)
    options = dict.fromkeys(("data_folder_in", "data_folder_out", "control_folder"), str(folder))
    with (
        app.connection_for_write("filesystem://", transport_options=options) as connection,
        worker_process(environment),
    ):
        with auditlog.context(actor="user:1", tenant="acme", request_id="req-17"):
            act.apply_async(connection=connection)
            fail.apply_async(connection=connection)
        first, second = events_in(file, wanted=2)
        # The only process in the pool, after a failure: nothing is left of it.
        act.apply_async(connection=connection, kwargs={"tenant": "system"})
        last = events_in(file, wanted=3)[-1]
    assert {event["context"]["task"] for event in (first, second)} == {"host.act", "host.fail"}
    assert [event["actor"]["id"] for event in (first, second)] == ["1", "1"]
    assert [event["context"]["request_id"] for event in (first, second)] == ["req-17", "req-17"]
    assert last["actor"] == {"type": "system"}
    assert last["context"].keys() == {"source", "task", "task_id"}


@contextmanager
def worker_process(environment: dict[str, str]) -> Iterator[None]:
    """``celery worker`` with one process in its pool."""
    command = [sys.executable, "-m", "celery", "-A", f"{__name__}:app", "worker", "-P", "prefork", "-c", "1"]
    flags = ["--without-gossip", "--without-mingle", "--without-heartbeat", "-l", "ERROR"]
    worker = subprocess.Popen([*command, *flags], cwd=ROOT, env=environment, start_new_session=True)
    try:
        yield
    finally:
        # At once and with its pool: an orderly shutdown takes seconds.
        os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()


def events_in(file: Path, *, wanted: int) -> list[dict[str, Any]]:
    """What is disclosed of the events in the database ``file``, as soon as there are ``wanted``."""
    query = "SELECT disclosures FROM auditkit_django_event WHERE action = 'org.updated' ORDER BY recorded_at"
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with contextlib.closing(sqlite3.connect(file, timeout=5)) as connection:
            rows = connection.execute(query).fetchall()
        if len(rows) >= wanted:
            return [{name: value for _, name, value in json.loads(text).values()} for (text,) in rows]
        time.sleep(0.1)
    raise AssertionError(f"got {len(rows)} events within 20 seconds, wanted {wanted}")
