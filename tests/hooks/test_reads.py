"""Data access: what a read, a refusal and an export record, and how repeats become one event."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import PermissionDenied
from django.core.management import call_command
from django.db import connection, transaction
from django.test import AsyncClient, Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.exceptions import MissingTenantError, RecordingError
from auditkit_django.hooks import repeated_reads
from auditkit_django.hooks.reads import read
from auditkit_django.hooks.repeated_reads import VIEWED, close_windows, record_read
from auditkit_django.log import chores
from auditkit_django.log.worker import Worker
from auditkit_django.models import Entry, Event, RepeatedRead
from auditkit_django.recording.losses import LOSSES
from auditkit_django.signals import event_recorded
from auditkit_django.testing import append_now
from tests.host.models import Invoice, Organization

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.fixtures import SettingsWrapper

    from auditkit_django.auditlog import ListedEvent

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.hooks.read_views")]

VIEWS = ["function", "coroutine", "class", "async-class", "api", "api-class"]


@pytest.fixture(autouse=True)
def _windows_are_closed_by_whoever_appends() -> None:
    repeated_reads.connect()


@pytest.fixture
def invoice(acme: Organization) -> Invoice:
    return Invoice.objects.create(organization=acme, title="First", total=4711)


def events_of(tenant: object) -> list[ListedEvent]:
    """Oldest first, without those of the log itself."""
    return [event for event in auditlog.list(tenant, limit=1000)[::-1] if not event.action.startswith("audit.")]


def end_windows() -> None:
    """Ten minutes pass."""
    RepeatedRead.objects.update(closes_at=timezone.now() - timedelta(seconds=1))


def look(invoice: Invoice, actor: object = "user:7", **fields: Any) -> None:
    """One read outside of any request."""
    record_read(**{"action": VIEWED, "resource": invoice, "tenant": invoice.organization, "actor": actor, **fields})


def get(view: str, invoice: Invoice, client: Any = None, **query: str) -> Any:
    client = client or Client(raise_request_exception=False)
    path = f"/o/{invoice.organization.slug}/{view}/{invoice.pk}/"
    return async_to_sync(client.get)(path, query) if isinstance(client, AsyncClient) else client.get(path, query)


# What is recorded, and when.


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("ending", ["200", "206", "302", "304", "404", "500", "missing", "crash"])
def test_a_read_is_recorded_where_the_view_answered_it(view: str, ending: str, invoice: Invoice) -> None:
    response = get(view, invoice, end=ending)
    found = [(event.action, event.outcome) for event in events_of(invoice.organization)]
    assert found == ([("data.record.viewed", "success")] if ending in ("200", "206") else []), response.status_code


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("ending", ["401", "403", "forbid"])
@pytest.mark.parametrize("atomic", [False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
def test_a_refused_read_is_recorded_as_denied(view: str, ending: str, atomic: bool, invoice: Invoice) -> None:
    connection.settings_dict["ATOMIC_REQUESTS"] = atomic and "async" not in view and view != "coroutine"
    try:
        assert get(view, invoice, end=ending).status_code in (401, 403)
    finally:
        connection.settings_dict["ATOMIC_REQUESTS"] = False
    [event] = events_of(invoice.organization)
    assert (event.action, event.outcome, event.targets[0]["id"]) == (VIEWED, "denied", str(invoice.pk))
    assert event.metadata.keys() <= {"reason", "status"}
    assert event.metadata
    assert event.context["path"].endswith(f"/{view}/{invoice.pk}/")


@pytest.mark.parametrize("view", ["function", "coroutine", "api", "async-class"])
def test_a_read_under_asgi_is_recorded(view: str, invoice: Invoice) -> None:
    assert get(view, invoice, client=AsyncClient()).status_code == 200
    [event] = events_of(invoice.organization)
    assert (event.action, event.actor) == (VIEWED, {"type": "anonymous"})


@pytest.mark.parametrize("method", ["head", "options"])
def test_a_request_that_shows_nothing_is_no_read(method: str, invoice: Invoice) -> None:
    assert getattr(Client(), method)(f"/o/acme/class/{invoice.pk}/").status_code == 200
    assert not events_of(invoice.organization)
    assert Client().post(f"/o/acme/class/{invoice.pk}/").status_code == 200
    assert len(events_of(invoice.organization)) == 1, "an answer to POST shows what it shows"


def test_a_read_holds_who_read_what_and_neither_content_nor_query_string(invoice: Invoice, ada: User) -> None:
    client = Client()
    client.force_login(ada)
    get("api", invoice, client, q="hidden-in-the-query")
    [event] = events_of(invoice.organization)
    assert event.actor is not None
    assert (event.actor["id"], event.targets[0]["name"]) == (str(ada.pk), "First")
    stored = "".join(Event.objects.values_list("disclosures", flat=True))  # type: ignore[arg-type]
    assert "hidden-in-the-query" not in stored
    assert "4711" not in stored


def test_a_template_is_read_once_it_is_rendered(invoice: Invoice) -> None:
    assert get("template", invoice, broken="1").status_code == 500
    assert not events_of(invoice.organization)
    assert get("template", invoice).content == b"First"
    assert get("template", invoice, AsyncClient()).content == b"First"
    [event] = events_of(invoice.organization)
    assert event.targets[0]["name"] == "First"


def test_what_a_refused_view_never_came_to_does_not_stand_in_the_way_of_its_refusal(invoice: Invoice) -> None:
    assert get("class-detail", invoice).status_code == 200
    assert get("class-detail", invoice, end="forbid").status_code == 403
    shown, refused = events_of(invoice.organization)
    assert (shown.targets[0]["name"], shown.metadata) == ("First", {"rows": 5})
    assert (refused.outcome, refused.targets, refused.metadata) == ("denied", [], {"reason": "PermissionDenied"})


def test_a_plain_function_is_a_read_too(invoice: Invoice) -> None:
    @read("args.invoice", tenant="args.invoice.organization", actor="service:billing", metadata={"why": "kwargs.why"})
    def total_of(invoice: Invoice, *, why: str) -> int:
        """The total."""
        if why == "none":
            raise PermissionDenied
        return invoice.total

    assert total_of(invoice, why="dunning") == 4711
    with pytest.raises(PermissionDenied):
        total_of(invoice, why="none")
    found = [(event.outcome, event.metadata) for event in events_of(invoice.organization)]
    assert found == [("success", {"why": "dunning"}), ("denied", {"why": "none", "reason": "PermissionDenied"})]
    assert (total_of.__name__, total_of.__doc__) == ("total_of", "The total.")


@pytest.mark.parametrize("thing", [int, 7, "text"], ids=str)
def test_only_functions_and_views_are_read(thing: object) -> None:
    with pytest.raises(TypeError, match=r"audited\.read: got .* wanted"):
        read("invoice")(thing)


def test_a_read_that_cannot_be_recorded_is_not_answered(settings: SettingsWrapper, invoice: Invoice) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "TENANT_RESOLVER": None}
    assert get("function", invoice).status_code == 500
    with pytest.raises(MissingTenantError):
        Client().get(f"/o/acme/function/{invoice.pk}/")


def test_where_losses_are_allowed_a_read_that_is_not_recorded_is_counted(
    settings: SettingsWrapper, invoice: Invoice
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "TENANT_RESOLVER": None, "ON_ERROR": "log"}
    assert get("function", invoice).status_code == 200
    assert LOSSES.count == 1
    look(invoice)
    [loss] = [event for event in auditlog.list("system") if event.action == "audit.logging.failed"]
    assert loss.metadata["actions"] == {VIEWED: 1}


@pytest.mark.parametrize("on_error", ["raise", "log"])
def test_a_count_that_the_database_refuses_follows_on_error(
    on_error: str, settings: SettingsWrapper, invoice: Invoice
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "ON_ERROR": on_error}
    look(invoice)
    if on_error == "raise":
        with pytest.raises(RecordingError, match="not recorded"), transaction.atomic():
            _without_table(look, invoice)
        return
    with transaction.atomic():
        _without_table(look, invoice)
        assert Invoice.objects.count() == 1, "the caller's transaction goes on"
    assert LOSSES.count == 1
    LOSSES.report(using="default")


def _without_table(function: Callable[..., None], *args: Any) -> None:
    table = RepeatedRead._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(f"ALTER TABLE {table} RENAME TO gone")
        function(*args)
        cursor.execute(f"ALTER TABLE gone RENAME TO {table}")


# Exports and class-based views.


def test_exports_are_recorded_every_time_with_their_count(invoice: Invoice) -> None:
    for _ in range(2):
        assert Client().get("/o/acme/export/").getvalue() == b"a\nb\n"
    events = events_of(invoice.organization)
    assert [(event.action, event.metadata) for event in events] == [
        ("data.exported", {"count": 2, "format": "csv"})
    ] * 2
    assert not RepeatedRead.objects.exists()


def test_a_detail_view_records_its_object(invoice: Invoice, ada: User) -> None:
    client = Client()
    client.force_login(ada)
    assert get("detail", invoice, client).status_code == 200
    assert client.head(f"/o/acme/detail/{invoice.pk}/").status_code == 200
    [event] = events_of(invoice.organization)
    assert (event.action, event.metadata) == (VIEWED, {})
    assert event.targets == [{"type": "invoice", "id": str(invoice.pk), "name": "First"}]


@pytest.mark.parametrize("is_signed_in", [False, True], ids=["anonymous", "signed in"])
def test_a_detail_view_records_its_refusals(is_signed_in: bool, invoice: Invoice, ada: User) -> None:
    client = Client()
    if is_signed_in:
        client.force_login(ada)
    assert get("detail", invoice, client, end="forbid").status_code == 403
    [event] = events_of(invoice.organization)
    assert (event.action, event.outcome, event.metadata) == (VIEWED, "denied", {"reason": "PermissionDenied"})
    assert event.targets[0]["id"] == str(invoice.pk), "named by the URL where the object was never fetched"


def test_a_list_that_is_exported_records_how_many_it_gave(invoice: Invoice) -> None:
    for number in range(4):
        Invoice.objects.create(organization=invoice.organization, title=f"More {number}")
    assert Client().get("/o/acme/list/").content.count(b"\n") == 2
    assert Client().get("/o/acme/list/?page=3").content.count(b"\n") == 1
    assert Client().get("/o/acme/plain/").status_code == 200
    events = events_of(invoice.organization)
    assert [event.metadata for event in events] == [{"count": 2, "format": "csv"}, {"count": 1, "format": "csv"}]
    assert {event.action for event in events} == {"data.exported"}
    assert events[0].targets == [{"type": "invoice"}]


def test_a_viewset_records_what_it_shows_and_not_what_it_changes(invoice: Invoice) -> None:
    client = Client()
    here = f"/o/acme/invoices/{invoice.pk}/"
    assert client.get(here).json()["title"] == "First"
    assert client.patch(here, {"title": "Second"}, content_type="application/json").status_code == 200
    assert (
        client.post("/o/acme/invoices/", {"title": "Third", "organization": invoice.organization.pk}).status_code == 201
    )
    assert len(client.get("/o/acme/invoices/").json()) == 2
    assert len(client.get("/o/acme/pages/?page=2").json()["results"]) == 1
    found = [(event.action, event.metadata.get("count")) for event in events_of(invoice.organization)]
    assert found == [(VIEWED, None), ("data.exported", 2), ("data.exported", 1)]


def test_a_viewset_records_the_refusal_of_one_object(invoice: Invoice) -> None:
    Invoice.objects.update(title="secret")
    assert Client().get(f"/o/acme/invoices/{invoice.pk}/").status_code == 403
    [event] = events_of(invoice.organization)
    assert (event.action, event.outcome, event.metadata) == (VIEWED, "denied", {"status": 403})
    assert event.targets == [{"type": "invoice", "id": str(invoice.pk)}]


# Repeats.


def test_repeats_become_one_event_when_their_window_is_over(invoice: Invoice) -> None:
    for _ in range(5):
        look(invoice)
    [first] = events_of(invoice.organization)
    assert first.metadata == {}, "the first read is there at once"
    end_windows()
    assert close_windows("default") is False
    _first, repeats = events_of(invoice.organization)
    assert (repeats.action, repeats.outcome, repeats.metadata["count"]) == (VIEWED, "success", 4)
    assert (repeats.actor, repeats.targets) == (first.actor, first.targets)
    assert repeats.metadata["last"] == repeats.occurred_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    assert first.occurred_at.isoformat() < repeats.metadata["first"] < repeats.metadata["last"]
    assert not RepeatedRead.objects.exists()
    assert append_now() == 2
    assert auditlog.verify(invoice.organization).verdict == "VALID"


def test_a_repeat_costs_one_statement(invoice: Invoice) -> None:
    look(invoice)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        look(invoice)
    [query] = queries
    assert query["sql"].startswith("UPDATE")


def test_a_read_without_repeats_leaves_nothing(invoice: Invoice) -> None:
    look(invoice)
    end_windows()
    close_windows("default")
    assert len(events_of(invoice.organization)) == 1
    assert not RepeatedRead.objects.exists()


def test_the_next_read_closes_the_window_before_it_and_opens_another(invoice: Invoice) -> None:
    for _ in range(3):
        look(invoice)
    end_windows()
    look(invoice)
    look(invoice)
    assert [event.metadata.get("count") for event in events_of(invoice.organization)] == [None, 2, None]
    assert RepeatedRead.objects.get().count == 1


@pytest.mark.parametrize(
    "other",
    [
        {"actor": "user:8"},
        {"actor": "service:7"},
        {"tenant": "globex"},
        {"resource": "invoice:0"},
        {"resource": "payment:1"},
        {"action": "file.downloaded"},
    ],
    ids=str,
)
def test_reads_that_differ_are_no_repeats(other: dict[str, Any], invoice: Invoice) -> None:
    look(invoice)
    look(invoice, **other)
    look(invoice)
    assert Event.objects.exclude(action="audit.log.opened").count() == 2


def test_a_read_on_behalf_of_somebody_is_no_repeat_of_an_own_one(invoice: Invoice) -> None:
    look(invoice)
    for _ in range(2):
        with auditlog.context(on_behalf_of="user:8"):
            look(invoice)
    end_windows()
    close_windows("default")
    found = [(event.on_behalf_of, event.metadata.get("count")) for event in events_of(invoice.organization)]
    behalf = {"type": "user", "id": "8"}
    assert found == [(None, None), (behalf, None), (behalf, 1)]


def test_readers_without_an_id_are_told_apart_by_address_and_session(invoice: Invoice) -> None:
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.1"):
        Client(REMOTE_ADDR=address).get(f"/o/acme/function/{invoice.pk}/")
    assert [event.context["ip"] for event in events_of(invoice.organization)] == ["192.0.2.1", "192.0.2.2"]
    assert sorted(RepeatedRead.objects.values_list("count", flat=True)) == [0, 1]


def test_the_event_of_repeats_says_where_the_last_one_came_from(invoice: Invoice) -> None:
    for address in ("192.0.2.1", "192.0.2.2", "192.0.2.3"):
        with auditlog.context(ip=address):
            look(invoice, metadata={"password": "hunter2", "view": "full"})
    assert "hunter2" not in RepeatedRead.objects.get().draft
    end_windows()
    # The context of whoever closes the window is none of the event's business.
    with auditlog.context(ip="203.0.113.9", actor="service:worker"):
        close_windows("default")
    repeats = events_of(invoice.organization)[-1]
    assert (repeats.context, repeats.actor) == ({"ip": "192.0.2.3"}, {"type": "user", "id": "7"})
    assert repeats.metadata.items() >= {"password": "[redacted]", "view": "full", "count": 2}.items()


def test_nothing_personal_is_kept_until_there_is_a_repeat(invoice: Invoice) -> None:
    look(invoice, actor=auditlog.Actor("user", "7", "Ada Lovelace"))
    window = RepeatedRead.objects.get()
    assert (window.draft, window.count) == ("", 0)
    assert len(window.key) == 64, "a digest"
    look(invoice, actor=auditlog.Actor("user", "7", "Ada Lovelace"))
    assert "Ada Lovelace" in RepeatedRead.objects.get().draft


def test_without_a_window_every_read_is_an_event(settings: SettingsWrapper, invoice: Invoice) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "READ_WINDOW_SECONDS": 0}
    look(invoice)
    look(invoice)
    assert len(events_of(invoice.organization)) == 2
    assert not RepeatedRead.objects.exists()


def test_a_refusal_is_never_collapsed(invoice: Invoice) -> None:
    for _ in range(3):
        get("function", invoice, end="403")
    assert [event.outcome for event in events_of(invoice.organization)] == ["denied"] * 3


def test_a_read_that_is_rolled_back_was_none(invoice: Invoice) -> None:
    look(invoice)
    with transaction.atomic():
        look(invoice)
        transaction.set_rollback(True)
    assert RepeatedRead.objects.get().count == 0


# Who closes windows.


def test_the_worker_closes_windows_and_appends_their_events(invoice: Invoice) -> None:
    for number in range(3):
        look(invoice, resource=f"invoice:{number}")
        look(invoice, resource=f"invoice:{number}")
    end_windows()
    out = StringIO()
    call_command("auditkit_worker", "--once", stdout=out)
    assert out.getvalue() == "6 appended\n"
    assert not RepeatedRead.objects.exists()
    assert Entry.objects.filter(tenant=str(invoice.organization.pk)).count() == 7


def test_more_windows_than_one_run_takes_are_closed_run_by_run(
    monkeypatch: pytest.MonkeyPatch, invoice: Invoice
) -> None:
    monkeypatch.setattr(repeated_reads, "_PER_RUN", 2)
    for number in range(5):
        look(invoice, resource=f"invoice:{number}", tenant=f"tenant-{number % 2}")
    end_windows()
    assert [close_windows("default") for _ in range(3)] == [True, True, False]
    assert not RepeatedRead.objects.exists()


@pytest.fixture
def outside_of_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chores follow appends as in production, and the last one was long ago."""
    monkeypatch.setattr(chores, "is_test_run", lambda: False)
    monkeypatch.setattr(chores, "_due_at", {})


