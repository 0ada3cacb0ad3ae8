"""Groups and permissions, from both sides and on every path."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User

pytestmark = pytest.mark.django_db
Ask = Callable[..., list[Any]]


@pytest.fixture
def group(told: Ask) -> Group:
    """A group that is told already."""
    made = Group.objects.create(name="Editors")
    told()
    return made


@pytest.fixture
def permission(db: None) -> Permission:
    """May change documents."""
    return Permission.objects.get(content_type__app_label="tracked", codename="change_document")


def actions(told: list[Any]) -> list[str]:
    return [action for action, *_rest in told]


def test_a_group_is_created_renamed_and_deleted(told: Ask) -> None:
    group = Group.objects.create(name="Editors")
    key = str(group.pk)
    group.name = "Writers"
    group.save()
    group.delete()
    created, updated, deleted = told(full=True)
    assert [one.action for one in (created, updated, deleted)] == ["role.created", "role.updated", "role.deleted"]
    assert {one.target_id for one in (created, updated, deleted)} == {key}
    assert updated.disclosed()["changes"] == [{"field": "name", "old": "Editors", "new": "Writers"}]


def test_permissions_of_a_group_name_what_left_and_what_joined(group: Group, permission: Permission, told: Ask) -> None:
    group.permissions.add(permission)
    group.permissions.clear()
    name = "tracked.change_document"
    assert [event.disclosed()["changes"] for event in told(full=True)] == [
        [{"field": "permissions", "old": [], "new": [name]}],
        [{"field": "permissions", "old": [name], "new": []}],
    ]


@pytest.mark.parametrize("side", ["user", "group", "between"])
def test_membership_is_recorded_from_both_sides_and_past_the_managers(
    ada: User, group: Group, told: Ask, side: str
) -> None:
    told()
    between: Any = User.groups.through
    if side == "user":
        ada.groups.set([group])
        ada.groups.set([])
    elif side == "group":
        group.user_set.add(ada)
        group.user_set.clear()
    else:
        between.objects.bulk_create([between(user=ada, group=group)])
        between.objects.all().delete()
    added, removed = told(full=True)
    assert [one.action for one in (added, removed)] == ["team.member.added", "team.member.removed"]
    for event in (added, removed):
        assert event.target_id == str(ada.pk)
        assert event.disclosed()["metadata"] == {"team": "Editors"}
        assert event.disclosed()["targets"][1] == {"type": "group", "id": str(group.pk), "name": "Editors"}


@pytest.mark.parametrize("side", ["user", "permission"])
def test_a_direct_permission_is_granted_and_revoked(ada: User, permission: Permission, told: Ask, side: str) -> None:
    told()
    if side == "user":
        ada.user_permissions.add(permission)
        ada.user_permissions.remove(permission)
    else:
        permission.user_set.add(ada)
        permission.user_set.remove(ada)
    granted, revoked = told(full=True)
    assert [one.action for one in (granted, revoked)] == ["permission.granted", "permission.revoked"]
    assert granted.disclosed()["metadata"] == {"permission": "tracked.change_document"}


def test_deleting_a_group_takes_its_members_out_and_says_so(ada: User, group: Group, told: Ask) -> None:
    ada.groups.add(group)
    told()
    group.delete()
    assert sorted(actions(told())) == ["role.deleted", "team.member.removed"]


def test_deleting_a_user_is_one_event(ada: User, group: Group, told: Ask) -> None:
    ada.groups.add(group)
    told()
    ada.delete()
    assert actions(told()) == ["user.deleted"]
