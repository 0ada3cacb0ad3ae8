"""``@audited`` in full: paths, hooks around the call, nesting, generators and streams, viewsets, queries."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.views import View
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.viewsets import ViewSet

from auditkit_django import audited, auditlog
from auditkit_django.exceptions import MissingTenantError
from auditkit_django.hooks.decorators import Call
from auditkit_django.models import Event
from tests.host.models import Invoice, Organization
from tests.recording import actions_of

pytestmark = pytest.mark.django_db


def test_values_are_given_as_paths_into_the_call(acme: Organization) -> None:
    @audited(
        "data.record.created",
        tenant="args.invoice.organization",
        resource="result",
        targets=lambda call: ["file:7"],
        metadata={
            "reason": "kwargs.reason",
            "first": "args.0.title",
            "total": lambda call: call.arguments["total"],
            "x": "y",
        },
        changes={"total": lambda call: (0, call.arguments["total"])},
    )
    def pay(invoice: Invoice, total: int = 3, *, reason: str) -> Invoice:
        return invoice

    pay(Invoice.objects.create(organization=acme, title="First"), reason="due")
    [event] = auditlog.list(acme)
    assert event.metadata == {"reason": "due", "first": "First", "total": 3, "x": "y"}
    assert [target["type"] for target in event.targets] == ["invoice", "file"]
    assert event.changes == [{"field": "total", "old": 0, "new": 3}]


def test_a_path_that_leads_nowhere_says_where_it_ended(acme: Organization) -> None:
    @audited("data.record.created", tenant="args.invoice.organisation")
    def pay(invoice: Invoice) -> None: ...

    with pytest.raises(ImproperlyConfigured, match="'args.invoice.organisation', but Invoice has no 'organisation'"):
        pay(Invoice(organization=acme))


def test_a_path_into_what_did_not_come_is_empty(acme: Organization) -> None:
    @audited("data.record.created", tenant=acme, resource="result.instance")
    def fail() -> None:
        raise ValueError

    with pytest.raises(ValueError):
        fail()
    assert auditlog.list(acme)[0].targets == []


def test_the_action_may_depend_on_the_call(acme: Organization) -> None:
    @audited(lambda call: f"org.{call.result}", tenant=acme)
    def act() -> str:
        return "updated"

    act()
    assert actions_of(acme) == ["org.updated"]


def test_before_and_after_leave_notes_for_the_values(acme: Organization) -> None:
    invoice = Invoice.objects.create(organization=acme, title="Old")

    @audited(
        "data.record.updated",
        tenant=acme,
        resource="args.one",
        before=lambda call: call.notes.update(title=call.arguments["one"].title),
        after=lambda call: call.notes.update(ended=True),
        changes=lambda call: {"title": (call.notes["title"], call.arguments["one"].title)},
        metadata=lambda call: dict(call.notes),
    )
    def rename(one: Invoice, title: str) -> None:
        one.title = title

    rename(invoice, "New")
    [event] = auditlog.list(acme)
    assert event.changes == [{"field": "title", "old": "Old", "new": "New"}]
    assert event.metadata == {"title": "Old", "ended": True}


def test_failures_are_left_out_on_request(acme: Organization) -> None:
    @audited("data.record.created", tenant=acme, on="success")
    def act(*, fails: bool) -> None:
        if fails:
            raise PermissionDenied

    act(fails=False)
    with pytest.raises(PermissionDenied):
        act(fails=True)
    assert [event.outcome for event in auditlog.list(acme)] == ["success"]


def test_what_is_nested_is_recorded_once_by_the_inner_call(acme: Organization) -> None:
    @audited("member.invited", tenant=acme, resource="args.name")
    def invite(name: str) -> None: ...

    @audited("member.invited", tenant=acme)
    @audited("org.updated", tenant=acme)
    def view(request: HttpRequest) -> HttpResponse:
        invite("person:1")
        invite("person:2")
        return HttpResponse()

    view(HttpRequest())
    found = [(event.action, [target["id"] for target in event.targets]) for event in auditlog.list(acme, order="asc")]
    assert found == [("member.invited", ["1"]), ("member.invited", ["2"]), ("org.updated", [])]


def test_an_alias_is_the_same_action(acme: Organization) -> None:
    @audited("member.role.changed", tenant=acme)
    def inner() -> None: ...

    @audited("member.role_changed", tenant=acme)
    def outer() -> None:
        inner()

    outer()
    assert actions_of(acme) == ["member.role.changed"]


def test_a_failure_around_an_inner_success_is_recorded_too(acme: Organization) -> None:
    @audited("member.invited", tenant=acme)
    def inner() -> None: ...

    @audited("member.invited", tenant=acme)
    def outer() -> None:
        inner()
        raise ValueError

    with pytest.raises(ValueError):
        outer()
    # The success went with the rollback.
    assert [event.outcome for event in auditlog.list(acme)] == ["failure"]


def test_a_failure_that_passes_through_both_is_recorded_once(acme: Organization) -> None:
    @audited("member.invited", tenant=acme)
    def inner() -> None:
        raise PermissionDenied

    @audited("member.invited", tenant=acme)
    def outer() -> None:
        inner()

    for count, wrapped in enumerate((outer, transaction.atomic(outer)), start=1):
        with auditlog.context(), pytest.raises(PermissionDenied):
            wrapped()
        assert [event.outcome for event in auditlog.list(acme)] == ["denied"] * count


def test_inside_a_transaction_the_event_is_the_only_query(acme: Organization) -> None:
    @audited("member.invited", tenant=acme, actor="user:1", resource="person:1")
    def invite() -> None: ...

    def count(act: Any) -> int:
        with transaction.atomic(), CaptureQueriesContext(connection) as queries:
            act()
        return len(queries)

    by_hand = count(lambda: auditlog.event("member.invited", tenant=acme, actor="user:1", resource="person:1"))
    assert count(invite) == by_hand


def test_a_refused_record_cannot_be_swallowed_with_its_change_kept(acme: Organization) -> None:
    @audited("data.record.created")
    def create() -> None:
        Invoice.objects.create(organization=acme, title="unrecorded")

    with transaction.atomic(), suppress(MissingTenantError):
        create()
    assert not Invoice.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_failure_in_a_broken_transaction_is_recorded_when_that_is_over(
    rf: RequestFactory, acme: Organization
) -> None:
    @audited("data.record.created", tenant=lambda call: Organization.objects.get(slug="acme"))
    def create(request: HttpRequest) -> None:
        Organization.objects.create(slug="acme", name="taken")

    request = rf.get("/path/")
    with auditlog.context(request=request), pytest.raises(Exception, match=r"(?i)unique"), transaction.atomic():
        create(request)
    [event] = auditlog.list(acme, action="data.record.created")
    assert (event.outcome, event.metadata, event.context["path"]) == ("failure", {"reason": "IntegrityError"}, "/path/")


def test_a_generator_is_recorded_when_it_is_done(acme: Organization) -> None:
    @audited("data.exported", tenant=acme)
    def rows(count: int) -> Iterator[int]:
        for number in range(count):
            if number == 3:
                raise ValueError
            yield number

    unfinished = rows(3)
    assert Event.objects.count() == 0
    assert list(unfinished) == [0, 1, 2]
    with pytest.raises(ValueError):
        list(rows(4))
    cut = rows(3)
    next(cut)
    cut.close()
    found = [(event.outcome, event.metadata) for event in auditlog.list(acme, order="asc")]
    assert found == [("success", {}), ("failure", {"reason": "ValueError"}), ("success", {"interrupted": True})]


def test_an_asynchronous_generator_is_recorded_when_it_is_done(acme: Organization) -> None:
    @audited("data.exported", tenant=acme)
    async def rows(*, fails: bool) -> AsyncIterator[int]:
        yield 1
        if fails:
            raise ValueError

    async def take(*, fails: bool) -> list[int]:
        return [number async for number in rows(fails=fails)]

    assert async_to_sync(take)(fails=False) == [1]
    with pytest.raises(ValueError):
        async_to_sync(take)(fails=True)
    assert [event.outcome for event in auditlog.list(acme, order="asc")] == ["success", "failure"]


def test_a_stream_is_recorded_before_its_first_byte_and_its_failure_after(
    rf: RequestFactory, acme: Organization
) -> None:
    def lines() -> Iterator[str]:
        yield "first\n"
        raise OSError("disk")

    @audited("data.exported", tenant=acme)
    def export(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(lines())

    with auditlog.context(request=rf.get("/export/")):
        answer = export(rf.get("/export/"))
    assert [event.outcome for event in auditlog.list(acme)] == ["success"]
    with pytest.raises(OSError, match="disk"):
        b"".join(answer)  # type: ignore[arg-type]
    failed, given = auditlog.list(acme)
    assert (given.outcome, failed.outcome, failed.metadata) == ("success", "failure", {"reason": "OSError"})
    assert failed.context["path"] == "/export/"


def test_an_asynchronous_stream_that_breaks_is_recorded(acme: Organization) -> None:
    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        raise OSError("disk")

    @audited("data.exported", tenant=acme)
    async def export(request: HttpRequest) -> StreamingHttpResponse:
        return StreamingHttpResponse(lines())

    async def take() -> list[bytes]:
        answer = await export(HttpRequest())
        return [part async for part in answer]  # type: ignore[union-attr]

    with pytest.raises(OSError, match="disk"):
        async_to_sync(take)()
    assert [event.outcome for event in auditlog.list(acme)] == ["failure", "success"]


def test_a_view_class_may_be_audited_for_some_methods_only(rf: RequestFactory, acme: Organization) -> None:
    @audited("org.updated", tenant=acme, methods=["POST"])
    class Page(View):
        def get(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse()

        def post(self, request: HttpRequest) -> HttpResponse:
            return HttpResponse()

    Page.as_view()(rf.get("/"))
    Page.as_view()(rf.post("/"))
    assert [event.action for event in auditlog.list(acme)] == ["org.updated"]


def test_a_path_leads_into_the_view_of_a_class(rf: RequestFactory, acme: Organization) -> None:
    @audited("org.updated", tenant="self.organization", resource="self.kwargs.resource")
    class Page(View):
        def post(self, request: HttpRequest, resource: str) -> HttpResponse:
            self.organization = acme
            return HttpResponse()

    Page.as_view()(rf.post("/"), resource="page:7")
    assert [event.targets for event in auditlog.list(acme)] == [[{"type": "page", "id": "7"}]]


def test_class_and_static_methods_are_audited(acme: Organization) -> None:
    class Service:
        @audited("org.updated", tenant=acme, metadata={"by": "self.__name__"})
        @classmethod
        def change(cls) -> str:
            return "class"

        @audited("org.updated", tenant=acme)
        @staticmethod
        def set() -> str:
            return "static"

    assert (Service.change(), Service.set()) == ("class", "static")
    assert [event.metadata for event in auditlog.list(acme, order="asc")] == [{"by": "Service"}, {}]


@pytest.mark.parametrize("is_above", [True, False], ids=["above @action", "below @action"])
def test_actions_of_a_viewset_are_audited(acme: Organization, is_above: bool) -> None:
    audit = audited("member.invited", tenant=acme, resource=lambda call: f"member:{call.kwargs['pk']}")
    make_action = action(detail=True, methods=["post"])

    class Members(ViewSet):
        def invite(self, request: Request, pk: str) -> Response:
            return Response(status=403 if pk == "3" else 201)

        invite = audit(make_action(invite)) if is_above else make_action(audit(invite))

        @audited("member.removed", tenant=acme, resource="kwargs.pk")
        def destroy(self, request: Request, pk: str) -> Response:
            return Response(status=204)

    assert [one.url_path for one in Members.get_extra_actions()] == ["invite"]
    post = APIRequestFactory().post("/")
    for pk in ("7", "3"):
        Members.as_view({"post": "invite"})(post, pk=pk)
    Members.as_view({"delete": "destroy"})(APIRequestFactory().delete("/"), pk="9")
    assert [(event.action, event.outcome) for event in auditlog.list(acme, order="asc")] == [
        ("member.invited", "success"),
        ("member.invited", "denied"),
        ("member.removed", "success"),
    ]


def test_an_audited_view_is_marked_for_coverage(acme: Organization) -> None:
    @audited("org.updated")
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    @audited("org.updated")
    class Page(View): ...

    assert all(getattr(one, "auditkit_audit", None) for one in (view, Page, Page.dispatch))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"on": "failure"}, 'wanted "always" or "success"'),
        ({"methods": ["FETCH"]}, "got \\['FETCH'\\]"),
        ({"methods": []}, "wanted some of"),
    ],
    ids=str,
)
def test_a_mistake_in_the_options_is_named(options: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        audited("org.updated", **options)


def test_a_task_is_audited_at_its_function() -> None:
    class Task:
        def __call__(self) -> None: ...

        def apply_async(self) -> None: ...

    with pytest.raises(TypeError, match="put @audited below @task"):
        audited("org.updated")(Task())


def test_the_call_may_be_asked_for_its_arguments_by_name() -> None:
    def function(a: int, b: int = 2, **others: int) -> None: ...

    call = Call(request=None, args=(1,), kwargs={"c": 3}, function=function)
    assert dict(call.arguments) == {"a": 1, "b": 2, "others": {"c": 3}}