def test_windows_are_closed_after_an_append_at_most_once_a_minute(outside_of_tests: None, invoice: Invoice) -> None:
    for expected in (0, 1):
        look(invoice)
        look(invoice)
        end_windows()
        append_now()
        assert RepeatedRead.objects.count() == expected


def test_an_append_in_a_test_run_closes_nothing(invoice: Invoice) -> None:
    look(invoice)
    end_windows()
    append_now()
    assert RepeatedRead.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_worker_closes_windows_while_nothing_is_appended(outside_of_tests: None, invoice: Invoice) -> None:
    look(invoice)
    look(invoice)
    append_now()
    end_windows()

    class Stopping(Worker):
        def _sweep(self) -> bool:
            self.stop()
            return super()._sweep()

    chores._due_at.clear()
    Stopping().run()
    assert not RepeatedRead.objects.exists()


def test_a_chore_that_fails_keeps_no_other_from_its_turn(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, outside_of_tests: None
) -> None:
    done: list[str] = []

    def fail(using: str) -> bool:
        raise ZeroDivisionError

    def work(using: str) -> bool:
        done.append(using)
        return len(done) < 3

    monkeypatch.setattr(chores, "_chores", {})
    chores.register("fail", fail)
    chores.register("work", work)
    chores.run_due()
    assert done == ["default"]
    chores.run_due()
    chores.run_due()
    assert len(done) == 3, "sooner than in a minute while something is left"
    chores.run_due()
    assert len(done) == 3
    chores.run()
    assert len(done) == 4
    assert "the chore fail failed" in caplog.text


