"""``django-hijack``: who began to act as whom, and who really acted in everything in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import SESSION_KEY, get_user_model
from django.contrib.auth.models import Group, User
from django.contrib.sessions.backends.db import SessionStore
from django.db import IntegrityError, connection, transaction
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hijack.signals import hijack_started

from auditkit_django import auditlog
from auditkit_django.hooks.packs import hijack
from auditkit_django.models import Event
from auditkit_django.recording.context import IMPERSONATION_RESOLVERS

if TYPE_CHECKING:
    from collections.abc import Iterator

Recorded = Callable[..., list[dict[str, Any]]]

IMPERSONATION = ("session.impersonation.started", "session.impersonation.ended")


@pytest.fixture
def root(make_user: Callable[..., User]) -> User:
    """Somebody of the vendor's support, who may act as any customer."""
    return make_user("root", is_staff=True, is_superuser=True, first_name="Rita", last_name="Root")


@pytest.fixture
def support(client: Client, root: User) -> Client:
    """A browser in which they are signed in."""
    client.force_login(root)
    return client


def begin(client: Client, user: User) -> None:
    """Begin to act as ``user``."""
    assert client.post(reverse("hijack:acquire"), {"user_pk": user.pk}).status_code == 302


def end(client: Client) -> None:
    """Stop acting as somebody else."""
    assert client.post(reverse("hijack:release")).status_code == 302


def people(event: dict[str, Any]) -> tuple[str, str | None]:
    """Who acted, and whose identity they used, by name."""
    behalf = event.get("on_behalf_of")
    return event["actor"].get("name", event["actor"]["type"]), None if behalf is None else behalf["name"]


def test_beginning_and_ending_are_recorded_and_are_no_sign_ins(
    support: Client, root: User, ada: User, recorded: Recorded
) -> None:
    before = len(recorded())
    begin(support, ada)
    end(support)
    started, ended = recorded()[before:]
    assert (started["action"], ended["action"]) == IMPERSONATION
    for event in (started, ended):
        assert event["actor"]["id"] == str(root.pk)
        assert event["targets"] == [{"type": "user", "id": str(ada.pk), "name": "Ada Lovelace"}]
        assert "on_behalf_of" not in event
        assert event["outcome"] == "success"


