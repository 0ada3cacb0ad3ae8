"""Tasks of Django: who enqueues one acts in it, at once or (where the backend carries the context) in another process."""

from __future__ import annotations

import contextvars
import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import django
import pytest

pytest.importorskip("django.tasks", reason="django.tasks came with Django 6.0")

from asgiref.sync import async_to_sync
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.tasks import Task, TaskContext, TaskResult, TaskResultStatus, task, task_backends
from django.tasks.backends.dummy import DummyBackend
from django.tasks.signals import task_finished, task_started
from django.urls import path
from django.utils.module_loading import import_string

from auditkit_django import auditlog
from auditkit_django.hooks.packs.tasks import ARGUMENT, CarriesContext, ContextTask
from auditkit_django.recording.context import current

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import AsyncClient, Client

    from tests.host.models import Organization

ROOT = Path(__file__).parents[2]


@task
def act(**fields: Any) -> None:
    auditlog.event("org.updated", **fields)


@task
def fail() -> None:
    with transaction.atomic():
        auditlog.event("org.updated", outcome="denied", tenant="acme")
        raise PermissionDenied("no")


@task
def nested() -> None:
    act.enqueue()
    auditlog.event("org.updated")


def act_afar(**fields: Any) -> None:
    """Made a task by the fixture ``afar``."""
    auditlog.event("org.updated", **fields)


def fail_afar() -> None:
    """Made a task by the fixture ``afar``."""
    fail.func()


def act_knowingly(context: TaskContext, **fields: Any) -> None:
    """Made a task by the fixture ``afar``."""
    auditlog.event("org.updated", metadata={"attempt": context.attempt}, **fields)


async def act_async(**fields: Any) -> None:
    """Made a task by the fixture ``afar``."""
    await auditlog.aevent("org.updated", **fields)


class OwnTask(Task):
    """A backend's own class of tasks."""

    def call(self, *args: Any, **kwargs: Any) -> Any:
        super().call(*args, **kwargs)
        return "from its own class"


class Kept(CarriesContext, DummyBackend):
    """A backend that keeps tasks for a worker, made to carry the context."""


class OwnBackend(DummyBackend):
    task_class = OwnTask


class KeptOwn(CarriesContext, OwnBackend):
    """The same of a backend with its own class of tasks."""


def enqueue(request: HttpRequest, org: str) -> HttpResponse:
    """Enqueues a task alone, or between two events."""
    is_alone = request.GET.get("way") == "alone"
    if not is_alone:
        auditlog.event("org.updated")
    import_string(f"{__name__}.{request.GET.get('task', 'act')}").enqueue()
    if not is_alone:
        auditlog.event("org.updated")
    return HttpResponse("enqueued")


async def aenqueue(request: HttpRequest, org: str) -> HttpResponse:
    await import_string(f"{__name__}.{request.GET.get('task', 'act')}").aenqueue()
    return HttpResponse("enqueued")


urlpatterns = [path("o/<slug:org>/enqueue/", enqueue), path("o/<slug:org>/aenqueue/", aenqueue)]
pytestmark = [pytest.mark.urls(__name__), pytest.mark.django_db]

