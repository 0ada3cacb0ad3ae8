"""Many-to-many relations of tracked models, from both sides and past the manager."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.db import IntegrityError, transaction

from tests.hooks.tracking.conftest import Told
from tests.tracked.models import Document, Tag

if TYPE_CHECKING:
    from tests.host.models import Organization

pytestmark = pytest.mark.django_db
Ask = Callable[..., Told]
UPDATED = "data.record.updated"


@pytest.fixture
def tags(db: None) -> list[Tag]:
    """Three tags."""
    return [Tag.objects.create(name=name) for name in "abc"]


def keys(*tags: Tag) -> list[int]:
    return [tag.pk for tag in tags]


def test_add_remove_set_and_clear_name_what_left_and_what_joined(
    document: Document, tags: list[Tag], told: Ask
) -> None:
    a, b, c = tags
    document.tags.add(a, b)
    document.tags.remove(a)
    document.tags.set([b, c])
    document.tags.clear()
    assert [changes["tags"] for _action, _key, changes in told()] == [
        ([], keys(a, b)),
        (keys(a), []),
        ([], keys(c)),
        (keys(b, c), []),
    ]


def test_adding_what_is_there_is_no_change(document: Document, tags: list[Tag], told: Ask) -> None:
    document.tags.add(tags[0])
    told()
    document.tags.add(tags[0])
    document.tags.remove(tags[1])
    document.tags.clear()
    document.tags.clear()
    assert [changes["tags"] for _action, _key, changes in told()] == [(keys(tags[0]), [])]


def test_the_other_side_tells_each_tracked_row(
    make_document: Callable[..., Document], tags: list[Tag], told: Ask
) -> None:
    one, two = make_document(), make_document()
    tags[0].documents.add(one, two)
    tags[0].documents.remove(one)
    tags[0].documents.clear()
    assert [(key, changes["tags"]) for _action, key, changes in told()] == [
        (str(one.pk), ([], keys(tags[0]))),
        (str(two.pk), ([], keys(tags[0]))),
        (str(one.pk), (keys(tags[0]), [])),
        (str(two.pk), (keys(tags[0]), [])),
    ]


def test_rows_between_written_past_the_manager_are_told(document: Document, tags: list[Tag], told: Ask) -> None:
    between: Any = Document.tags.through
    between.objects.create(document=document, tag=tags[0])
    between.objects.bulk_create([between(document=document, tag=tags[1])])
    between.objects.filter(tag=tags[1]).update(tag=tags[2])
    between.objects.filter(tag=tags[0]).delete()
    assert [changes["tags"] for _action, _key, changes in told()] == [
        ([], keys(tags[0])),
        ([], keys(tags[1])),
        (keys(tags[1]), keys(tags[2])),
        (keys(tags[0]), []),
    ]


def test_deleting_the_other_side_tells_the_rows_that_stay(document: Document, tags: list[Tag], told: Ask) -> None:
    document.tags.add(tags[0])
    told()
    key = tags[0].pk
    tags[0].delete()
    assert told() == [(UPDATED, str(document.pk), {"tags": ([key], [])})]


def test_deleting_the_tracked_row_is_one_event(document: Document, tags: list[Tag], told: Ask) -> None:
    document.tags.add(tags[0])
    told()
    document.delete()
    assert [action for action, _key, _changes in told()] == ["data.record.deleted"]


def test_a_failed_manager_call_leaves_nothing_unwatched(
    document: Document, tags: list[Tag], told: Ask, acme: Organization
) -> None:
    between: Any = Document.tags.through
    with pytest.raises(IntegrityError), transaction.atomic():
        document.tags.add(999_999)
        document.tags.add(tags[0])
        raise IntegrityError
    between.objects.create(document=document, tag=tags[0])
    assert told() == [(UPDATED, str(document.pk), {"tags": ([], keys(tags[0]))})]