def test_the_logs_are_those_of_the_customer(support: Client, ada: User, recorded: Recorded, settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": lambda user: [f"home-of-{user}"]}
    begin(support, ada)
    end(support)
    assert [event["tenant"] for event in recorded(only="session.impersonation")] == ["home-of-ada"] * 2


def test_in_between_the_impersonator_acts_on_behalf_of_the_customer(
    support: Client, root: User, ada: User, recorded: Recorded
) -> None:
    begin(support, ada)
    support.get("/act/")
    [event] = recorded(only="org")
    assert event["actor"] == {
        "type": "user",
        "id": str(root.pk),
        "name": "Rita Root",
        "email": "root@example.org",
    }
    assert event["on_behalf_of"]["id"] == str(ada.pk)
    end(support)
    support.get("/act/")
    assert [people(event) for event in recorded(only="org")] == [("Rita Root", "Ada Lovelace"), ("Rita Root", None)]


def test_what_hooks_see_in_between_has_both_too(
    support: Client, ada: User, make_user: Callable[..., User], recorded: Recorded
) -> None:
    ada.is_staff = ada.is_superuser = True
    ada.save()
    group = Group.objects.create(name="editors")
    begin(support, ada)
    support.post(reverse("admin:auth_group_delete", args=[group.pk]), {"post": "yes"})
    support.post(
        reverse("admin:auth_user_password_change", args=[ada.pk]),
        {"password1": "battery staple 7", "password2": "battery staple 7", "usable_password": "true"},
    )
    deleted, changed = recorded(only="role.deleted") + recorded(only="auth.password")
    assert people(deleted) == people(changed) == ("Rita Root", "Ada Lovelace")
    assert changed["action"] == "auth.password.reset", "it is not Ada who changed Ada's password"


def test_a_context_inside_of_the_request_keeps_both(
    support: Client, root: User, ada: User, recorded: Recorded, rf: RequestFactory
) -> None:
    begin(support, ada)
    request = rf.get("/")
    request.session = support.session
    request.user = ada
    with auditlog.context(request=request), auditlog.context(source="deeper"):
        auditlog.event("org.updated", tenant="acme")
    [event] = recorded(only="org")
    assert people(event) == ("Rita Root", "Ada Lovelace")


def test_an_actor_who_is_given_by_the_identity_is_the_impersonator(
    support: Client, ada: User, recorded: Recorded, rf: RequestFactory
) -> None:
    begin(support, ada)
    request = rf.get("/")
    request.session = support.session
    request.user = ada
    with auditlog.context(request=request, tenant="acme"):
        auditlog.event("org.updated", actor=request.user)
        auditlog.event("org.updated", actor="service:importer")
    assert [event["actor"].get("name") for event in recorded(only="org")] == ["Rita Root", None]


def test_an_impersonation_out_of_another_is_of_who_began_the_first(
    support: Client, ada: User, grace: User, recorded: Recorded
) -> None:
    ada.is_superuser = True
    ada.save()
    before = len(recorded())
    begin(support, ada)
    begin(support, grace)
    support.get("/act/")
    end(support)
    support.get("/act/")
    end(support)
    support.get("/act/")
    assert [
        (event["action"], *people(event), event.get("targets", [{}])[0].get("name")) for event in recorded()[before:]
    ] == [
        ("session.impersonation.started", "Rita Root", None, "Ada Lovelace"),
        ("session.impersonation.started", "Rita Root", "Ada Lovelace", "Grace Hopper"),
        ("org.updated", "Rita Root", "Grace Hopper", None),
        ("session.impersonation.ended", "Rita Root", "Ada Lovelace", "Grace Hopper"),
        ("org.updated", "Rita Root", "Ada Lovelace", None),
        ("session.impersonation.ended", "Rita Root", None, "Ada Lovelace"),
        ("org.updated", "Rita Root", None, None),
    ]


def test_signing_out_ends_it(support: Client, ada: User, grace: User, recorded: Recorded) -> None:
    ada.is_superuser = True
    ada.save()
    begin(support, ada)
    begin(support, grace)
    support.post(reverse("account_logout"))
    [left] = recorded(only="auth.logout")
    assert people(left) == ("Rita Root", "Grace Hopper")
    ended = recorded(only="session.impersonation.ended")
    assert [(people(event), event["targets"][0]["name"]) for event in ended] == [
        (("Rita Root", "Ada Lovelace"), "Grace Hopper"),
        (("Rita Root", None), "Ada Lovelace"),
    ]


@pytest.fixture
def receivers_record() -> Iterator[None]:
    """A receiver of the host's that records when somebody begins to act as somebody."""

    def receiver(**_signal: Any) -> None:
        auditlog.event("org.updated", tenant="acme")

    hijack_started.connect(receiver)
    yield
    hijack_started.disconnect(receiver)


def test_what_is_recorded_right_after_the_beginning_has_both(
    receivers_record: None, support: Client, ada: User, recorded: Recorded
) -> None:
    begin(support, ada)
    [event] = recorded(only="org")
    assert people(event) == ("Rita Root", "Ada Lovelace")


def test_the_impersonator_is_read_once_for_a_request(
    support: Client, root: User, ada: User, rf: RequestFactory
) -> None:
    begin(support, ada)
    request = rf.get("/")
    request.session = support.session
    request.user = ada
    with auditlog.context(request=request, tenant="acme"), CaptureQueriesContext(connection) as queries:
        for _ in range(5):
            auditlog.event("org.updated")
    assert sum('FROM "auth_user"' in query["sql"] for query in queries) == 1
    assert Event.objects.filter(action="org.updated", actor_id=str(root.pk)).count() == 5


def test_a_request_without_a_session_is_not_made_to_load_one(rf: RequestFactory, ada: User) -> None:
    request = rf.get("/")
    request.session = SessionStore()
    request.user = ada
    with auditlog.context(request=request, tenant="acme"):
        auditlog.event("org.updated")
    assert not request.session.accessed, "it would make the answer vary by cookie"


def test_a_session_that_was_never_saved_is_believed(
    root: User, ada: User, grace: User, recorded: Recorded, rf: RequestFactory
) -> None:
    request = rf.get("/")
    request.session = SessionStore()
    request.user = ada
    with auditlog.context(request=request, tenant="acme"):
        for impersonator in (root, grace):
            request.session.update({"hijack_history": [str(impersonator.pk)], SESSION_KEY: str(ada.pk)})
            auditlog.event("org.updated")
        request.session.pop("hijack_history")
        auditlog.event("org.updated")
    assert [people(event) for event in recorded(only="org")] == [
        ("Rita Root", "Ada Lovelace"),
        ("Grace Hopper", "Ada Lovelace"),
        ("Ada Lovelace", None),
    ]


def test_a_token_of_somebody_else_is_not_impersonation(
    support: Client, ada: User, grace: User, recorded: Recorded, rf: RequestFactory
) -> None:
    begin(support, ada)
    request = rf.get("/")
    request.session = support.session
    # What an API does that authenticates by token, whatever cookies come along.
    request.user = grace
    with auditlog.context(request=request):
        auditlog.event("org.updated", tenant="acme")
    [event] = recorded(only="org")
    assert people(event) == ("Grace Hopper", None)


def test_an_impersonator_whose_account_is_gone_is_known_by_key(
    support: Client, root: User, ada: User, recorded: Recorded
) -> None:
    begin(support, ada)
    key = str(root.pk)
    get_user_model().objects.filter(pk=root.pk).delete()
    support.get("/act/")
    [event] = recorded(only="org")
    assert event["actor"] == {"type": "user", "id": key}
    assert event["on_behalf_of"]["id"] == str(ada.pk)


@pytest.mark.django_db(transaction=True)
def test_a_denial_in_a_broken_transaction_is_recorded_without_the_name(
    support: Client, root: User, ada: User, recorded: Recorded, rf: RequestFactory
) -> None:
    begin(support, ada)
    request = rf.get("/")
    request.session = support.session
    assert request.session.keys(), "loaded, as it is once the user is known"
    request.user = ada
    with auditlog.context(request=request, tenant="acme"), pytest.raises(PermissionError), transaction.atomic():
        with pytest.raises(IntegrityError):
            User.objects.bulk_create([User(username="ada")])
        auditlog.event("access.denied")
        raise PermissionError
    [event] = recorded(only="access.denied")
    assert event["actor"] == {"type": "user", "id": str(root.pk)}
    assert event["on_behalf_of"]["id"] == str(ada.pk)


def test_who_signs_in_afterwards_is_told_as_ever(support: Client, ada: User, grace: User, recorded: Recorded) -> None:
    begin(support, ada)
    end(support)
    before = len(recorded())
    Client().force_login(grace)
    [event] = recorded()[before:]
    assert (event["action"], people(event)) == ("auth.login.succeeded", ("Grace Hopper", None))


@pytest.mark.parametrize("off", ["hijack", "session.impersonation.started"])
def test_it_can_be_switched_off(support: Client, ada: User, recorded: Recorded, settings: Any, off: str) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": [off]}
    begin(support, ada)
    assert recorded(only="session.impersonation") == []


def test_connecting_twice_tells_once(support: Client, ada: User, recorded: Recorded) -> None:
    hijack.connect()
    assert IMPERSONATION_RESOLVERS.count(hijack.impersonation_in) == 1
    begin(support, ada)
    assert len(recorded(only="session.impersonation")) == 1