Read = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def afar(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends whose tasks are run by :func:`work`; the functions above are tasks of one of them."""
    names = {"kept": "Kept", "kept_own": "KeptOwn"}
    settings.TASKS = {
        **settings.TASKS,
        **{alias: {"BACKEND": f"{__name__}.{name}"} for alias, name in names.items()},
        "plain": {"BACKEND": "django.tasks.backends.dummy.DummyBackend"},
    }
    module = sys.modules[__name__]
    for function in (act_afar, fail_afar, act_async):
        monkeypatch.setattr(module, function.__name__, task(backend="kept")(function))
    monkeypatch.setattr(module, "act_knowingly", task(backend="kept", takes_context=True)(act_knowingly))


def work(alias: str = "kept", *, finishes: bool = True) -> None:
    """Run what is kept as the worker of another process would: from JSON, in nobody's context."""
    kept, task_backends[alias].results = task_backends[alias].results, []
    for result in kept:
        text = json.dumps([result.task.module_path, result.id, result.args, result.kwargs])
        contextvars.Context().run(run_one, alias, *json.loads(text), finishes=finishes)


def run_one(alias: str, name: str, task_id: str, args: list[Any], kwargs: dict[str, Any], *, finishes: bool) -> None:
    """One run, in the order of Django's own backend."""
    kept = import_string(name).using(backend=alias)
    times = dict.fromkeys(("enqueued_at", "started_at", "finished_at", "last_attempted_at"))
    status = TaskResultStatus.RUNNING
    result = TaskResult(
        task=kept,
        id=task_id,
        status=status,
        args=args,
        kwargs=kwargs,
        backend=alias,
        errors=[],
        worker_ids=["1"],
        **times,
    )
    # Some send the backend and some its class.
    task_started.send(task_backends[alias], task_result=result)
    with suppress(PermissionDenied):
        kept.call(*([TaskContext(task_result=result)] if kept.takes_context else []), *args, **kwargs)
    if finishes:
        task_finished.send(type(task_backends[alias]), task_result=result)
        assert current() is None


def told(recorded: Read) -> dict[str, Any]:
    """The one event of the task."""
    (event,) = recorded(only="org.updated")
    return event


def test_a_task_run_at_once_neither_loses_nor_doubles_the_context_of_its_request(
    ada: User, acme: Organization, client: Client, recorded: Read
) -> None:
    client.force_login(ada)
    client.get("/o/acme/enqueue/", headers={"x-request-id": "req-17"})
    before, within, after = recorded(only="org.updated")
    assert {event["tenant"] for event in (before, within, after)} == {str(acme.pk)}
    assert {event["actor"]["id"] for event in (before, within, after)} == {str(ada.pk)}
    assert {event["context"]["request_id"] for event in (before, within, after)} == {"req-17"}
    assert (within["context"]["source"], within["context"]["task"]) == ("task", f"{__name__}.act")
    assert len(within["context"]["task_id"]) == 32
    assert before["context"] == after["context"]
    assert before["context"]["source"] == "web"


def test_a_task_of_a_task_has_its_own_name(recorded: Read) -> None:
    with auditlog.context(actor="user:1", tenant="acme"):
        nested.enqueue()
    inner, outer = recorded(only="org.updated")
    assert (inner["context"]["task"], outer["context"]["task"]) == (f"{__name__}.act", f"{__name__}.nested")
    assert inner["actor"] == outer["actor"] == {"type": "user", "id": "1"}


def test_explicit_arguments_in_the_task_win(recorded: Read) -> None:
    with auditlog.context(actor="user:1", tenant="acme", on_behalf_of="user:2"):
        act.enqueue(actor="service:mailer", tenant="globex", on_behalf_of="user:3")
    event = told(recorded)
    assert (event["actor"]["id"], event["tenant"], event["on_behalf_of"]["id"]) == ("mailer", "globex", "3")


def test_a_failed_task_leaves_no_context_and_its_denial_survives_the_rollback(recorded: Read) -> None:
    fail.enqueue()
    assert current() is None
    event = told(recorded)
    assert (event["outcome"], event["actor"]) == ("denied", {"type": "system"})
    assert event["context"]["task"] == f"{__name__}.fail"


def test_without_a_request_the_system_acts(recorded: Read) -> None:
    act.enqueue(tenant="acme")
    event = told(recorded)
    assert event["actor"] == {"type": "system"}
    assert event["context"].keys() == {"source", "task", "task_id"}


def test_a_task_only_kept_enters_no_context(afar: None, recorded: Read) -> None:
    with auditlog.context(actor="user:1", tenant="acme") as context:
        act_afar.enqueue()
        act.using(backend="plain").enqueue()
        assert current() is context
    assert recorded(only="org.updated") == []


def test_who_enqueues_acts_in_the_task_of_another_process(
    afar: None, ada: User, acme: Organization, client: Client, recorded: Read
) -> None:
    client.force_login(ada)
    request = {"headers": {"x-request-id": "req-17"}, "REMOTE_ADDR": "203.0.113.9"}
    client.get("/o/acme/enqueue/", {"task": "act_afar"}, **request)
    work()
    *_, event = recorded(only="org.updated")
    assert event["tenant"] == str(acme.pk)
    assert event["actor"] == {"type": "user", "id": str(ada.pk), "name": "Ada Lovelace", "email": "ada@example.org"}
    assert len(event["context"].pop("task_id")) == 32
    name = f"{__name__}.act_afar"
    assert event["context"] == {"source": "task", "task": name, "request_id": "req-17", "ip": "203.0.113.9"}


def test_on_whose_behalf_travels_and_explicit_arguments_win_there_too(afar: None, recorded: Read) -> None:
    with auditlog.context(actor="user:1", tenant="acme", on_behalf_of="user:2"):
        act_afar.enqueue()
        act_afar.enqueue(actor="service:mailer", tenant="globex", on_behalf_of="user:3")
    work()
    found = [
        (event["actor"]["id"], event["tenant"], event["on_behalf_of"]["id"]) for event in recorded(only="org.updated")
    ]
    assert found == [("1", "acme", "2"), ("mailer", "globex", "3")]


def test_a_denial_there_survives_the_rollback(afar: None, recorded: Read) -> None:
    with auditlog.context(actor="user:1"):
        fail_afar.enqueue()
    work()
    event = told(recorded)
    assert (event["outcome"], event["actor"]["id"], event["context"]["task"]) == (
        "denied",
        "1",
        f"{__name__}.fail_afar",
    )


def test_a_worker_that_tells_of_no_end_leaves_nothing_to_the_next_task(afar: None, recorded: Read) -> None:
    def worker() -> None:
        for alias, name in (("kept", "fail_afar"), ("kept", "act_afar")):
            (result,) = [result for result in kept if result.task.name == name]
            run_one(alias, result.task.module_path, result.id, result.args, result.kwargs, finishes=name == "act_afar")

    with auditlog.context(actor="user:1", request_id="req-17"):
        fail_afar.enqueue()
    act_afar.enqueue(tenant="globex")
    kept = task_backends["kept"].results
    contextvars.Context().run(worker)
    denied, event = recorded(only="org.updated")
    assert (denied["outcome"], denied["actor"]["id"]) == ("denied", "1")
    assert event["actor"] == {"type": "system"}
    assert event["context"].keys() == {"source", "task", "task_id"}
    assert event["context"]["task"] == f"{__name__}.act_afar"


def test_a_task_gets_the_context_of_django_beside_ours(afar: None, recorded: Read) -> None:
    with auditlog.context(actor="user:1", tenant="acme"):
        act_knowingly.enqueue()
    work()
    event = told(recorded)
    assert (event["actor"]["id"], event["metadata"]) == ("1", {"attempt": 1})


def test_it_is_enqueued_in_the_event_loop(
    afar: None, ada: User, acme: Organization, async_client: AsyncClient, recorded: Read
) -> None:
    async_client.force_login(ada)
    for name in ("act", "act_afar"):
        async_to_sync(async_client.get)(f"/o/acme/aenqueue/?task={name}")
    work()
    events = recorded(only="org.updated")
    assert [event["context"]["task"] for event in events] == [f"{__name__}.act", f"{__name__}.act_afar"]
    assert {(event["tenant"], event["actor"]["id"]) for event in events} == {(str(acme.pk), str(ada.pk))}


def test_a_coroutine_has_the_context_however_it_is_called(afar: None, recorded: Read) -> None:
    async def worker() -> None:
        await act_async.acall(**result.kwargs)
        assert current() is None

    with auditlog.context(actor="user:1", tenant="acme"):
        act_async.enqueue()
    (result,) = task_backends["kept"].results
    work()
    contextvars.Context().run(async_to_sync(worker))
    assert [event["actor"]["id"] for event in recorded(only="org.updated")] == ["1", "1"]


def test_a_backend_that_carries_nothing_leaves_its_tasks_to_the_system(afar: None, recorded: Read) -> None:
    with auditlog.context(actor="user:1", tenant="globex", request_id="req-17"):
        act.using(backend="plain").enqueue(tenant="acme")
    work("plain")
    event = told(recorded)
    assert event["actor"] == {"type": "system"}
    assert event["context"].keys() == {"source", "task", "task_id"}


def test_a_task_made_for_another_backend_goes_without_context_and_says_so(
    afar: None, recorded: Read, caplog: pytest.LogCaptureFixture
) -> None:
    with auditlog.context(actor="user:1"):
        act.using(backend="kept").enqueue(tenant="acme")
    work()
    assert told(recorded)["actor"] == {"type": "system"}
    assert f"auditkit: {__name__}.act goes without its context" in caplog.text


def test_a_backends_own_class_of_tasks_is_kept(afar: None, recorded: Read) -> None:
    own = task(backend="kept_own")(act_afar.func)
    with auditlog.context(actor="user:1", tenant="acme"):
        own.enqueue()
    (result,) = task_backends["kept_own"].results
    assert isinstance(own, ContextTask)
    assert isinstance(own, OwnTask)
    assert own.call(**result.kwargs) == "from its own class"
    assert told(recorded)["actor"]["id"] == "1"


@pytest.mark.parametrize(
    "forged",
    [
        pytest.param('{"actor":{"type":"user","id":"1"}}', id="not signed"),
        pytest.param({"actor": "user:1"}, id="not text"),
        pytest.param("x" * 100_000, id="large"),
    ],
)
def test_a_forged_context_is_ignored_with_a_line_in_the_log(
    afar: None, recorded: Read, caplog: pytest.LogCaptureFixture, forged: object
) -> None:
    act_afar.enqueue(tenant="acme")
    task_backends["kept"].results[0].kwargs[ARGUMENT] = forged
    work()
    assert told(recorded)["actor"] == {"type": "system"}
    assert f"auditkit: the context that came with {__name__}.act_afar is ignored" in caplog.text


def test_the_context_of_another_task_is_ignored(afar: None, recorded: Read) -> None:
    with auditlog.context(actor="user:1", tenant="acme"):
        act_knowingly.enqueue()
    act_afar.enqueue(tenant="acme")
    other, result = task_backends["kept"].results
    result.kwargs[ARGUMENT] = other.kwargs[ARGUMENT]
    task_backends["kept"].results = [result]
    work()
    assert told(recorded)["actor"] == {"type": "system"}


def test_who_enqueues_a_task_again_acts_for_themselves(afar: None, recorded: Read) -> None:
    with auditlog.context(actor="user:1", tenant="acme"):
        first = act_afar.enqueue()
    task_backends["kept"].clear()
    with auditlog.context(actor="user:2", tenant="acme"):
        act_afar.enqueue(**first.kwargs)
    act_afar.enqueue(**{**first.kwargs, "tenant": "acme"})
    work()
    assert [event["actor"].get("id") for event in recorded(only="org.updated")] == ["2", None]


def test_where_who_enqueues_cannot_be_told_nobody_is_made_up(
    afar: None, ada: User, client: Client, recorded: Read, settings: Any
) -> None:
    from auditkit_django.exceptions import RecordingError

    def broken(request: HttpRequest) -> object:
        raise LookupError("the directory of users is down")

    client.force_login(ada)
    settings.AUDITKIT = {**settings.AUDITKIT, "ACTOR_RESOLVER": broken}
    client.get("/o/acme/enqueue/", {"task": "act_afar", "way": "alone"})
    with pytest.raises(RecordingError, match="unknown, because of LookupError where this task was enqueued"):
        work()
    assert recorded(only="org.updated") == []


def test_what_is_kept_has_no_secret(afar: None, make_user: Callable[..., User], client: Client, recorded: Read) -> None:
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    user = make_user("eve", first_name=key)
    client.force_login(user)
    client.get("/o/acme/enqueue/?task=act_afar&way=alone&token=hunter2", headers={"user-agent": "hunter2"})
    text = json.dumps(task_backends["kept"].results[0].kwargs)
    for secret in (key, "hunter2", client.cookies["sessionid"].value, user.password):
        assert secret not in text


@pytest.mark.skipif(django.VERSION < (6, 1), reason="no task of Django 6.0 can be pickled")
def test_a_task_can_be_pickled(afar: None) -> None:
    assert pickle.loads(pickle.dumps(act_afar)) == act_afar


@pytest.mark.processes
def test_a_backend_can_be_made_before_there_are_models() -> None:
    code = (
        "from django.conf import settings; settings.configure(); import auditkit_django.hooks.packs.tasks as tasks;"
        "from django.tasks.backends.dummy import DummyBackend; type('Kept', (tasks.CarriesContext, DummyBackend), {})"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
