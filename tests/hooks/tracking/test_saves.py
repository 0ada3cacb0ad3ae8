"""``save()``, ``create()`` and ``delete()`` of tracked models: what changed, with old and new, and nothing else."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage
from django.db import connection, models, transaction
from django.db.models import F
from django.test.utils import CaptureQueriesContext

from auditkit_django import auditlog, track
from auditkit_django.exceptions import MissingTenantError
from auditkit_django.hooks.tracking.decorator import TRACKED
from auditkit_django.models import Event
from tests.hooks.tracking.conftest import Told
from tests.tracked.models import Contract, Country, Document, DocumentProxy, Folder, Lease, Share

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db
Ask = Callable[..., Told]

UPDATED = "data.record.updated"


def selects(queries: CaptureQueriesContext) -> list[str]:
    return [query["sql"] for query in queries if query["sql"].startswith("SELECT") and "auditkit" not in query["sql"]]


def test_a_creation_is_recorded_with_its_values(acme: Organization, told: Ask) -> None:
    document = Document.objects.create(organization=acme, title="Plan", total=3, due=date(2026, 1, 2), iban="DE1")
    [(action, key, changes)] = told(tenant=str(acme.pk))
    assert (action, key) == ("data.record.created", str(document.pk))
    assert changes["title"] == (None, "Plan")
    assert changes["organization"] == (None, acme.pk)
    assert changes["due"] == (None, "2026-01-02")
    assert changes["iban"] == "redacted"
    assert not changes.keys() & {"noise", "touched_at", "folder"}


def test_an_update_is_recorded_with_old_and_new_of_what_changed(document: Document, told: Ask) -> None:
    document.title, document.total = "Other", 5
    document.save()
    assert told() == [(UPDATED, str(document.pk), {"title": ("Plan", "Other")})]


def test_a_save_that_changes_nothing_is_not_recorded(document: Document, told: Ask) -> None:
    document.save()
    document.total = "5"  # type: ignore[assignment]
    document.price = "0"  # type: ignore[assignment]
    document.noise = 7
    document.save()
    assert told() == []


def test_a_deletion_is_recorded_with_the_last_values(document: Document, told: Ask) -> None:
    key = str(document.pk)
    document.delete()
    [(action, target, changes)] = told()
    assert (action, target, changes["title"]) == ("data.record.deleted", key, ("Plan", None))


def test_a_save_of_a_loaded_instance_costs_no_select(document: Document) -> None:
    document.title = "Other"
    with CaptureQueriesContext(
        connection,
    ) as queries:
        document.save()
    assert selects(queries) == []


def test_every_save_of_one_instance_is_compared_with_the_one_before(document: Document, told: Ask) -> None:
    for title in ("A", "B", "A"):
        document.title = title
        document.save()
    assert [changes["title"] for _action, _key, changes in told()] == [("Plan", "A"), ("A", "B"), ("B", "A")]


def test_update_fields_limits_what_is_recorded(document: Document, told: Ask) -> None:
    document.title, document.total = "Other", 9
    document.save(update_fields=["total"])
    document.save()
    assert [changes for _action, _key, changes in told()] == [{"total": (5, 9)}, {"title": ("Plan", "Other")}]


def test_an_expression_is_recorded_with_the_value_that_it_came_to(document: Document, told: Ask) -> None:
    document.total = F("total") + 2  # type: ignore[assignment]
    document.save()
    assert told() == [(UPDATED, str(document.pk), {"total": (5, 7)})]


def test_a_deferred_field_is_compared_with_what_the_database_had(document: Document, told: Ask) -> None:
    partial = Document.objects.only("pk", "organization").get(pk=document.pk)
    partial.title = "Other"
    partial.save()
    assert told() == [(UPDATED, str(document.pk), {"title": ("Plan", "Other")})]


def test_a_row_named_by_its_key_alone_is_compared_with_what_the_database_had(acme: Organization, told: Ask) -> None:
    Country.objects.create(code="DE", name="Germany")
    Country(code="DE", name="Deutschland").save()
    assert told(tenant="geo") == [
        ("data.record.created", "DE", {"code": (None, "DE"), "name": (None, "Germany")}),
        (UPDATED, "DE", {"name": ("Germany", "Deutschland")}),
    ]


def test_refreshing_moves_the_old_value(document: Document, told: Ask) -> None:
    Document.objects.filter(pk=document.pk).update(title="Meanwhile")
    told()
    document.refresh_from_db()
    document.title = "Later"
    document.save()
    assert told() == [(UPDATED, str(document.pk), {"title": ("Meanwhile", "Later")})]


def test_a_change_inside_a_json_value_is_seen(make_document: Callable[..., Document], told: Ask) -> None:
    document = Document.objects.get(pk=make_document(data={"deep": [1]}).pk)
    document.data["deep"].append(2)
    document.save()
    assert told() == [(UPDATED, str(document.pk), {"data": ({"deep": [1]}, {"deep": [1, 2]})})]


def test_files_are_their_names_and_binary_data_its_digest(document: Document, told: Ask, tmp_path: Any) -> None:
    document.file.storage = FileSystemStorage(location=tmp_path)
    document.file.save("plan.txt", ContentFile(b"x"), save=False)
    document.blob = b"abc"
    document.save()
    [(_action, _key, changes)] = told()
    assert changes["file"][1].startswith("plan")
    assert changes["blob"][1] == ("3 bytes, SHA-256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")


def test_masked_fields_are_named_and_their_values_are_nowhere(document: Document, told: Ask) -> None:
    document.iban, document.api_token = "DE89370400440532013000", "tok-very-secret"
    document.save()
    assert told() == [(UPDATED, str(document.pk), {"iban": "redacted", "api_token": "redacted"})]
    assert not any("DE8937" in event.disclosures or "very-secret" in event.disclosures for event in Event.objects.all())


def test_a_rolled_back_save_is_recorded_when_it_is_tried_again(document: Document, told: Ask) -> None:
    document.title = "Other"
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        document.save()
        raise ZeroDivisionError
    document.save()
    assert told() == [(UPDATED, str(document.pk), {"title": ("Plan", "Other")})]


def test_a_rollback_to_a_savepoint_undoes_only_what_came_after(document: Document, told: Ask) -> None:
    document.title = "First"
    document.save()
    document.total = 6
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        document.save()
        raise ZeroDivisionError
    document.save()
    assert [changes for _action, _key, changes in told()] == [{"title": ("Plan", "First")}, {"total": (5, 6)}]


@pytest.mark.django_db(transaction=True)
def test_in_autocommit_change_and_event_are_one_transaction(document: Document, settings: SettingsWrapper) -> None:
    def refuse(draft: Any) -> Any:
        raise ValueError("processor out of order")

    settings.AUDITKIT = {**settings.AUDITKIT, "PROCESSORS": [refuse]}
    document.title = "Other"
    with pytest.raises(ValueError, match="out of order"):
        document.save()
    assert Document.objects.values_list("title", flat=True).get() == "Plan"


def test_a_proxy_tells_as_its_model(document: Document, told: Ask) -> None:
    proxy = DocumentProxy.objects.get(pk=document.pk)
    proxy.title = "Other"
    proxy.save()
    proxy.delete()
    assert [(action, key) for action, key, _changes in told()] == [
        (UPDATED, str(document.pk)),
        ("data.record.deleted", str(document.pk)),
    ]
    assert {event.target_type for event in Event.objects.filter(action=UPDATED)} == {"document"}


def test_a_child_is_told_through_its_tracked_parent_once(acme: Organization, told: Ask) -> None:
    contract = Contract.objects.create(organization=acme, title="C", counterparty="Globex")
    contract.title = "D"
    contract.save()
    key = str(contract.pk)
    contract.delete()
    assert [(action, target) for action, target, _ in told()] == [
        ("data.record.created", key),
        (UPDATED, key),
        ("data.record.deleted", key),
    ]


def test_a_child_tracked_itself_is_told_with_its_own_fields_once(acme: Organization, told: Ask) -> None:
    lease = Lease.objects.create(organization=acme, title="L")
    lease.months, lease.title = 24, "M"
    lease.save()
    key = str(lease.pk)
    lease.delete()
    created, updated, deleted = told()
    assert created[2]["months"] == (None, 12)
    assert updated == (UPDATED, key, {"months": (12, 24), "title": ("L", "M")})
    assert deleted[0] == "data.record.deleted"


def test_a_managers_own_filter_does_not_hide_a_save(make_document: Callable[..., Document], told: Ask) -> None:
    made = make_document(total=1)
    document = Document.cheap.get(pk=made.pk)
    document.total = 500
    document.save()
    assert told() == [(UPDATED, str(made.pk), {"total": (1, 500)})]


def test_cascades_are_recorded(document: Document, acme: Organization, told: Ask) -> None:
    share = Share.objects.create(document=document, email="a@example.org")
    told()
    key, shared = str(document.pk), str(share.pk)
    document.delete()
    assert {(action, target) for action, target, _ in told(tenant=str(acme.pk))} == {
        ("data.record.deleted", key),
        ("data.share.revoked", shared),
    }


def test_a_reference_set_to_null_by_a_deletion_is_recorded(make_document: Callable[..., Document], told: Ask) -> None:
    folder = Folder.objects.create(name="F")
    document = make_document(folder=folder)
    key = folder.pk
    folder.delete()
    assert told() == [(UPDATED, str(document.pk), {"folder": (key, None)})]


def test_own_actions_and_a_path_to_the_tenant(document: Document, acme: Organization, told: Ask) -> None:
    share = Share.objects.create(document=document, email="a@example.org")
    assert [(action, target) for action, target, _ in told(tenant=str(acme.pk))] == [("data.shared", str(share.pk))]


def test_the_tenant_of_the_row_costs_no_query(document: Document, acme: Organization) -> None:
    loaded = Document.objects.get(pk=document.pk)
    loaded.title = "Other"
    with CaptureQueriesContext(connection) as queries:
        loaded.save()
    assert not [sql for sql in (query["sql"] for query in queries) if "host_organization" in sql]
    assert Event.objects.for_tenant(acme).filter(action=UPDATED).exists()


def test_actor_and_address_are_those_of_the_context(document: Document, acme: Organization) -> None:
    with auditlog.context(actor="service:importer", ip="192.0.2.1"):
        document.title = "Other"
        document.save()
    event = Event.objects.for_tenant(acme).get(action=UPDATED)
    assert (event.actor_type, event.actor_id) == ("service", "importer")
    assert event.disclosed()["context"]["ip"] == "192.0.2.1"


def test_an_instance_saved_again_by_a_receiver_is_told_in_order(document: Document, told: Ask) -> None:
    def again(sender: Any, instance: Document, **_signal: Any) -> None:
        if instance.total == 5:
            instance.total = 6
            instance.save()

    models.signals.post_save.connect(again, sender=Document)
    try:
        document.title = "Other"
        document.save()
    finally:
        models.signals.post_save.disconnect(again, sender=Document)
    assert [changes for _action, _key, changes in told()] == [{"title": ("Plan", "Other")}, {"total": (5, 6)}]


def test_instances_can_still_be_copied_and_pickled(document: Document, told: Ask) -> None:
    document.title = "Other"
    document.save()
    told()
    twin = pickle.loads(pickle.dumps(copy.deepcopy(document)))
    twin.title = "Third"
    twin.save()
    assert told() == [(UPDATED, str(document.pk), {"title": ("Other", "Third")})]


def test_decimals_and_dates_compare_by_value(make_document: Callable[..., Document], told: Ask) -> None:
    document = Document.objects.get(pk=make_document(price=Decimal("5.00"), due=date(2026, 1, 2)).pk)
    document.price, document.due = "5.0", "2026-01-02"  # type: ignore[assignment]
    document.save()
    assert told() == []


def test_a_hook_that_is_switched_off_records_nothing(document: Document, told: Ask, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ("track",)}
    document.title = "Other"
    document.save()
    Document.objects.update(total=9)
    document.delete()
    assert told() == []


def test_a_tenant_that_is_missing_is_an_error_and_the_change_is_undone(acme: Organization, document: Document) -> None:
    one = next(one for one in TRACKED if one.model is Document)
    tenant, one.tenant = one.tenant, None
    try:
        document.title = "Other"
        with pytest.raises(MissingTenantError), transaction.atomic():
            document.save()
    finally:
        one.tenant = tenant
    assert Document.objects.values_list("title", flat=True).get() == "Plan"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"fields": ["titel"]}, "got the field 'titel', wanted one of"),
        ({"exclude": ["titel"]}, "got the field 'titel'"),
        ({"mask": ["titel"]}, "mask names 'titel'"),
        ({"fields": ["share"]}, "other side of a relation"),
        ({"actions": {"changed": "x.y"}}, "actions: got \\['changed'\\]"),
    ],
    ids=str,
)
def test_a_mistake_in_the_options_is_named(options: dict[str, Any], says: str) -> None:
    from auditkit_django.hooks.tracking.watching import unwatch

    try:
        with pytest.raises(ImproperlyConfigured, match=says):
            track(**options)(DocumentProxy)
    finally:
        if TRACKED[-1].model is DocumentProxy:
            unwatch(TRACKED.pop().watch)


@pytest.mark.parametrize("wrong", [object(), "tests.Document", int], ids=["object", "text", "no model"])
def test_only_models_are_tracked(wrong: Any) -> None:
    with pytest.raises(TypeError, match="wanted a model class"):
        track(wrong)
