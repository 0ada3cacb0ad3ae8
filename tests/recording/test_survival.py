"""
Failures and denials survive the rollback that they caused; a commit keeps exactly one of each (law 4).

On SQLite and PostgreSQL, in real transactions and inside a ``TestCase``'s.
"""

from __future__ import annotations

import unittest
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, connections, transaction
from django.test import Client, TestCase

from auditkit_django import audited, auditlog
from auditkit_django.models import Event
from auditkit_django.recording.survival import ORPHANS
from tests.host.models import Invoice, Organization
from tests.recording import actions_of

REAL = pytest.param(True, marks=pytest.mark.django_db(transaction=True), id="real transactions")
WRAPPED = pytest.param(False, marks=pytest.mark.django_db, id="inside a TestCase")
both = pytest.mark.parametrize("is_real", [REAL, WRAPPED])


@contextmanager
def raised(*kinds: type[Exception]) -> Iterator[None]:
    """The block must raise; unlike ``pytest.raises`` it may hold several statements."""
    with pytest.raises(kinds or (PermissionDenied,)):
        yield


@pytest.fixture
def atomic_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", True)


def _deny(tenant: Organization) -> None:
    auditlog.event("access.denied", tenant=tenant, outcome="denied")
    raise PermissionDenied


@both
def test_a_denial_survives_the_view_that_is_a_transaction(
    is_real: bool, client: Client, acme: Organization, atomic_requests: None
) -> None:
    assert client.get("/o/acme/denied/").status_code == 403
    assert actions_of(acme) == ["access.denied"]
    assert not Invoice.objects.exists(), "the change itself is rolled back"


@both
@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "ATOMIC_REQUESTS"])
@pytest.mark.parametrize("view", ["denied/", "denied/inside/", "denied/kept/"])
def test_a_view_leaves_exactly_one_denial(
    is_real: bool, view: str, is_atomic: bool, client: Client, acme: Organization, request: pytest.FixtureRequest
) -> None:
    if is_atomic:
        request.getfixturevalue("atomic_requests")
    for number in range(1, 3):
        assert client.get(f"/o/acme/{view}").status_code == 403
        assert actions_of(acme) == ["access.denied"] * number


@both
def test_events_of_success_do_not_survive(is_real: bool, acme: Organization) -> None:
    with auditlog.context(), raised(), transaction.atomic():
        auditlog.event("member.invited", tenant=acme)
        _deny(acme)
    assert actions_of(acme) == ["access.denied"]


@both
def test_a_savepoint_rolls_back_and_the_transaction_around_it_commits(is_real: bool, acme: Organization) -> None:
    with auditlog.context(), transaction.atomic():
        auditlog.event("member.invited", tenant=acme)
        with raised(), transaction.atomic():
            _deny(acme)
    assert sorted(actions_of(acme)) == ["access.denied", "member.invited"]


@both
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_savepoint_rolls_back_and_then_everything_around_it(is_real: bool, levels: int, acme: Organization) -> None:
    def enter(level: int) -> None:
        with auditlog.context(), transaction.atomic():
            if level:
                enter(level - 1)
            _deny(acme)

    with raised(), auditlog.context():
        enter(levels)
    assert actions_of(acme) == ["access.denied"]


@both
def test_an_inner_context_ends_while_the_transaction_is_open(is_real: bool, acme: Organization) -> None:
    with auditlog.context():
        with raised(ZeroDivisionError), transaction.atomic():
            with auditlog.context(source="inner"):
                auditlog.event("access.denied", tenant=acme, outcome="denied")
            raise ZeroDivisionError
        assert actions_of(acme) == [], "it is written when the outer context ends"
    assert actions_of(acme) == ["access.denied"]


@both
def test_a_commit_keeps_exactly_one(is_real: bool, acme: Organization) -> None:
    with auditlog.context(), auditlog.context(), transaction.atomic(), transaction.atomic():
        auditlog.event("access.denied", tenant=acme, outcome="denied")
    assert actions_of(acme) == ["access.denied"]


