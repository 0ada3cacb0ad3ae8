"""Each filter alone, as PostgreSQL plans it: along an index that leads with the tenant. And the number of queries of a page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from django.db import connection

from auditkit_django import auditlog
from auditkit_django.query.filters import EventFilter
from auditkit_django.query.pages import page_of
from auditkit_django.testing import append_now

if TYPE_CHECKING:
    from pytest_django.fixtures import DjangoAssertNumQueries

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 1, 1, tzinfo=UTC)
FILTERS: list[dict[str, Any]] = [
    {},
    {"action": "member.invited"},
    {"action": "member.*"},
    {"category": "member"},
    {"actor": "user:1"},
    {"actor": "1"},
    {"target": "invitation:7"},
    {"target": "7"},
    {"outcome": "success"},
    {"outcome": "denied"},
    {"severity": "low"},
    {"severity": "critical"},
    {"ip": "203.0.113.7"},
    {"ip": "203.0.113.0/24"},
    {"request_id": "r"},
    {"start": NOW},
    {"end": NOW},
    {"recorded_start": NOW},
    {"recorded_end": NOW},
    {"metadata": {"role": "admin"}},
    {"text": "grace"},
    {"query": "-action:member.joined"},
    {"query": "action:member.* -outcome:failure actor:user:1 ip:203.0.113.0/24 after:2020-01-01 free"},
    {"query": "metadata.role:admin"},
]


@pytest.fixture
def many(is_postgresql: bool) -> None:
    """40,000 rows of 40 tenants, made by the database, and statistics of them."""
    if not is_postgresql:
        pytest.skip("the plans of PostgreSQL")
    auditlog.event("member.invited", tenant="t-0", actor="user:1", resource="invitation:7", metadata={"role": "admin"})
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO auditkit_django_event SELECT gen_random_uuid(), 't-' || n % 40, occurred_at - n * interval '1 minute',"
            " recorded_at, action, category, severity, outcome, 'user', (n / 40 % 9)::text, 'invitation', n::text, disclosures"
            " FROM auditkit_django_event, generate_series(1, 40000) n"
        )
        cursor.execute("ANALYZE auditkit_django_event")


@pytest.mark.parametrize("members", FILTERS, ids=str)
def test_every_single_filter_goes_along_an_index_of_the_tenant(many: None, members: dict[str, Any]) -> None:
    rows = EventFilter(**members).apply("t-3").order_by("-occurred_at", "-id")[:51]
    plan = rows.explain()
    assert "Seq Scan" not in plan, plan
    assert (
        "Index Cond: ((tenant)::text = 't-3'::text)" in plan
        or "Index Cond: (((tenant)::text = 't-3'::text) AND" in plan
    ), plan
    assert {row.tenant for row in rows} <= {"t-3"}


@pytest.mark.parametrize("members", FILTERS, ids=str)
def test_a_page_is_two_queries_whatever_is_looked_for(
    members: dict[str, Any], django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(30):
        auditlog.event("member.invited", tenant="acme", actor="user:1", resource=f"invitation:{number}")
    append_now()
    with django_assert_max_num_queries(2) as asked:
        page_of("acme", EventFilter(**members), limit=20)
    assert not any("COUNT(" in one["sql"].upper() or "OFFSET" in one["sql"].upper() for one in asked.captured_queries)


def test_those_that_are_rare_have_indexes_of_their_own(many: None) -> None:
    for members, index in (({"outcome": "denied"}, "outcome"), ({"severity": "critical"}, "severity")):
        plan = EventFilter(**members).apply("t-3").order_by("-occurred_at", "-id")[:51].explain()
        assert index in plan.partition("Index Scan")[2].split("\n")[0], plan
