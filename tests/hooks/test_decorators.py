"""``@audited``: success, failure and denial of functions, views, coroutines and DRF's methods."""

from __future__ import annotations

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client, RequestFactory
from django.urls import reverse

from auditkit_django import audited, auditlog
from auditkit_django.exceptions import MissingTenantError, RecordingError, UnknownActionError
from auditkit_django.hooks.decorators import Call
from auditkit_django.models import Event
from tests.host.models import Invoice, Organization
from tests.recording import actions_of

pytestmark = pytest.mark.django_db

_KINDS = ["function", "class", "async", "async-class", "api", "api-class"]
_REFUSED_BY_EXCEPTION = {"reason": "PermissionDenied"}


@pytest.mark.parametrize("kind", _KINDS)
@pytest.mark.parametrize(
    ("ending", "outcome"),
    [
        ("200", "success"),
        ("302", "success"),
        ("400", "failure"),
        ("401", "denied"),
        ("403", "denied"),
        ("404", "failure"),
        ("500", "failure"),
        ("crash", "failure"),
        ("forbid", "denied"),
        ("missing", "failure"),
    ],
)
def test_a_view_records_how_it_ended(kind: str, ending: str, outcome: str, client: Client, acme: Organization) -> None:
    client.raise_request_exception = False
    response = client.get(reverse(f"audited-{kind}", kwargs={"org": "acme", "ending": ending}))
    assert response.status_code == {"crash": 500, "forbid": 403, "missing": 404}.get(ending) or int(ending) or kind
    [event] = auditlog.list(acme)
    assert (event.action, event.outcome) == ("data.record.created", outcome)
    assert event.metadata["ending"] == ending
    assert event.actor == {"type": "anonymous"}
    assert event.context["path"].endswith(f"/{ending}/")


@pytest.mark.parametrize("kind", ["function", "class", "api"])
@pytest.mark.parametrize(("ending", "kept"), [("200", 1), ("400", 1), ("crash", 0), ("forbid", 0)])
def test_change_and_event_of_success_commit_together(
    kind: str, ending: str, kept: int, client: Client, acme: Organization
) -> None:
    client.raise_request_exception = False
    client.get(reverse(f"audited-{kind}", kwargs={"org": "acme", "ending": ending}))
    assert Invoice.objects.count() == kept
    assert Event.objects.count() == 1


def test_a_function_records_its_call(acme: Organization, ada: Any) -> None:
    calls: list[Call] = []

    def note(call: Call) -> dict[str, Any]:
        calls.append(call)
        return {"title": call.args[1]}

    @audited(
        "data.record.created",
        resource=lambda call: call.result,
        tenant=lambda call: call.args[0],
        actor=ada,
        metadata=note,
        changes=lambda call: {"total": (None, call.kwargs["total"])},
    )
    def create(organization: Organization, title: str, *, total: int) -> Invoice:
        """Make an invoice."""
        return Invoice.objects.create(organization=organization, title=title, total=total)

    invoice = create(acme, "First", total=7)
    [event] = auditlog.list(acme)
    assert event.targets == [{"type": "invoice", "id": str(invoice.pk), "name": "First"}]
    assert (event.metadata, event.changes) == ({"title": "First"}, [{"field": "total", "old": None, "new": 7}])
    assert (event.actor or {})["id"] == str(ada.pk)
    assert (calls[0].request, calls[0].exception, calls[0].result) == (None, None, invoice)
    assert (create.__name__, create.__doc__) == ("create", "Make an invoice.")


def test_a_call_knows_its_request(rf: RequestFactory, acme: Organization) -> None:
    seen: list[HttpRequest | None] = []

    @audited("member.invited", tenant=acme, metadata=lambda call: seen.append(call.request))
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    request = rf.get("/")
    view(request)
    assert seen == [request]


@pytest.mark.parametrize(("error", "outcome"), [(ValueError, "failure"), (PermissionDenied, "denied")])
def test_a_function_that_raises_is_recorded_and_raises_on(
    acme: Organization, error: type[Exception], outcome: str
) -> None:
    seen: list[BaseException | None] = []

    @audited("data.record.created", tenant=acme, metadata=lambda call: seen.append(call.exception))
    def create() -> None:
        Invoice.objects.create(organization=acme, title="undone")
        raise error("no")

    with pytest.raises(error, match="no") as caught:
        create()
    [event] = auditlog.list(acme)
    assert (event.outcome, event.metadata) == (outcome, {"reason": error.__name__})
    assert seen == [caught.value]
    assert not Invoice.objects.exists()


@pytest.mark.parametrize("error", [None, ValueError, PermissionDenied])
def test_a_coroutine_function_is_recorded(acme: Organization, error: type[Exception] | None) -> None:
    @audited("data.imported", tenant=acme)
    async def run() -> int:
        if error is not None:
            raise error
        return 7

    if error is None:
        assert async_to_sync(run)() == 7
    else:
        with pytest.raises(error):
            async_to_sync(run)()
    [event] = auditlog.list(acme)
    assert event.outcome == {None: "success", ValueError: "failure", PermissionDenied: "denied"}[error]


def test_changes_of_what_failed_are_not_claimed(acme: Organization) -> None:
    @audited("data.record.updated", tenant=acme, changes={"role": ("a", "b")})
    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert auditlog.list(acme)[0].changes == []


def test_a_call_inside_a_call_records_both(acme: Organization) -> None:
    @audited("member.invited", tenant=acme)
    def inner() -> None:
        raise ValueError

    @audited("org.updated", tenant=acme)
    def outer() -> None:
        inner()

    with pytest.raises(ValueError):
        outer()
    assert sorted(actions_of(acme)) == ["member.invited", "org.updated"]
    assert {event.outcome for event in auditlog.list(acme)} == {"failure"}


def test_a_call_that_undid_itself_records_no_success(acme: Organization) -> None:
    @audited("data.record.created", tenant=acme)
    def dry_run() -> None:
        Invoice.objects.create(organization=acme, title="dry")
        transaction.set_rollback(True)

    dry_run()
    assert (Invoice.objects.count(), Event.objects.count()) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"tenant": None}, MissingTenantError), ({"tenant": "t", "action": "nothing.known"}, UnknownActionError)],
)
def test_a_change_without_its_record_is_undone(
    acme: Organization, fields: dict[str, Any], error: type[Exception]
) -> None:
    fields = dict(fields)

    @audited(fields.pop("action", "data.record.created"), **fields)
    def create() -> None:
        Invoice.objects.create(organization=acme, title="undone")

    with pytest.raises(error):
        create()
    assert (Invoice.objects.count(), Event.objects.count()) == (0, 0)


def test_a_database_that_refuses_the_record_undoes_the_change(
    acme: Organization, monkeypatch: pytest.MonkeyPatch
) -> None:
    from auditkit_django.recording import record as module

    def refuse(*_arguments: object, **_fields: object) -> None:
        from django.db import OperationalError

        raise OperationalError("disk full")

    @audited("data.record.created", tenant=acme)
    def create() -> None:
        Invoice.objects.create(organization=acme, title="undone")

    monkeypatch.setattr(module, "write_event", refuse)
    with pytest.raises(RecordingError, match="disk full"):
        create()
    assert not Invoice.objects.exists()


@pytest.mark.parametrize("thing", [int, 7, "text"], ids=str)
def test_only_functions_and_views_are_audited(thing: object) -> None:
    with pytest.raises(TypeError, match=r"audited: got .* wanted"):
        audited("member.invited")(thing)
