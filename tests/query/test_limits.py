"""Readings that take too long are ended, and say so."""

from __future__ import annotations

import os

import pytest
from django.db import ProgrammingError, connection, transaction

from auditkit_django.exceptions import QueryTimeoutError
from auditkit_django.query.limits import statement_timeout

pytestmark = pytest.mark.django_db

_only_postgresql = pytest.mark.skipif(
    os.environ.get("AUDITKIT_TEST_DB") != "postgresql", reason="SQLite has no such limit"
)


def _asked(sql: str) -> object:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchone()[0]


def test_what_is_quick_enough_is_not_disturbed() -> None:
    with statement_timeout(5):
        assert _asked("SELECT 1") == 1


@pytest.mark.parametrize("seconds", [0, -1, 0.0001])
def test_no_time_at_all_is_refused(seconds: float) -> None:
    with pytest.raises(ValueError, match="wanted at least"), statement_timeout(seconds):
        pass


@_only_postgresql
def test_what_takes_longer_is_ended_and_the_transaction_goes_on() -> None:
    before = _asked("SHOW statement_timeout")
    with (
        pytest.raises(QueryTimeoutError, match=r"got no answer within 0\.02 s, wanted") as caught,
        statement_timeout(0.02),
    ):
        _asked("SELECT pg_sleep(60)")
    assert caught.value.code == "query_timeout"
    assert _asked("SHOW statement_timeout") == before


@_only_postgresql
def test_what_was_set_before_is_set_again() -> None:
    with transaction.atomic():
        _asked("SELECT set_config('statement_timeout', '61s', true)")
        with statement_timeout(7):
            assert _asked("SHOW statement_timeout") == "7s"
        assert _asked("SHOW statement_timeout") == "61s"


@_only_postgresql
def test_another_error_is_not_taken_for_it() -> None:
    with pytest.raises(ProgrammingError), statement_timeout(5):
        _asked("SELECT nothing_of_that_name")


@_only_postgresql
@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_it_makes_one_and_leaves_nothing() -> None:
    before = _asked("SHOW statement_timeout")
    with statement_timeout(7):
        assert connection.in_atomic_block
    assert _asked("SHOW statement_timeout") == before
    with pytest.raises(QueryTimeoutError), statement_timeout(0.02):
        _asked("SELECT pg_sleep(60)")
    assert _asked("SHOW statement_timeout") == before
