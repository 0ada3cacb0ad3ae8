"""Fixtures of the whole suite: the database of this run, organizations and users, and the guards lifted for flushes."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from django.contrib.auth.models import User

    from tests.host.models import Organization

_servers = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Start a PostgreSQL of our own where this run needs one; xdist workers inherit that of their controller."""
    if os.environ.get("AUDITKIT_TEST_DB") != "postgresql" or os.environ.get("AUDITKIT_TEST_PGHOST"):
        return
    from django.conf import settings

    from tests.support.postgres import running

    server = _servers.enter_context(running()).settings()
    os.environ["AUDITKIT_TEST_PGHOST"], os.environ["AUDITKIT_TEST_PGPORT"] = str(server["HOST"]), str(server["PORT"])
    settings.DATABASES["default"].update(HOST=server["HOST"], PORT=server["PORT"])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the PostgreSQL that this process started."""
    _servers.close()


@pytest.fixture(autouse=True, scope="session")
def _flush_with_guards_lifted() -> Iterator[None]:
    """The one place where our guards, which our tests ask for, are lifted: the flush after a transactional test."""
    from django.test import TransactionTestCase

    from auditkit_django.testing import guards_lifted

    patch = pytest.MonkeyPatch()
    flush = TransactionTestCase._fixture_teardown

    def flush_unguarded(self: TransactionTestCase) -> None:
        with guards_lifted():
            flush(self)

    patch.setattr(TransactionTestCase, "_fixture_teardown", flush_unguarded)
    yield
    patch.undo()


@pytest.fixture(autouse=True)
def _no_actions_outlive_a_test() -> Iterator[None]:
    """Actions that a test registers are gone after it."""
    from auditkit_django.actions import registry
    from auditkit_django.recording.record import _words_of

    by_name, places = dict(registry._BY_NAME), dict(registry._PLACES)
    yield
    if by_name != registry._BY_NAME:
        for table, value in ((registry._BY_NAME, by_name), (registry._PLACES, places)):
            table.clear()
            table.update(value)
        _words_of.cache_clear()


@pytest.fixture
def is_postgresql() -> bool:
    """Whether this run is on PostgreSQL."""
    return os.environ.get("AUDITKIT_TEST_DB") == "postgresql"


@pytest.fixture
def make_organization(db: None) -> Callable[[str], Organization]:
    """Make an organization from its slug."""

    def make(slug: str) -> Organization:
        from tests.host.models import Organization

        return Organization.objects.create(slug=slug, name=slug.title())

    return make


@pytest.fixture
def acme(make_organization: Callable[[str], Organization]) -> Organization:
    """One tenant."""
    return make_organization("acme")


@pytest.fixture
def globex(make_organization: Callable[[str], Organization]) -> Organization:
    """Another tenant."""
    return make_organization("globex")


@pytest.fixture
def make_user(db: None) -> Callable[..., User]:
    """Make a user, a member of ``organization`` with ``role`` where given."""

    def make(username: str, *, organization: Organization | None = None, role: str = "owner", **fields: Any) -> User:
        from django.contrib.auth.models import User

        from tests.host.models import Membership

        user = User.objects.create_user(username, f"{username}@example.org", "correct horse", **fields)
        if organization is not None:
            Membership.objects.create(organization=organization, user=user, role=role)
        return user

    return make


@pytest.fixture
def ada(make_user: Callable[..., User], acme: Organization) -> User:
    """An owner of ``acme``."""
    return make_user("ada", organization=acme, first_name="Ada", last_name="Lovelace")


@pytest.fixture
def grace(make_user: Callable[..., User], globex: Organization) -> User:
    """An owner of ``globex``."""
    return make_user("grace", organization=globex, first_name="Grace", last_name="Hopper")