@pytest.mark.django_db(transaction=True)
def test_a_commit_whose_callbacks_fail_keeps_exactly_one(acme: Organization) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with raised(ZeroDivisionError), auditlog.context(), transaction.atomic():
        transaction.on_commit(fail)
        auditlog.event("access.denied", tenant=acme, outcome="denied")
    assert actions_of(acme) == ["access.denied"]


@both
@pytest.mark.parametrize("outcome", ["failure", "denied"])
def test_outside_any_context_it_waits_for_the_next_event(is_real: bool, outcome: Any, acme: Organization) -> None:
    with raised(), transaction.atomic():
        auditlog.event("access.denied", tenant=acme, outcome=outcome)
        raise PermissionDenied
    if is_real:
        auditlog.event("member.invited", tenant=acme)
        assert sorted(actions_of(acme)) == ["access.denied", "member.invited"]
    else:
        ORPHANS.settle()
        assert actions_of(acme) == ["access.denied"]


@pytest.mark.django_db(transaction=True)
def test_outside_any_context_it_is_written_at_the_end_of_a_request_at_the_latest(
    client: Client, acme: Organization
) -> None:
    with raised(), transaction.atomic():
        _deny(acme)
    client.get("/nowhere/")
    assert actions_of(acme) == ["access.denied"]


@both
def test_a_failed_statement_does_not_hide_the_failure(is_real: bool, acme: Organization) -> None:
    @audited("data.record.created", tenant=acme)
    def create() -> None:
        Organization.objects.create(slug="acme", name="taken")

    with raised(IntegrityError):
        create()
    [event] = auditlog.list(acme, action="data.record.created")
    assert (event.outcome, event.metadata) == ("failure", {"reason": "IntegrityError"})


@both
def test_a_failure_may_be_recorded_in_a_transaction_that_is_broken_already(is_real: bool, acme: Organization) -> None:
    with auditlog.context(), transaction.atomic():
        transaction.set_rollback(True)
        auditlog.event("access.denied", tenant=acme, outcome="denied")
    assert actions_of(acme) == ["access.denied"]


@both
@pytest.mark.parametrize("kind", ["function", "class", "api", "api-class"])
@pytest.mark.parametrize("ending", ["forbid", "crash", "missing"])
def test_an_audited_view_that_is_a_transaction_keeps_its_failure(
    is_real: bool, kind: str, ending: str, client: Client, acme: Organization, atomic_requests: None
) -> None:
    client.raise_request_exception = False
    if (kind, ending) == ("api-class", "forbid"):
        ending = "403"
    client.get(f"/o/acme/audited/{kind}/{ending}/")
    [event] = auditlog.list(acme, action="data.record.created")
    assert event.outcome == ("denied" if ending in ("forbid", "403") else "failure")


@pytest.mark.django_db(transaction=True)
def test_the_event_that_survives_is_appended(acme: Organization) -> None:
    with raised(), auditlog.context(), transaction.atomic():
        _deny(acme)
    assert [event.seq for event in auditlog.list(acme, action="access.denied")] == [1]
    assert auditlog.verify(acme).verdict == "VALID"


def _ends_in_a_test(act: Callable[[Organization], None]) -> list[str]:
    """Run ``act`` in a host's ``TestCase``; what the next event finds."""

    class Host(TestCase):
        def test_it(self) -> None:
            act(Organization.objects.create(slug="inside", name="Inside"))

    result = unittest.TestResult()
    unittest.TestSuite([Host("test_it")]).run(result)
    assert result.wasSuccessful(), result.errors + result.failures
    auditlog.event("member.invited", tenant="next test")
    return list(Event.objects.exclude(category="audit").values_list("action", flat=True))


def _denied_and_rolled_back(tenant: Organization) -> None:
    with raised(), transaction.atomic():
        _deny(tenant)


def _denied_and_kept(tenant: Organization) -> None:
    with transaction.atomic():
        auditlog.event("access.denied", tenant=tenant, outcome="denied")


def _denied_at_once(tenant: Organization) -> None:
    auditlog.event("access.denied", tenant=tenant, outcome="denied")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("act", [_denied_and_rolled_back, _denied_and_kept, _denied_at_once])
def test_what_a_test_case_rolls_back_never_turns_up_in_the_next_test(act: Callable[[Organization], None]) -> None:
    assert _ends_in_a_test(act) == ["member.invited"]
