"""Who acts and from where: precedence, nesting, and no leak between threads, tasks and requests (S31 to S33)."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from django.db import transaction
from django.test import Client, RequestFactory

from auditkit_django import auditlog
from auditkit_django.drafts import ANONYMOUS, SYSTEM, Actor
from auditkit_django.exceptions import MalformedError
from auditkit_django.models import Event
from auditkit_django.recording import context as contexts
from auditkit_django.recording.context import current, current_facts
from auditkit_django.recording.requests import client_ip, request_id_of
from tests.host.models import Organization
from tests.recording import recorded


def _actor() -> Actor:
    context = current()
    assert context is not None
    return context.resolve_actor()


@pytest.mark.django_db
def test_explicit_beats_context_beats_request_beats_system(ada: Any, acme: Organization, rf: RequestFactory) -> None:
    request = rf.get("/")
    request.user = ada
    assert recorded().actor == {"type": "system"}
    with auditlog.context(request=request):
        found = recorded().actor
        assert found is not None
        assert found["id"] == str(ada.pk)
        with auditlog.context(actor="service:importer", tenant=acme):
            assert recorded().actor == {"type": "service", "id": "importer"}
            assert recorded(actor="user:7").actor == {"type": "user", "id": "7"}
            auditlog.event("member.invited")
    assert auditlog.list(acme)[0].actor == {"type": "service", "id": "importer"}


@pytest.mark.django_db
def test_an_explicit_tenant_beats_the_context(acme: Organization, globex: Organization) -> None:
    with auditlog.context(tenant=acme):
        auditlog.event("member.invited", tenant=globex)
    assert len(auditlog.list(acme)) == 0
    assert len(auditlog.list(globex)) == 1


def test_nested_contexts_restore_the_outer_one() -> None:
    with auditlog.context(actor="user:1", source="outer", ip="1.1.1.1"):
        with auditlog.context(actor="user:2", source="inner"):
            assert _actor() == Actor("user", "2")
            assert current_facts() == {"source": "inner", "ip": "1.1.1.1"}
        with auditlog.context(source="other"):
            assert _actor() == Actor("user", "1")
        assert current_facts() == {"source": "outer", "ip": "1.1.1.1"}
    assert current() is None


def test_a_context_ends_with_an_exception() -> None:
    with pytest.raises(ZeroDivisionError), auditlog.context(actor="user:1"), auditlog.context(actor="user:2"):
        raise ZeroDivisionError
    assert current() is None
    assert current_facts() == {}


def test_a_context_that_cannot_be_recorded_is_refused_and_leaves_nothing() -> None:
    for fields in ({"actor": object()}, {"tenant": ""}, {f"fact{number}": 1 for number in range(21)}):
        with pytest.raises(MalformedError), auditlog.context(**fields):  # type: ignore[arg-type]
            pass  # pragma: no cover
    assert current() is None


def test_threads_do_not_see_each_others_context() -> None:
    def act(number: int) -> bool:
        assert current() is None, "a pool's thread must not keep the context of the task before"
        with auditlog.context(actor=f"user:{number}", ip=f"10.0.0.{number}"):
            return _actor() == Actor("user", str(number)) and current_facts()["ip"] == f"10.0.0.{number}"

    with auditlog.context(actor="user:99"), ThreadPoolExecutor(4) as pool:
        assert all(pool.map(act, range(1, 200)))
        assert _actor() == Actor("user", "99")


def test_tasks_do_not_see_each_others_context() -> None:
    async def act(number: int) -> bool:
        with auditlog.context(actor=f"user:{number}"):
            for _ in range(5):
                await asyncio.sleep(0)
                if _actor() != Actor("user", str(number)):
                    return False
            return await sync_to_async(_actor)() == Actor("user", str(number))

    async def all_of_them() -> list[bool]:
        with auditlog.context(actor="user:99"):
            return await asyncio.gather(*(act(number) for number in range(50)))

    assert all(async_to_sync(all_of_them)())
    assert current() is None


@pytest.mark.django_db
def test_requests_do_not_see_each_others_context(
    client: Client, acme: Organization, globex: Organization, ada: Any
) -> None:
    client.force_login(ada)
    client.get("/o/acme/act/", headers={"x-request-id": "first"})
    client.logout()
    client.get("/o/globex/act/", headers={"x-request-id": "second"})
    assert current() is None
    [first], [second] = auditlog.list(acme), auditlog.list(globex)
    assert (first.actor or {})["type"], first.context["request_id"] == ("user", "first")
    assert (second.actor, second.context["request_id"]) == ({"type": "anonymous"}, "second")


@pytest.mark.django_db
def test_a_request_that_crashes_leaves_no_context(client: Client, acme: Organization, ada: Any) -> None:
    client.force_login(ada)
    with pytest.raises(ZeroDivisionError):
        client.get("/o/acme/crash/")
    assert current() is None
    assert recorded().actor == {"type": "system"}


@pytest.mark.django_db
def test_impersonation_keeps_both(acme: Organization, ada: Any, client: Client) -> None:
    client.force_login(ada)
    client.get("/o/acme/impersonate/")
    [event] = auditlog.list(acme)
    assert (event.actor or {})["id"] == str(ada.pk)
    assert event.on_behalf_of == {"type": "user", "id": "victim"}
    with auditlog.context(on_behalf_of="user:outer"):
        assert recorded(on_behalf_of="user:explicit").on_behalf_of == {"type": "user", "id": "explicit"}
        with auditlog.context(actor="user:1"):
            assert recorded().on_behalf_of == {"type": "user", "id": "outer"}


@pytest.mark.django_db
def test_who_impersonates_acts_and_the_identity_is_kept(
    acme: Organization, ada: Any, rf: RequestFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = rf.get("/")
    request.user = ada
    monkeypatch.setattr(contexts, "IMPERSONATION_RESOLVERS", [lambda _: None, lambda _: ("user:staff", ada)])
    with auditlog.context(request=request):
        assert recorded().actor == {"type": "user", "id": "staff"}
        assert (recorded(actor=ada).actor or {})["id"] == "staff"
        assert (recorded(actor="service:importer").actor or {})["id"] == "importer"
        assert (recorded(actor=ada, on_behalf_of=ada).actor or {})["id"] == str(ada.pk)
        with auditlog.context(source="deeper"):
            event = recorded()
            assert (event.actor or {})["id"] == "staff"
            assert (event.on_behalf_of or {})["id"] == str(ada.pk)


@pytest.mark.django_db
def test_facts_of_a_request_are_recorded(client: Client, acme: Organization) -> None:
    client.get("/o/acme/act/", headers={"user-agent": "curl/8", "x-request-id": "abc-1.2_3"}, REMOTE_ADDR="192.0.2.7")
    [event] = auditlog.list(acme)
    assert event.context == {
        "source": "web",
        "ip": "192.0.2.7",
        "user_agent": "curl/8",
        "request_id": "abc-1.2_3",
        "method": "GET",
        "path": "/o/acme/act/",
    }


@pytest.mark.parametrize(
    ("hops", "forwarded", "remote", "ip"),
    [
        pytest.param(0, "6.6.6.6", "10.0.0.1", "10.0.0.1", id="no proxy: the header is not believed"),
        pytest.param(1, "6.6.6.6, 192.0.2.7", "10.0.0.1", "192.0.2.7", id="one: what it appended"),
        pytest.param(2, "6.6.6.6, 192.0.2.7, 10.0.0.2", "10.0.0.1", "192.0.2.7", id="two: counted from the right"),
        pytest.param(1, "", "10.0.0.1", "10.0.0.1", id="one, no header"),
        pytest.param(2, "192.0.2.7", "10.0.0.1", "10.0.0.1", id="two, fewer hops: a proxy was passed by"),
        pytest.param(1, "6.6.6.6, junk", "10.0.0.1", "10.0.0.1", id="not an address"),
        pytest.param(1, "192.0.2.7:4711", "10.0.0.1", "192.0.2.7", id="with port"),
        pytest.param(1, "[2001:db8::1]:443", "10.0.0.1", "2001:db8::1", id="IPv6 with port"),
        pytest.param(1, "2001:DB8:0::1", "10.0.0.1", "2001:db8::1", id="IPv6 in short"),
        pytest.param(0, "6.6.6.6", "", None, id="a unix socket"),
    ],
)
def test_the_address_of_the_client(
    settings: Any, rf: RequestFactory, hops: int, forwarded: str, remote: str, ip: str | None
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "TRUSTED_PROXY_COUNT": hops}
    headers = {"x-forwarded-for": forwarded} if forwarded else {}
    assert client_ip(rf.get("/", headers=headers, REMOTE_ADDR=remote)) == ip


@pytest.mark.parametrize("given", ["a", "A-1._z", "x" * 64])
def test_a_well_formed_request_id_is_kept(rf: RequestFactory, given: str) -> None:
    assert request_id_of(rf.get("/", headers={"x-request-id": given})) == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\n", "<script>", "ä", "a;b"])
def test_another_request_id_is_replaced(rf: RequestFactory, given: str) -> None:
    assert re.fullmatch("[0-9a-f]{32}", request_id_of(rf.get("/", headers={"x-request-id": given})))


@pytest.mark.django_db
def test_all_events_of_a_request_have_one_id(acme: Organization, rf: RequestFactory) -> None:
    with auditlog.context(request=rf.get("/"), tenant=acme):
        auditlog.event("member.invited")
        with auditlog.context(source="deeper"):
            auditlog.event("member.invited")
    assert len({event.context["request_id"] for event in auditlog.list(acme)}) == 1


def test_without_a_user_the_request_is_anonymous_and_without_a_request_it_is_the_system(rf: RequestFactory) -> None:
    with auditlog.context(request=rf.get("/")):
        assert _actor() == ANONYMOUS
    with auditlog.context():
        assert _actor() == SYSTEM


@pytest.mark.django_db(transaction=True)
def test_a_denial_in_a_coroutines_context_survives_its_threads_rollback() -> None:
    def denied() -> None:
        with transaction.atomic():
            auditlog.event("access.denied", tenant="system", outcome="denied")
            raise PermissionError

    async def act() -> None:
        with pytest.raises(PermissionError), auditlog.context(actor="user:1"):
            await sync_to_async(denied)()

    async_to_sync(act)()
    auditlog.event("member.invited", tenant="system")
    found = Event.objects.filter(action__in=["access.denied", "member.invited"])
    assert sorted(found.values_list("action", flat=True)) == ["access.denied", "member.invited"]