@pytest.mark.django_db(transaction=True)
def test_a_crash_while_a_window_is_closed_leaves_it_open_and_whole(invoice: Invoice) -> None:
    look(invoice)
    look(invoice)
    end_windows()

    def crash(**_signal: object) -> None:
        # After the event was written and the row deleted, before the commit.
        raise SystemExit

    event_recorded.connect(crash)
    try:
        with pytest.raises(SystemExit):
            close_windows("default")
    finally:
        event_recorded.disconnect(crash)
    assert (RepeatedRead.objects.get().count, len(events_of(invoice.organization))) == (1, 1)
    close_windows("default")
    assert [event.metadata.get("count") for event in events_of(invoice.organization)] == [None, 1]


# Many at once, on connections of their own.


def in_threads(number: int, function: Callable[[int], None]) -> None:
    ready = threading.Barrier(number)

    def run(index: int) -> None:
        ready.wait()
        try:
            function(index)
        finally:
            connection.close()

    with ThreadPoolExecutor(number) as pool:
        list(pool.map(run, range(number)))


def reads_told(tenant: object) -> int:
    """How many reads the events stand for."""
    return sum(event.metadata.get("count", 1) for event in events_of(tenant))


@pytest.mark.django_db(transaction=True)
def test_readers_at_once_lose_and_double_no_count(is_postgresql: bool, invoice: Invoice) -> None:
    if not is_postgresql:
        pytest.skip("threads do not share the in-memory database")

    def act(_index: int) -> None:
        for _ in range(25):
            look(invoice)

    in_threads(8, act)
    assert len(events_of(invoice.organization)) == 1, "one of them was the first"
    assert RepeatedRead.objects.get().count == 199
    end_windows()
    close_windows("default")
    assert reads_told(invoice.organization) == 200


@pytest.mark.django_db(transaction=True)
def test_windows_that_close_under_their_readers_lose_and_double_no_count(
    is_postgresql: bool, invoice: Invoice, settings: SettingsWrapper
) -> None:
    if not is_postgresql:
        pytest.skip("threads do not share the in-memory database")
    settings.AUDITKIT = {**settings.AUDITKIT, "READ_WINDOW_SECONDS": 0.01, "APPEND": "worker"}
    is_over = threading.Event()

    def act(index: int) -> None:
        if index < 2:
            while not is_over.is_set():
                close_windows("default")
            return
        for number in range(60):
            # Some in a transaction that stays open for a while, as with ATOMIC_REQUESTS.
            with transaction.atomic() if number % 3 == 0 else nullcontext():
                look(invoice)
        if index == 2:
            is_over.set()

    in_threads(8, act)
    end_windows()
    close_windows("default")
    assert reads_told(invoice.organization) == 6 * 60
    counted = [event for event in events_of(invoice.organization) if "count" in event.metadata]
    assert counted, "the windows were too short to count anything"
    assert all(event.metadata["first"] <= event.metadata["last"] for event in counted)
