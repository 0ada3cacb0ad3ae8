"""django-organizations: its organizations, members, owners and invitations, and those that a host derives from them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from organizations.backends.modeled import ModelInvitation
from organizations.models import Organization, OrganizationInvitation, OrganizationOwner, OrganizationUser
from organizations.utils import acreate_organization, create_organization

from auditkit_django.hooks.packs import organizations as pack
from auditkit_django.hooks.tracking.watching import watches_of
from auditkit_django.models import Event
from tests.packs.derived.models import Club, ClubInvitation, ClubMember, ClubOwner, Franchise

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = [
    pytest.mark.django_db,
    # The package's own, on Django 6.1.
    pytest.mark.filterwarnings("ignore:Calling select_related\\(\\) with no arguments"),
]

Recorded = Callable[..., list[dict[str, Any]]]

_OURS = ("org.", "member.")


@pytest.fixture
def told(recorded: Recorded) -> Recorded:
    """What the pack recorded since the last call."""
    seen = 0

    def read(**_: Any) -> list[dict[str, Any]]:
        nonlocal seen
        found = [event for event in recorded() if event["action"].startswith(_OURS)]
        new, seen = found[seen:], len(found)
        return new

    return read


@pytest.fixture
def crew(ada: User, told: Recorded) -> Organization:
    """An organization of the package, whose owner is ada."""
    organization = create_organization(ada, "Crew", slug="crew")
    told()
    return organization


@pytest.fixture
def bob(make_user: Callable[..., User]) -> User:
    return make_user("bob", first_name="Bob", last_name="Builder")


@pytest.fixture
def as_ada(client: Client, ada: User, crew: Organization, told: Recorded) -> Client:
    client.force_login(ada)
    told()
    return client


def _actions(events: list[dict[str, Any]]) -> list[str]:
    return [event["action"] for event in events]


def _user(user: User) -> dict[str, str]:
    return {"type": "user", "id": str(user.pk), "name": user.get_full_name()}


def test_a_new_organization_has_a_log_that_begins_with_its_creation_and_its_owner(ada: User, told: Recorded) -> None:
    organization = create_organization(ada, "Crew", slug="crew")
    created, joined, owner = events = told()
    assert _actions(events) == ["org.created", "member.joined", "member.role.changed"]
    assert {event["tenant"] for event in events} == {str(organization.pk)}
    assert created["targets"] == [{"type": "organization", "id": str(organization.pk), "name": "Crew"}]
    assert (joined["targets"], joined["metadata"]) == ([_user(ada)], {"role": "admin"})
    assert (owner["targets"], owner["metadata"]) == ([_user(ada)], {"role": "owner"})
    assert owner["changes"] == [{"field": "is_owner", "old": False, "new": True}]


def test_an_organization_made_asynchronously_is_recorded_too(ada: User, told: Recorded) -> None:
    async_to_sync(acreate_organization)(ada, "Crew", slug="crew")
    assert _actions(told()) == ["org.created", "member.joined", "member.role.changed"]


def test_changed_settings_are_recorded_with_old_and_new_by_who_changed_them(
    as_ada: Client, ada: User, crew: Organization, told: Recorded
) -> None:
    url = reverse("organization_edit", args=[crew.pk])
    owner = crew.owner.organization_user
    assert as_ada.post(url, {"name": "The Crew", "slug": "crew", "owner": owner.pk}).status_code == 302
    [event] = told()
    assert (event["action"], event["tenant"]) == ("org.updated", str(crew.pk))
    assert {"field": "name", "old": "Crew", "new": "The Crew"} in event["changes"]
    assert "modified" not in str(event)
    assert event["actor"]["id"] == str(ada.pk)


def test_organizations_changed_in_bulk_are_recorded_each_in_its_own_log(ada: User, told: Recorded) -> None:
    one, two = Organization.objects.bulk_create(
        [Organization(name="One", slug="1"), Organization(name="Two", slug="2")]
    )
    assert [(event["action"], event["tenant"]) for event in told()] == [
        ("org.created", str(one.pk)),
        ("org.created", str(two.pk)),
    ]
    Organization.objects.update(is_active=False)
    events = told()
    assert {event["tenant"] for event in events} == {str(one.pk), str(two.pk)}
    assert all(event["changes"] == [{"field": "is_active", "old": True, "new": False}] for event in events)
    one.name = "Uno"
    Organization.objects.bulk_update([one], ["name"])
    assert [(event["tenant"], event["changes"]) for event in told()] == [
        (str(one.pk), [{"field": "name", "old": "One", "new": "Uno"}])
    ]


def test_saving_an_organization_without_changing_it_records_nothing(crew: Organization, told: Recorded) -> None:
    Organization.objects.get(pk=crew.pk).save()
    assert told() == []


def test_a_deleted_organization_says_so_once_for_all_that_ends_with_it(
    as_ada: Client, crew: Organization, bob: User, told: Recorded
) -> None:
    crew.add_user(bob)
    OrganizationInvitation.objects.create(invitee_identifier="x@example.org", invited_by=bob, organization=crew)
    told()
    pk = str(crew.pk)
    assert as_ada.post(reverse("organization_delete", args=[crew.pk])).status_code == 302
    [event] = told()
    assert (event["action"], event["tenant"], event["targets"][0]["name"]) == ("org.deleted", pk, "Crew")
    Organization.objects.create(name="Two", slug="two").add_user(bob)
    told()
    Organization.objects.all().delete()
    assert _actions(told()) == ["org.deleted"]


def test_a_member_added_and_removed_through_the_views_is_recorded_with_who_did_it(
    as_ada: Client, ada: User, crew: Organization, bob: User, told: Recorded
) -> None:
    url = reverse("organization_user_add", args=[crew.pk])
    assert as_ada.post(url, {"email": bob.email, "is_admin": ""}).status_code == 302
    [joined] = told()
    assert as_ada.post(reverse("organization_user_delete", args=[crew.pk, bob.pk])).status_code == 302
    [removed] = told()
    assert (joined["action"], removed["action"]) == ("member.joined", "member.removed")
    assert joined["tenant"] == removed["tenant"] == str(crew.pk)
    assert joined["targets"] == removed["targets"] == [_user(bob)]
    assert joined["actor"]["id"] == removed["actor"]["id"] == str(ada.pk)
    assert joined["metadata"] == {"role": "member"}


def test_a_member_made_admin_is_recorded_with_the_old_and_new_role(
    as_ada: Client, crew: Organization, bob: User, told: Recorded
) -> None:
    crew.add_user(bob)
    told()
    assert as_ada.post(reverse("organization_user_edit", args=[crew.pk, bob.pk]), {"is_admin": "on"}).status_code == 302
    [event] = told()
    assert (event["action"], event["targets"]) == ("member.role.changed", [_user(bob)])
    assert event["changes"] == [{"field": "is_admin", "old": False, "new": True}]
    assert event["metadata"] == {"role": "admin"}


def test_members_written_in_bulk_and_through_the_relation_are_recorded(
    crew: Organization, make_user: Callable[..., User], told: Recorded
) -> None:
    bob, eve, joe = (make_user(name) for name in ("bob", "eve", "joe"))
    rows = OrganizationUser.objects
    rows.bulk_create([OrganizationUser(organization=crew, user_id=user.pk) for user in (bob, eve)])
    crew.users.add(joe)
    assert [(event["action"], event["targets"][0]["name"]) for event in told()] == [
        ("member.joined", "bob"),
        ("member.joined", "eve"),
        ("member.joined", "joe"),
    ]
    rows.filter(user__in=[bob, eve]).update(is_admin=True)
    assert [event["metadata"]["role"] for event in told()] == ["admin", "admin"]
    crew.users.remove(joe)
    rows.filter(user=bob).delete()
    eve.delete()
    assert [(event["action"], event["targets"][0]["name"]) for event in told()] == [
        ("member.removed", "joe"),
        ("member.removed", "bob"),
        ("member.removed", "eve"),
    ]


def test_users_and_organizations_of_many_members_are_read_at_once(
    crew: Organization, make_user: Callable[..., User], told: Recorded
) -> None:
    rows = [OrganizationUser(organization_id=crew.pk, user_id=make_user(f"u{n}").pk) for n in range(5)]
    with CaptureQueriesContext(connection) as queries:
        OrganizationUser.objects.bulk_create(rows)
    assert len(told()) == 5
    assert len([one for one in queries if one["sql"].startswith("SELECT")]) == 2


def test_a_membership_given_to_another_user_is_one_that_left_and_one_that_joined(
    crew: Organization, bob: User, grace: User, told: Recorded
) -> None:
    member = crew.add_user(bob)
    told()
    member.user = grace
    member.save()
    OrganizationUser.objects.filter(pk=member.pk).update(user=bob)
    assert [(event["action"], event["targets"]) for event in told()] == [
        ("member.removed", [_user(bob)]),
        ("member.joined", [_user(grace)]),
        ("member.removed", [_user(grace)]),
        ("member.joined", [_user(bob)]),
    ]


def test_a_transferred_ownership_names_the_new_owner_and_the_old(
    as_ada: Client, ada: User, crew: Organization, bob: User, told: Recorded
) -> None:
    member = crew.add_user(bob, is_admin=True)
    told()
    url = reverse("organization_edit", args=[crew.pk])
    assert as_ada.post(url, {"name": "Crew", "slug": "crew", "owner": member.pk}).status_code == 302
    [event] = [event for event in told() if event["action"] != "org.updated"]
    assert (event["action"], event["tenant"]) == ("org.ownership.transferred", str(crew.pk))
    assert event["targets"] == [_user(bob), _user(ada)]
    assert event["changes"] == [{"field": "owner", "old": "Ada Lovelace", "new": "Bob Builder"}]
    OrganizationOwner.objects.filter(organization=crew).update(organization_user=crew.organization_users.get(user=ada))
    [event] = told()
    assert (event["action"], event["targets"]) == ("org.ownership.transferred", [_user(ada), _user(bob)])


def test_an_owner_whose_account_is_deleted_leaves_an_organization_without_one(
    crew: Organization, ada: User, told: Recorded
) -> None:
    ada.delete()
    events = {event["action"]: event for event in told()}
    assert set(events) == {"member.removed", "member.role.changed"}
    assert events["member.role.changed"]["changes"] == [{"field": "is_owner", "old": True, "new": False}]
    assert events["member.role.changed"]["tenant"] == str(crew.pk)


def test_an_invitation_is_recorded_and_whoever_accepts_it_joins_on_their_own(
    client: Client, crew: Organization, ada: User, told: Recorded
) -> None:
    invitation = ModelInvitation().invite_by_email("new@example.org", ada, crew)
    [invited] = told()
    assert (invited["action"], invited["tenant"]) == ("member.invited", str(crew.pk))
    assert invited["targets"] == [{"type": "invitation", "id": str(invitation.pk), "name": "new@example.org"}]
    # Made outside of a request: by whom, the row says.
    assert invited["actor"]["id"] == str(ada.pk)
    form = {"username": "new", "password1": "correct horse battery", "password2": "correct horse battery"}
    assert client.post(f"/join/{invitation.guid}/", form).status_code == 302
    [joined] = told()
    new = User.objects.get(username="new")
    assert (joined["action"], joined["actor"]["id"]) == ("member.joined", str(new.pk))
    assert joined["targets"] == [{"type": "user", "id": str(new.pk), "name": "new"}]


def test_the_secret_of_an_invitation_is_never_recorded(client: Client, crew: Organization, ada: User) -> None:
    invitation = ModelInvitation().invite_by_email("new@example.org", ada, crew)
    form = {"username": "new", "password1": "correct horse battery", "password2": "correct horse battery"}
    client.post(f"/join/{invitation.guid}/", form)
    assert Event.objects.filter(action="member.joined", tenant=str(crew.pk)).count() == 2
    assert not any(str(invitation.guid) in str(event.disclosures) for event in Event.objects.all())


def test_only_an_open_invitation_can_be_withdrawn(
    crew: Organization, ada: User, bob: User, told: Recorded, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_ON": ["member.invitation.revoked"]}
    invite = OrganizationInvitation.objects.create
    opened, accepted, another = (
        invite(invitee_identifier=f"{name}@example.org", invited_by=ada, organization=crew) for name in "abc"
    )
    accepted.activate(bob)
    told()
    secrets = [str(one.guid) for one in (opened, accepted, another)]
    opened.delete()
    OrganizationInvitation.objects.all().delete()
    assert [(event["action"], event["targets"][0]["name"]) for event in told()] == [
        ("member.invitation.revoked", "a@example.org"),
        ("member.invitation.revoked", "c@example.org"),
    ]
    assert not any(secret in str(event.disclosures) for event in Event.objects.all() for secret in secrets)


def test_models_derived_from_the_abstract_ones_are_recorded_alike(
    ada: User, bob: User, told: Recorded, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_ON": ["member.invitation.revoked"]}
    club = create_organization(ada, "Chess", slug="chess", org_defaults={"town": "Ghent"}, model=Club)
    club.town = "Bruges"
    club.save()
    member = club.add_user(bob)
    invitation = ClubInvitation.objects.create(invitee_identifier="c@example.org", invited_by=ada, organization=club)
    invitation.delete()
    club.change_owner(member)
    events = told()
    assert {event["tenant"] for event in events} == {str(club.pk)}
    assert [(event["action"], event["targets"][0]["type"]) for event in events] == [
        ("org.created", "club"),
        ("member.joined", "user"),
        ("member.role.changed", "user"),
        ("org.updated", "club"),
        ("member.joined", "user"),
        ("member.invited", "invitation"),
        ("member.invitation.revoked", "invitation"),
        ("org.ownership.transferred", "user"),
    ]
    assert events[3]["changes"] == [{"field": "town", "old": "Ghent", "new": "Bruges"}]
    club.delete()
    assert _actions(told()) == ["org.deleted"]
    assert not ClubOwner.objects.exists()


def test_a_named_role_of_a_derived_model_is_recorded_and_its_other_columns_are_not(
    ada: User, bob: User, told: Recorded
) -> None:
    club = create_organization(ada, "Chess", slug="chess", model=Club)
    member = club.add_user(bob)
    told()
    member.role = "captain"
    member.save()
    ClubMember.objects.filter(pk=member.pk).update(nickname="Cap")
    [event] = told()
    assert (event["action"], event["metadata"]) == ("member.role.changed", {"role": "captain"})
    assert event["changes"] == [{"field": "role", "old": "player", "new": "captain"}]


def test_an_organization_with_a_table_of_its_own_is_told_once_with_all_its_columns(ada: User, told: Recorded) -> None:
    franchise = Franchise.objects.create(name="East", slug="east", region="east")
    Franchise.objects.filter(pk=franchise.pk).update(region="far east")
    franchise.delete()
    created, updated, deleted = events = told()
    assert _actions(events) == ["org.created", "org.updated", "org.deleted"]
    assert updated["changes"] == [{"field": "region", "old": "east", "new": "far east"}]
    assert created["tenant"] == deleted["tenant"] == deleted["targets"][0]["id"]


def test_switched_off_the_pack_records_and_reads_nothing(
    crew: Organization, bob: User, told: Recorded, settings: SettingsWrapper, django_assert_num_queries: Any
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ["organizations"]}
    with django_assert_num_queries(1):
        OrganizationUser.objects.filter(organization=crew).update(is_admin=False)
    assert told() == []


def test_connecting_twice_watches_once(crew: Organization, bob: User, told: Recorded) -> None:
    pack.connect()
    assert len([one for one in watches_of(OrganizationUser) if one.kind == pack.HOOK]) == 1
    crew.add_user(bob)
    assert _actions(told()) == ["member.joined"]
