"""Waffle: flags, switches and samples, in the admin, by command, through the API and in bulk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.core.management import call_command
from django.db import transaction
from django.test import RequestFactory
from waffle import flag_is_active, switch_is_active
from waffle.models import Flag, Sample, Switch

from auditkit_django.hooks.packs import waffle
from auditkit_django.hooks.tracking.watching import all_watches, unwatch
from tests.packs.flags.models import OrganizationFlag

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

    from tests.host.models import Organization

Recorded = Callable[..., list[dict[str, Any]]]

pytestmark = [
    pytest.mark.django_db,
    # The package's own, on Django 6.1.
    pytest.mark.filterwarnings("ignore:Overriding get_actions\\(\\) without"),
]


@pytest.fixture
def staff(client: Client, make_user: Callable[..., User]) -> Client:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    return client


def _changes(event: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    return {change["field"]: (change["old"], change["new"]) for change in event["changes"]}


def test_a_flag_made_in_the_admin_is_recorded_with_who_made_it(staff: Client, recorded: Recorded) -> None:
    given = {"name": "new-editor", "everyone": "unknown", "percent": "12.5", "superusers": "on"}
    response = staff.post("/admin/waffle/flag/add/", {**given, "created_0": "2026-01-01", "created_1": "12:00",
                          "modified_0": "2026-01-01", "modified_1": "12:00"})  # fmt: skip
    assert response.status_code == 302, response.context["errors"]
    [event] = recorded(only="config")
    flag = Flag.objects.get()
    assert (event["action"], event["actor"]["name"], event["tenant"]) == ("config.updated", "root", "system")
    assert event["targets"] == [{"type": "flag", "id": str(flag.pk), "name": "new-editor"}]
    assert event["metadata"] == {"change": "created"}
    assert _changes(event) == {
        "name": (None, "new-editor"),
        "percent": (None, "12.5"),
        "superusers": (None, True),
        "testing": (None, False),
        "staff": (None, False),
        "authenticated": (None, False),
        "rollout": (None, False),
    }


def test_a_flag_changed_by_command_is_recorded(recorded: Recorded) -> None:
    Flag.objects.create(name="new-editor", percent="10.0")
    call_command("waffle_flag", "new-editor", everyone=True, percent=50)
    _made, changed = recorded(only="config")
    assert changed["metadata"] == {"change": "updated"}
    assert changed["actor"] == {"type": "system"}
    changes = _changes(changed)
    assert changes["everyone"] == (None, True)
    assert changes["percent"] == ("10.0", "50")
    assert "modified" not in changes


def test_saving_a_flag_unchanged_records_nothing(recorded: Recorded) -> None:
    flag = Flag.objects.create(name="new-editor")
    modified = flag.modified
    flag.save()
    assert flag.modified > modified
    assert len(recorded(only="config")) == 1


def test_the_admins_actions_are_recorded_flag_by_flag(staff: Client, recorded: Recorded) -> None:
    keys = [Flag.objects.create(name=name).pk for name in ("one", "two")]
    before = len(recorded(only="config"))
    for action in ("enable_for_all", "delete_individually"):
        staff.post("/admin/waffle/flag/", {"action": action, "_selected_action": keys})
    found = recorded(only="config")[before:]
    assert [(event["targets"][0]["name"], event["metadata"]["change"]) for event in found] == [
        ("two", "updated"), ("one", "updated"), ("two", "deleted"), ("one", "deleted"),
    ]  # fmt: skip
    assert _changes(found[0]) == {"everyone": (None, True)}
    assert _changes(found[2])["everyone"] == (True, None)
    assert {event["actor"]["name"] for event in found} == {"root"}


def test_users_and_groups_of_a_flag_are_recorded_by_name(ada: User, grace: User, recorded: Recorded) -> None:
    flag = Flag.objects.create(name="new-editor")
    testers = Group.objects.create(name="testers")
    call_command("waffle_flag", "new-editor", user=["ada", "grace"], group=["testers"])
    flag.users.remove(grace)
    flag.users.clear()
    found = [event for event in recorded(only="config") if len(event["targets"]) > 1]
    assert [_changes(event) for event in found] == [
        {"groups": ([], [testers.pk])},
        {"users": ([], sorted([ada.pk, grace.pk]))},
        {"users": ([grace.pk], [])},
        {"users": ([ada.pk], [])},
    ]
    assert found[0]["targets"][1] == {"type": "group", "id": str(testers.pk), "name": "testers"}
    assert found[2]["targets"] == [
        {"type": "flag", "id": str(flag.pk), "name": "new-editor"},
        {"type": "user", "id": str(grace.pk), "name": "Grace Hopper"},
    ]


def test_a_flag_given_to_a_user_from_the_users_side_is_recorded(ada: User, recorded: Recorded) -> None:
    flag = Flag.objects.create(name="new-editor")
    ada.flag_set.add(flag)  # type: ignore[attr-defined]
    assert _changes(recorded(only="config")[-1]) == {"users": ([], [ada.pk])}


def test_more_users_than_an_event_can_name_are_all_in_its_changes(
    make_user: Callable[..., User], recorded: Recorded
) -> None:
    flag = Flag.objects.create(name="new-editor")
    users = [make_user(f"user{number}") for number in range(25)]
    flag.users.set(users)
    event = recorded(only="config")[-1]
    assert set(_changes(event)["users"][1]) == {user.pk for user in users}
    assert len(event["targets"]) == 20


def test_a_switch_is_recorded_on_every_path(recorded: Recorded) -> None:
    Switch.objects.create(name="billing")
    call_command("waffle_switch", "billing", "on")
    Switch.objects.update(active=False)
    switch = Switch.objects.get()
    switch.active = True
    Switch.objects.bulk_update([switch], ["active"])
    Switch.objects.bulk_create([Switch(name="search")])
    call_command("waffle_delete", switch_names=["billing"])
    found = recorded(only="config")
    assert [
        (event["targets"][0]["type"], event["targets"][0]["name"], event["metadata"]["change"]) for event in found
    ] == [
        ("switch", "billing", "created"),
        *[("switch", "billing", "updated")] * 3,
        ("switch", "search", "created"),
        ("switch", "billing", "deleted"),
    ]
    assert [_changes(event)["active"] for event in found[1:4]] == [(False, True), (True, False), (False, True)]


def test_a_sample_is_recorded(recorded: Recorded) -> None:
    call_command("waffle_sample", "tracing", "5", create=True)
    call_command("waffle_sample", "tracing", "7")
    # The command makes a row first and then sets it.
    made, set_, changed = recorded(only="config")
    assert made["targets"][0] == {"type": "sample", "id": str(Sample.objects.get().pk), "name": "tracing"}
    assert [_changes(event) for event in (set_, changed)] == [{"percent": ("0", "5")}, {"percent": ("5.0", "7")}]


def test_asking_whether_something_is_on_records_nothing(recorded: Recorded, django_assert_num_queries: Any) -> None:
    Switch.objects.create(name="billing", active=True)
    Flag.objects.create(name="new-editor", everyone=True)
    before = len(recorded())
    request = RequestFactory().get("/")
    cache.clear()
    with django_assert_num_queries(2):
        assert switch_is_active("billing")
        assert flag_is_active(request, "new-editor")
    with django_assert_num_queries(0):
        assert switch_is_active("billing")
    assert len(recorded()) == before


def test_change_and_event_are_rolled_back_together(recorded: Recorded) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Switch.objects.create(name="billing")
        raise ZeroDivisionError
    assert recorded(only="config") == []


@pytest.fixture
def own_flags(settings: Any) -> Iterator[None]:
    """Flags are kept in a model of the project."""
    before = all_watches()
    settings.WAFFLE_FLAG_MODEL = "flags.OrganizationFlag"
    waffle.connect()
    yield
    for one in all_watches():
        if one not in before:
            unwatch(one)


def test_the_projects_own_flag_model_is_recorded_with_what_it_adds(
    own_flags: None, acme: Organization, recorded: Recorded
) -> None:
    call_command("waffle_flag", "new-editor", create=True)
    flag = OrganizationFlag.objects.get()
    flag.organizations.add(acme)
    flag.rules = [{"country": "NL"}]
    flag.save()
    made, *_, given, ruled = recorded(only="config")
    assert made["targets"] == [{"type": "flag", "id": str(flag.pk), "name": "new-editor"}]
    assert _changes(given) == {"organizations": ([], [acme.pk])}
    assert given["targets"][1] == {"type": "organization", "id": str(acme.pk), "name": "Acme"}
    assert _changes(ruled) == {"rules": ([], [{"country": "NL"}])}


def test_connecting_again_changes_nothing(ada: User, recorded: Recorded) -> None:
    waffle.connect()
    Flag.objects.create(name="new-editor").users.add(ada)
    assert len(recorded(only="config")) == 2


def test_switched_off_it_records_nothing(recorded: Recorded, settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ["waffle"]}
    Switch.objects.create(name="billing")
    assert recorded(only="config") == []
