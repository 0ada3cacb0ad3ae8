"""What stood before is what the row held, whatever the instance in hand was told, and a host's transaction stays its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.core import serializers
from django.core.exceptions import FieldError
from django.db import connection, transaction
from django.db.models import Avg, F, Subquery
from django.db.models.signals import m2m_changed, post_save, pre_save

from auditkit_django.hooks import tracking
from auditkit_django.hooks.tracking import reading
from tests.host.models import Organization
from tests.tracked.models import Document, Tag

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models.signals import ModelSignal
    from pytest_django.fixtures import SettingsWrapper

    from tests.hooks.tracking.conftest import Told

pytestmark = pytest.mark.django_db


def _of_title(told: Callable[..., Told]) -> Any:
    return [fields["title"] for action, _, fields in told() if action == "data.record.deleted"]


def test_a_deleted_row_is_told_as_it_was_stored(document: Document, told: Callable[..., Told]) -> None:
    document.title = "never saved"
    document.delete()
    assert _of_title(told) == [("Plan", None)]


def test_a_row_deleted_by_a_deferred_instance_is_told_whole(document: Document, told: Callable[..., Told]) -> None:
    Document.objects.only("id").get(pk=document.pk).delete()
    assert _of_title(told) == [("Plan", None)]


def test_a_row_deleted_by_its_key_is_told_whole(document: Document, told: Callable[..., Told]) -> None:
    Document(pk=document.pk).delete()
    assert _of_title(told) == [("Plan", None)]


def test_a_row_deleted_by_cascade_is_told_whole(
    document: Document, acme: Organization, told: Callable[..., Told]
) -> None:
    # Django loads of such rows only the columns that it needs itself.
    acme.delete()
    assert _of_title(told) == [("Plan", None)]


def test_an_instance_whose_key_was_changed_stands_for_another_row(
    make_document: Callable[..., Document], told: Callable[..., Told]
) -> None:
    first, second = make_document(total=1), make_document(total=2)
    first.pk = second.pk
    first.save()
    assert told() == [("data.record.updated", str(second.pk), {"total": (2, 1)})]


def test_a_fixture_tells_what_stood_before(document: Document, told: Callable[..., Told]) -> None:
    data = serializers.serialize("json", [document])
    Document.objects.filter(pk=document.pk).update(total=9)
    told()
    for one in serializers.deserialize("json", data):
        one.save()
    assert told() == [("data.record.updated", str(document.pk), {"total": (9, 5)})]


def test_after_a_rollback_the_row_is_asked_again(document: Document, told: Callable[..., Told]) -> None:
    with pytest.raises(KeyError), transaction.atomic():
        document.total = 6
        document.save()
        raise KeyError
    Document.objects.filter(pk=document.pk).update(total=7)
    told()
    document.refresh_from_db()
    document.total = 5
    document.save()
    assert told() == [("data.record.updated", str(document.pk), {"total": (7, 5)})]


@pytest.mark.django_db(transaction=True)
def test_a_save_in_a_callback_that_comes_first_is_told(document: Document, told: Callable[..., Told]) -> None:
    def again() -> None:
        document.total = 5
        document.save()

    with transaction.atomic():
        transaction.on_commit(again)
        document.total = 6
        document.save()
    assert [fields for _, _, fields in told()] == [{"total": (5, 6)}, {"total": (6, 5)}]


@pytest.mark.parametrize("signal", [pre_save, post_save])
def test_a_receiver_that_raises_leaves_a_hosts_transaction_as_django_does(
    document: Document, signal: ModelSignal
) -> None:
    def refuse(**_: Any) -> None:
        raise ValueError("a receiver of the host")

    signal.connect(refuse, sender=Organization)
    signal.connect(refuse, sender=Document)
    try:
        usable = []
        for one in (document.organization, document):
            with transaction.atomic():
                with pytest.raises(ValueError, match="of the host"):
                    one.save()
                usable.append(not transaction.get_rollback())
                transaction.set_rollback(True)
    finally:
        signal.disconnect(refuse, sender=Organization)
        signal.disconnect(refuse, sender=Document)
    assert usable[0] == usable[1]


def test_a_wrong_name_in_an_update_leaves_a_hosts_transaction_usable(document: Document) -> None:
    with transaction.atomic():
        with pytest.raises(FieldError):
            Document.objects.update(title=F("nope"))
        assert Document.objects.get().title == "Plan"


def test_an_update_stays_one_statement(
    make_document: Callable[..., Document], told: Callable[..., Told], monkeypatch: pytest.MonkeyPatch
) -> None:
    # By halves, the second would see the mean that the first had changed.
    for total in (10, 20, 30, 40):
        make_document(total=total)
    monkeypatch.setattr(reading, "CHUNK", 1)
    mean = Document.objects.values("organization").annotate(mean=Avg("total")).values("mean")
    assert Document.objects.filter(total__gte=Subquery(mean)).update(total=F("total") + 1000) == 2
    assert sorted(fields["total"] for _, _, fields in told()) == [(30, 1030), (40, 1040)]


def test_keys_given_as_text_are_the_same_rows(document: Document, told: Callable[..., Told]) -> None:
    Document.objects.bulk_update([Document(id=str(document.pk), title="New")], ["title"])
    assert told() == [("data.record.updated", str(document.pk), {"title": ("Plan", "New")})]


def test_a_relation_changed_within_a_receiver_of_another_is_told_once_each(
    document: Document, make_document: Callable[..., Document], told: Callable[..., Told]
) -> None:
    tag, other = Tag.objects.create(name="a"), make_document()
    told()

    def follow(action: str, instance: Document, **_: Any) -> None:
        if action == "pre_add" and instance.pk == document.pk:
            other.tags.add(tag)

    m2m_changed.connect(follow, sender=Document.tags.through)
    try:
        document.tags.add(tag)
    finally:
        m2m_changed.disconnect(follow, sender=Document.tags.through)
    assert sorted(target for _, target, _ in told()) == sorted([str(document.pk), str(other.pk)])


def test_suspended_tracking_leaves_the_other_hooks_on(settings: SettingsWrapper, told: Callable[..., Told]) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ()}
    user = User.objects.create_user("x")
    told()
    with tracking.suspended("import", tenant="system"):
        user.is_superuser = True
        user.save()
    assert "permission.granted" in [action for action, _, _ in told()]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="the limit of parameters is SQLite's")
def test_more_keys_than_a_statement_has_parameters() -> None:
    with connection.cursor():
        limit = connection.connection.getlimit(9)  # SQLITE_LIMIT_VARIABLE_NUMBER
    assert reading.with_keys(Document.objects.all(), range(limit + 1)).count() == 0
