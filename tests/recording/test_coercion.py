"""Actors, targets, tenants and changes from whatever a caller has at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils.functional import SimpleLazyObject

from auditkit_django import auditlog
from auditkit_django.drafts import ANONYMOUS, SYSTEM, Actor, Change, Target
from auditkit_django.exceptions import MalformedError, MissingTenantError
from auditkit_django.recording.coercion import actor_from, changes_from, name_of, target_from, targets_from
from auditkit_django.tenancy import tenant_key
from tests.host.models import ApiKey, Invoice, Membership, Organization
from tests.host.views import TokenUser
from tests.recording import recorded


@pytest.mark.parametrize(
    ("given", "actor"),
    [
        pytest.param("service:importer", Actor("service", "importer"), id="type and id"),
        pytest.param("alice", Actor("user", "alice"), id="a user's id"),
        pytest.param("urn:a:b", Actor("urn", "a:b"), id="colons in the id"),
        pytest.param("system", SYSTEM, id="system"),
        pytest.param("anonymous", ANONYMOUS, id="anonymous"),
        pytest.param(AnonymousUser(), ANONYMOUS, id="AnonymousUser"),
        pytest.param(SimpleLazyObject(AnonymousUser), ANONYMOUS, id="lazy AnonymousUser"),
        pytest.param(Actor("robot", "7", "R"), Actor("robot", "7", "R"), id="Actor"),
        pytest.param(Actor("robot", 7), Actor("robot", "7"), id="Actor with a number"),  # type: ignore[arg-type]
        pytest.param(TokenUser(pk="9", username="t"), Actor("user", "9", "t"), id="a token's user"),
        pytest.param(User(pk=3, username="u"), Actor("user", "3", "u"), id="user"),
        pytest.param(
            SimpleLazyObject(lambda: User(pk=3, username="u", email="u@example.org", first_name="U", last_name="V")),
            Actor("user", "3", "U V", "u@example.org"),
            id="lazy user",
        ),
        pytest.param(ApiKey(pk=4, name="CI"), Actor("apikey", "4", "CI"), id="another model"),
    ],
)
def test_an_actor(given: object, actor: Actor) -> None:
    assert actor_from(given) == actor


@pytest.mark.parametrize(
    ("given", "target"),
    [
        pytest.param("invoice:17", Target("invoice", "17"), id="type and id"),
        pytest.param("settings", Target("settings"), id="a type alone"),
        pytest.param(Target("invoice", UUID(int=1)), Target("invoice", str(UUID(int=1))), id="Target"),  # type: ignore[arg-type]
        pytest.param(Invoice(pk=5, title="First"), Target("invoice", "5", "First"), id="a model instance"),
    ],
)
def test_a_target(given: object, target: Target) -> None:
    assert target_from(given) == target


@pytest.mark.parametrize(
    "given", [None, 7, object(), TokenUser(pk="9", username="t", is_authenticated=False), ":7", "user:"]
)
def test_what_is_no_actor_is_refused(given: object) -> None:
    with pytest.raises(MalformedError, match="actor"):
        actor_from(given)


@pytest.mark.parametrize("given", [User(username="new"), Invoice(title="new")])
def test_unsaved_instances_are_refused_with_the_remedy(given: object) -> None:
    for convert in (actor_from, target_from):
        with pytest.raises(MalformedError, match="record after save"):
            convert(given)


@pytest.mark.parametrize(
    ("given", "key"), [("acme", "acme"), (7, "7"), (UUID(int=1), str(UUID(int=1))), (Organization(pk=9), "9")]
)
def test_a_tenant(given: object, key: str) -> None:
    assert tenant_key(given) == key


def test_a_tenants_key_is_the_attribute_that_the_setting_names(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "TENANT_KEY": "slug"}
    assert tenant_key(Organization(pk=9, slug="nine")) == "nine"
    with pytest.raises(MissingTenantError):
        tenant_key(Organization(pk=9))


@pytest.mark.django_db
def test_without_a_tenant_nothing_is_recorded_unless_the_caller_says_system() -> None:
    with pytest.raises(MissingTenantError, match="tenant=") as caught:
        auditlog.event("member.invited")
    assert caught.value.code == "tenant_missing"
    assert recorded(tenant="system").tenant == "system"


@pytest.mark.django_db
def test_no_log_has_to_exist_for_a_tenant_to_be_recorded() -> None:
    auditlog.event("member.invited", tenant="never-seen-before")
    assert len(auditlog.list("never-seen-before")) == 1


@pytest.mark.django_db
def test_names_are_taken_without_a_query_and_never_from_str(ada: Any, acme: Organization) -> None:
    membership = Membership.objects.get(user=ada)
    deferred = Invoice.objects.defer("title").get(pk=Invoice.objects.create(organization=acme, title="x").pk)
    with CaptureQueriesContext(connection) as queries:
        assert target_from(membership) == Target("membership", str(membership.pk))
        assert target_from(deferred) == Target("invoice", str(deferred.pk))
        assert actor_from(ada) == Actor("user", str(ada.pk), "Ada Lovelace", "ada@example.org")
    assert len(queries) == 0


@pytest.mark.parametrize("own", [lambda: "own", "own"], ids=["method", "attribute"])
def test_a_model_names_itself(monkeypatch: pytest.MonkeyPatch, own: str | Callable[[], str]) -> None:
    invoice = Invoice(pk=1, title="First")
    invoice.auditkit_name = own  # type: ignore[attr-defined]
    assert name_of(invoice) == "own"


def test_the_resource_is_the_first_target() -> None:
    assert [target.id for target in targets_from("a:1", ["a:2", "a:3"])] == ["1", "2", "3"]
    assert targets_from(None, ["a:2"]) == (Target("a", "2"),)


@pytest.mark.django_db
def test_every_target_is_recorded_and_the_first_is_searchable() -> None:
    event = recorded(resource="a:1", targets=["b:2"])
    assert event.targets == [{"type": "a", "id": "1"}, {"type": "b", "id": "2"}]
    assert [found.id for found in auditlog.list("system", target="a:1")] == [event.id]


def test_changes_are_pairs_or_change_objects() -> None:
    assert changes_from({"a": (1, 2), "b": [None, "x"]}) == (Change("a", 1, 2), Change("b", None, "x"))
    assert changes_from([Change("a", 1, 2)]) == (Change("a", 1, 2),)
    assert changes_from({}) == changes_from(None) == ()


@pytest.mark.django_db
def test_a_redacted_change_has_a_name_and_no_values() -> None:
    event = recorded(changes=[Change("blood_type", "A", "B", is_redacted=True), Change("role", "a", "b")])
    assert event.changes == [{"field": "blood_type", "redacted": True}, {"field": "role", "old": "a", "new": "b"}]


@pytest.mark.django_db
def test_the_actor_outlives_its_row(ada: Any, acme: Organization) -> None:
    auditlog.event("member.invited", tenant=acme, actor=ada, resource=ada)
    key = str(ada.pk)
    ada.delete()
    [event] = auditlog.list(acme, actor=f"user:{key}")
    assert event.actor == {"type": "user", "id": key, "name": "Ada Lovelace", "email": "ada@example.org"}
