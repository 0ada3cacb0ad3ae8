"""django-guardian: permissions on single objects, on every way that the package gives and takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.db import connection
from django.test.utils import CaptureQueriesContext
from guardian.models import GroupObjectPermission, UserObjectPermission
from guardian.shortcuts import assign_perm, remove_perm
from guardian.utils import clean_orphan_obj_perms

from auditkit_django import auditlog
from auditkit_django.hooks.packs import guardian as pack
from auditkit_django.hooks.tracking.watching import inner
from tests.host.models import Invoice, Organization
from tests.packs.derived.models import InvoiceOfGroup, InvoiceOfUser

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db

Recorded = Callable[..., list[dict[str, Any]]]
GRANTED, REVOKED = "permission.granted", "permission.revoked"


@pytest.fixture
def told(recorded: Recorded) -> Callable[[], list[tuple[Any, ...]]]:
    """Action, object, holder and permission of what was recorded since the last call."""
    seen = 0

    def read() -> list[tuple[Any, ...]]:
        nonlocal seen
        found = recorded(only="permission")
        new, seen = found[seen:], len(found)
        return [(e["action"], *(_word(one) for one in e["targets"]), e["metadata"]["permission"]) for e in new]

    return read


@pytest.fixture
def clerks(db: None) -> Group:
    return Group.objects.create(name="clerks")


@pytest.fixture
def invoice(acme: Organization) -> Invoice:
    return Invoice.objects.create(organization=acme, title="No. 1")


def _word(target: dict[str, str]) -> str:
    return f"{target['type']} {target.get('name', target['id'])}"


def _permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename, content_type=ContentType.objects.get_for_model(Organization))


def test_a_permission_on_an_object_names_the_object_who_got_it_and_which(
    ada: User, acme: Organization, recorded: Recorded
) -> None:
    assign_perm("host.change_organization", ada, acme)
    remove_perm("change_organization", ada, acme)
    given, taken = recorded(only="permission")
    assert (given["action"], taken["action"]) == (GRANTED, REVOKED)
    assert given["metadata"] == taken["metadata"] == {"permission": "host.change_organization"}
    assert (
        given["targets"]
        == taken["targets"]
        == [
            {"type": "organization", "id": str(acme.pk), "name": "Acme"},
            {"type": "user", "id": str(ada.pk), "name": "Ada Lovelace"},
        ]
    )


def test_a_permission_that_was_there_already_is_not_given_again(ada: User, acme: Organization, told: Any) -> None:
    assign_perm("change_organization", ada, acme)
    told()
    assign_perm("change_organization", ada, acme)
    remove_perm("delete_organization", ada, acme)
    assert told() == []


def test_groups_are_told_like_users(clerks: Group, acme: Organization, told: Any) -> None:
    assign_perm("change_organization", clerks, acme)
    remove_perm("change_organization", clerks, acme)
    assert told() == [
        (GRANTED, "organization Acme", "group clerks", "host.change_organization"),
        (REVOKED, "organization Acme", "group clerks", "host.change_organization"),
    ]


@pytest.mark.parametrize("many", [list, lambda objects: Organization.objects.order_by("pk")], ids=["list", "queryset"])
def test_a_permission_on_many_objects_is_told_for_each(
    many: Callable[..., Any], ada: User, acme: Organization, globex: Organization, told: Any
) -> None:
    assign_perm("change_organization", ada, many([acme, globex]))
    assert [one[:2] for one in told()] == [(GRANTED, "organization Acme"), (GRANTED, "organization Globex")]
    remove_perm("change_organization", ada, many([acme, globex]))
    assert {one[:2] for one in told()} == {(REVOKED, "organization Acme"), (REVOKED, "organization Globex")}


@pytest.mark.parametrize(
    "many", [list, lambda users: User.objects.exclude(username="AnonymousUser")], ids=["list", "queryset"]
)
def test_a_permission_given_to_many_is_told_of_those_who_did_not_have_it(
    many: Callable[..., Any], ada: User, grace: User, acme: Organization, told: Any
) -> None:
    assign_perm("change_organization", ada, acme)
    told()
    rows = assign_perm("change_organization", many([ada, grace, *([grace] if many is list else [])]), acme)
    assert told() == [(GRANTED, "organization Acme", "user Grace Hopper", "host.change_organization")]
    assert {row.user for row in rows} == {ada, grace}
    assert UserObjectPermission.objects.count() == 2
    remove_perm("change_organization", many([ada, grace]), acme)
    assert {one[2] for one in told()} == {"user Ada Lovelace", "user Grace Hopper"}


def test_a_permission_given_to_many_groups_is_told_for_each(clerks: Group, acme: Organization, told: Any) -> None:
    chiefs = Group.objects.create(name="chiefs")
    assign_perm("change_organization", [clerks, chiefs], acme)
    remove_perm("change_organization", [clerks, chiefs], acme)
    assert [one[2] for one in told()[:2]] == ["group clerks", "group chiefs"]
    assert GroupObjectPermission.objects.count() == 0


def test_one_that_somebody_else_gives_at_the_same_time_is_left_to_them(
    ada: User, grace: User, acme: Organization, told: Any
) -> None:
    theirs = UserObjectPermission(
        user=ada, permission=_permission("change_organization"), content_object=acme, object_pk=str(acme.pk)
    )
    is_theirs_written = False

    def meanwhile(execute: Any, sql: str, *given: Any) -> Any:
        # Their row commits between our look at what is missing and our writing of it.
        nonlocal is_theirs_written
        if sql.startswith("SAVEPOINT") and not is_theirs_written:
            is_theirs_written = True
            with inner():
                UserObjectPermission.objects.bulk_create([theirs])
        return execute(sql, *given)

    with connection.execute_wrapper(meanwhile):
        assign_perm("change_organization", [ada, grace], acme)
    assert is_theirs_written
    assert told() == [(GRANTED, "organization Acme", "user Grace Hopper", "host.change_organization")]
    assert UserObjectPermission.objects.count() == 2


def test_models_with_a_foreign_key_of_their_own_are_told_alike(
    ada: User, grace: User, clerks: Group, invoice: Invoice, told: Any
) -> None:
    assign_perm("view_invoice", ada, invoice)
    assign_perm("view_invoice", [ada, grace], invoice)
    assign_perm("view_invoice", clerks, Invoice.objects.all())
    assert (InvoiceOfUser.objects.count(), InvoiceOfGroup.objects.count()) == (2, 1)
    invoice.delete()
    holders = ["user Ada Lovelace", "user Grace Hopper", "group clerks"]
    *given, a, b, c = told()
    assert given == [(GRANTED, "invoice No. 1", holder, "host.view_invoice") for holder in holders]
    assert {a, b, c} == {(REVOKED, "invoice No. 1", holder, "host.view_invoice") for holder in holders}


def test_what_a_deleted_user_group_or_permission_had_is_told(
    ada: User, grace: User, clerks: Group, acme: Organization, told: Any
) -> None:
    for holder in (ada, grace, clerks):
        assign_perm("change_organization", holder, acme)
    told()
    ada.delete()
    Group.objects.all().delete()
    assert [one[:3] for one in told()] == [
        (REVOKED, "organization Acme", "user Ada Lovelace"),
        (REVOKED, "organization Acme", "group clerks"),
    ]
    _permission("change_organization").delete()
    assert told() == [(REVOKED, "organization Acme", "user Grace Hopper", "host.change_organization")]


def test_permissions_that_outlived_their_object_are_told_when_they_go(
    ada: User, globex: Organization, told: Any
) -> None:
    assign_perm("change_organization", ada, globex)
    told()
    pk = globex.pk
    globex.delete()
    assert told() == []
    clean_orphan_obj_perms()
    assert told() == [(REVOKED, f"organization {pk}", "user Ada Lovelace", "host.change_organization")]


def test_permissions_whose_class_of_objects_is_gone_are_told_too(ada: User, told: Any) -> None:
    # SQLite gives a key again that a rolled back test had used, and Django remembers for what.
    ContentType.objects.clear_cache()
    gone = ContentType.objects.create(app_label="sold", model="branch")
    permission = Permission.objects.create(content_type=gone, codename="view_branch", name="View")
    UserObjectPermission.objects.bulk_create(
        [UserObjectPermission(user=ada, permission=permission, content_type=gone, object_pk="7")]
    )
    UserObjectPermission.objects.all().delete()
    assert told() == [
        (GRANTED, "branch 7", "user Ada Lovelace", "sold.view_branch"),
        (REVOKED, "branch 7", "user Ada Lovelace", "sold.view_branch"),
    ]


def test_rows_changed_in_place_are_one_permission_taken_and_one_given(
    ada: User, grace: User, acme: Organization, globex: Organization, told: Any
) -> None:
    row = assign_perm("change_organization", ada, acme)
    told()
    UserObjectPermission.objects.update(permission=_permission("delete_organization"))
    assert told() == [
        (REVOKED, "organization Acme", "user Ada Lovelace", "host.change_organization"),
        (GRANTED, "organization Acme", "user Ada Lovelace", "host.delete_organization"),
    ]
    row.refresh_from_db()
    row.user, row.content_object = grace, globex
    row.save()
    assert told() == [
        (REVOKED, "organization Acme", "user Ada Lovelace", "host.delete_organization"),
        (GRANTED, "organization Globex", "user Grace Hopper", "host.delete_organization"),
    ]


def test_one_grant_costs_no_query_besides_its_event(ada: User, acme: Organization, settings: SettingsWrapper) -> None:
    assign_perm("change_organization", ada, acme)
    remove_perm("change_organization", ada, acme)
    with CaptureQueriesContext(connection) as recording:
        assign_perm("change_organization", ada, acme)
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ["guardian"]}
    remove_perm("change_organization", ada, acme)
    with CaptureQueriesContext(connection) as bare:
        assign_perm("change_organization", ada, acme)
    reads = [[one["sql"] for one in queries if one["sql"].startswith("SELECT")] for queries in (recording, bare)]
    assert len(reads[0]) == len(reads[1])


def test_what_is_read_for_many_does_not_grow_with_their_number(
    ada: User, make_organization: Callable[[str], Organization], told: Any
) -> None:
    for n in range(6):
        make_organization(f"org-{n}")
    reads = []
    for objects in (Organization.objects.all()[:2], Organization.objects.all()):
        assign_perm("change_organization", ada, list(objects))
        with CaptureQueriesContext(connection) as queries:
            UserObjectPermission.objects.all().delete()
        reads.append(len([one for one in queries if one["sql"].startswith("SELECT")]))
    assert len(told()) == 2 * (2 + 7)
    assert reads[0] == reads[1]


def test_the_log_is_that_of_the_context_and_else_those_of_the_user(
    ada: User, clerks: Group, acme: Organization, globex: Organization, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": lambda user: [acme, globex]}
    with auditlog.context(tenant=globex, actor="service:sync"):
        assign_perm("change_organization", ada, acme)
        assign_perm("change_organization", clerks, acme)
    assert [(event["tenant"], event["actor"]["id"]) for event in recorded(only="permission")] == [
        (str(globex.pk), "sync")
    ] * 2
    remove_perm("change_organization", ada, acme)
    remove_perm("change_organization", clerks, acme)
    assert sorted(event["tenant"] for event in recorded(only="permission")[2:]) == [
        str(acme.pk), str(globex.pk), "system",
    ]  # fmt: skip


def test_switched_off_it_records_nothing_and_leaves_conflicts_to_the_database(
    ada: User, grace: User, acme: Organization, told: Any, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ["guardian"]}
    assign_perm("change_organization", ada, acme)
    assign_perm("change_organization", [ada, grace], acme)
    assert told() == []
    assert UserObjectPermission.objects.count() == 2


def test_connecting_twice_records_once(ada: User, acme: Organization, told: Any) -> None:
    pack.connect()
    assign_perm("change_organization", ada, acme)
    assert len(told()) == 1
