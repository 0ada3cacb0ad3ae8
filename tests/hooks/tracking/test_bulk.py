"""The bulk matrix: every row that any path of the ORM writes is recorded with old and new, or the call is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import connection, transaction
from django.db.models import Count, F, Value
from django.db.models.functions import Concat
from django.test.utils import CaptureQueriesContext

from auditkit_django.exceptions import UntrackedError
from auditkit_django.hooks.tracking import reading, suspended
from auditkit_django.models import Event
from tests.hooks.tracking.conftest import Told
from tests.tracked.models import Country, Document, Folder, Share, Tag

if TYPE_CHECKING:
    from tests.host.models import Organization

pytestmark = pytest.mark.django_db
Ask = Callable[..., Told]

CREATED, UPDATED, DELETED = "data.record.created", "data.record.updated", "data.record.deleted"


@pytest.fixture
def three(acme: Organization, told: Ask) -> list[Document]:
    """Documents with totals 0, 1 and 2."""
    made = Document.objects.bulk_create(
        Document(organization=acme, title=f"No {number}", total=number) for number in range(3)
    )
    told()
    return made


def test_bulk_create_records_every_row(acme: Organization, told: Ask) -> None:
    made = Document.objects.bulk_create(
        [Document(organization=acme, title="A"), Document(organization=acme, title="B")]
    )
    found = told(tenant=str(acme.pk))
    assert [(action, key, changes["title"]) for action, key, changes in found] == [
        (CREATED, str(made[0].pk), (None, "A")),
        (CREATED, str(made[1].pk), (None, "B")),
    ]


def test_a_row_made_in_bulk_is_compared_when_it_is_saved(three: list[Document], told: Ask) -> None:
    three[0].title = "Other"
    three[0].save()
    assert told() == [(UPDATED, str(three[0].pk), {"title": ("No 0", "Other")})]


def test_update_records_every_row_that_changes(three: list[Document], told: Ask) -> None:
    assert Document.objects.filter(total__gte=1).update(total=2, title="Same") == 2
    assert told() == [
        (UPDATED, str(three[1].pk), {"total": (1, 2), "title": ("No 1", "Same")}),
        (UPDATED, str(three[2].pk), {"title": ("No 2", "Same")}),
    ]


def test_update_by_an_expression_records_what_it_came_to(three: list[Document], told: Ask) -> None:
    Document.objects.update(total=F("total") * 10, title=Concat(F("title"), Value("!")))
    assert [changes for _action, _key, changes in told()] == [
        {"title": ("No 0", "No 0!")},
        {"total": (1, 10), "title": ("No 1", "No 1!")},
        {"total": (2, 20), "title": ("No 2", "No 2!")},
    ]


def test_update_of_untracked_fields_alone_costs_nothing(three: list[Document], told: Ask) -> None:
    with CaptureQueriesContext(connection) as queries:
        Document.objects.update(noise=3)
    assert len(queries) == 1
    assert told() == []


def test_update_through_joins_distinct_and_annotations(three: list[Document], told: Ask) -> None:
    folder = Folder.objects.create(name="F")
    Document.objects.filter(pk=three[0].pk).update(folder=folder)
    tag = Tag.objects.create(name="t")
    three[0].tags.add(tag)
    told()
    Document.objects.filter(folder__name="F").update(total=7)
    Document.objects.filter(tags__name="t").distinct().update(total=8)
    Document.objects.annotate(tag_count=Count("tags")).filter(tag_count=1).update(total=9)
    Document.objects.alias(more=F("total") + 1).filter(more=10).update(total=F("more"))
    assert [changes for _action, _key, changes in told()] == [
        {"total": (0, 7)},
        {"total": (7, 8)},
        {"total": (8, 9)},
        {"total": (9, 10)},
    ]


@pytest.mark.parametrize(
    "shape",
    [
        lambda rows: rows.only("title"),
        lambda rows: rows.defer("total", "title"),
        lambda rows: rows.select_related("organization"),
        lambda rows: rows.prefetch_related("tags"),
        lambda rows: rows.values("title"),
        lambda rows: rows.order_by("-title").reverse(),
        lambda rows: rows.select_for_update(),
    ],
    ids=["only", "defer", "select_related", "prefetch_related", "values", "ordered", "locked"],
)
def test_update_of_querysets_of_any_shape(three: list[Document], told: Ask, shape: Callable[[Any], Any]) -> None:
    with transaction.atomic():
        assert shape(Document.objects.filter(total__gte=1)).update(total=7) == 2
    assert sorted(told()) == [(UPDATED, str(one.pk), {"total": (one.total, 7)}) for one in three[1:]]


def test_update_through_related_managers(three: list[Document], told: Ask, acme: Organization) -> None:
    folder = Folder.objects.create(name="F")
    folder.document_set.add(three[0], three[1])
    folder.document_set.remove(three[0])
    folder.document_set.clear()
    acme.document_set.update(title="All")
    found = told()
    assert [changes.get("folder") for _action, _key, changes in found[:4]] == [
        (None, folder.pk),
        (None, folder.pk),
        (folder.pk, None),
        (folder.pk, None),
    ]
    assert len(found) == 7


def test_update_of_more_rows_than_a_chunk(
    acme: Organization, told: Ask, monkeypatch: pytest.MonkeyPatch, three: list[Document]
) -> None:
    monkeypatch.setattr(reading, "CHUNK", 2)
    assert Document.objects.update(total=F("total") + 1) == 3
    assert [changes["total"] for _action, _key, changes in told()] == [(0, 1), (1, 2), (2, 3)]


def test_update_of_nothing_still_checks_its_arguments(three: list[Document], told: Ask) -> None:
    assert Document.objects.filter(total=99).update(title="x") == 0
    with pytest.raises(FieldDoesNotExist, match="titel"):
        Document.objects.filter(total=99).update(titel="x")
    with pytest.raises(TypeError, match="slice"):
        Document.objects.all()[:1].update(title="x")
    assert told() == []


def test_a_masked_field_is_named_in_bulk_too(three: list[Document], told: Ask) -> None:
    Document.objects.filter(pk=three[0].pk).update(iban="DE1")
    assert told() == [(UPDATED, str(three[0].pk), {"iban": "redacted"})]


def test_bulk_update_records_every_row_that_changes(three: list[Document], told: Ask) -> None:
    three[0].title, three[1].total, three[2].title = "A", 50, "C"
    assert Document.objects.bulk_update(three, ["title", "total"]) == 3
    assert told() == [
        (UPDATED, str(three[0].pk), {"title": ("No 0", "A")}),
        (UPDATED, str(three[1].pk), {"total": (1, 50)}),
        (UPDATED, str(three[2].pk), {"title": ("No 2", "C")}),
    ]


def test_bulk_update_takes_the_old_value_from_the_database(three: list[Document], told: Ask) -> None:
    Document.objects.filter(pk=three[0].pk).update(total=5)
    told()
    three[0].total = F("total") + 1  # type: ignore[assignment]
    Document.objects.bulk_update(three[:1], ["total"])
    assert told() == [(UPDATED, str(three[0].pk), {"total": (5, 6)})]


def test_bulk_update_of_rows_that_are_gone_or_filtered_out_records_only_the_others(
    three: list[Document], told: Ask
) -> None:
    Document.objects.filter(pk=three[0].pk).delete()
    told()
    for document in three:
        document.title = "New"
    Document.objects.filter(total__lt=2).bulk_update(three, ["title"])
    assert told() == [(UPDATED, str(three[1].pk), {"title": ("No 1", "New")})]


def test_queryset_delete_records_every_row(three: list[Document], told: Ask) -> None:
    Document.objects.filter(total__gte=1).delete()
    assert sorted((action, key, changes["title"]) for action, key, changes in told()) == [
        (DELETED, str(three[1].pk), ("No 1", None)),
        (DELETED, str(three[2].pk), ("No 2", None)),
    ]


@pytest.mark.parametrize("chunk", [1, 2, 3])
def test_deletion_of_more_rows_than_a_chunk(
    three: list[Document], told: Ask, monkeypatch: pytest.MonkeyPatch, chunk: int
) -> None:
    monkeypatch.setattr(reading, "CHUNK", chunk)
    assert Document.objects.filter(total__lt=3).delete()[0] >= 3
    assert sorted((action, key) for action, key, _changes in told()) == sorted((DELETED, str(one.pk)) for one in three)


def test_raw_delete_of_a_queryset_is_recorded(three: list[Document], told: Ask) -> None:
    rows = Share.objects.bulk_create([Share(document=three[0], email="a@example.org")])
    told()
    Share.objects.all()._raw_delete(using="default")
    assert [(action, key) for action, key, _changes in told()] == [("data.share.revoked", str(rows[0].pk))]


def test_an_upsert_records_new_rows_and_changed_ones(told: Ask) -> None:
    Country.objects.create(code="DE", name="Germany")
    told()
    Country.objects.bulk_create(
        [Country(code="DE", name="Deutschland"), Country(code="FR", name="France")],
        update_conflicts=True,
        unique_fields=["code"],
        update_fields=["name"],
    )
    assert told() == [
        (UPDATED, "DE", {"name": ("Germany", "Deutschland")}),
        (CREATED, "FR", {"code": (None, "FR"), "name": (None, "France")}),
    ]


def test_ignored_conflicts_are_refused_and_nothing_is_written(told: Ask) -> None:
    with pytest.raises(UntrackedError, match=r"tracked\.Country, which is tracked"):
        Country.objects.bulk_create([Country(code="DE", name="Germany")], ignore_conflicts=True)
    assert not Country.objects.exists()
    assert told() == []


def test_suspended_tracking_is_itself_recorded_with_its_reason(told: Ask) -> None:
    with suspended("import of the ISO list", tenant="geo"):
        Country.objects.bulk_create([Country(code="DE", name="Germany")], ignore_conflicts=True)
        Country.objects.update(name="x")
    assert told() == []
    event = Event.objects.for_tenant("geo").get(action="audit.tracking.suspended")
    assert event.disclosed()["metadata"] == {"reason": "import of the ISO list"}
    Country.objects.update(name="y")
    assert told() == [(UPDATED, "DE", {"name": ("x", "y")})]
    with pytest.raises(ValueError, match="got no reason"), suspended(" "):
        pass


def test_upsert_helpers_of_the_manager_are_recorded_once(told: Ask) -> None:
    Country.objects.get_or_create(code="DE", defaults={"name": "Germany"})
    Country.objects.update_or_create(code="DE", defaults={"name": "Deutschland"})
    assert [(action, changes["name"]) for action, _key, changes in told()] == [
        (CREATED, (None, "Germany")),
        (UPDATED, ("Germany", "Deutschland")),
    ]


def test_events_and_rows_of_a_bulk_operation_roll_back_together(three: list[Document], told: Ask) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Document.objects.update(title="x")
        raise ZeroDivisionError
    assert told() == []


def test_the_operation_is_named(three: list[Document]) -> None:
    Document.objects.filter(pk=three[0].pk).update(title="x")
    event = Event.objects.filter(action=UPDATED).latest("recorded_at")
    assert event.disclosed()["metadata"] == {"operation": "QuerySet.update"}


@pytest.mark.parametrize("count", [10, 100])
def test_the_number_of_queries_does_not_grow_with_the_rows(
    acme: Organization, count: int, django_assert_max_num_queries: Any
) -> None:
    Document.objects.bulk_create([Document(organization=acme, title="x") for _ in range(count)])
    with django_assert_max_num_queries(9):
        Document.objects.update(title="y", total=F("total") + 1)


def test_models_that_nobody_tracks_are_left_alone(django_assert_num_queries: Any) -> None:
    with django_assert_num_queries(1):
        Tag.objects.update(name="x")
    with django_assert_num_queries(1):
        Tag.objects.bulk_create([Tag(name="a")], ignore_conflicts=True)
