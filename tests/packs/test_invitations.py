"""django-invitations: sent, sent again, withdrawn; and what an accepted one is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.test import Client, RequestFactory
from django.utils import timezone
from invitations.models import Invitation
from invitations.signals import invite_accepted

from auditkit_django import auditlog
from auditkit_django.hooks.packs import invitations as pack
from auditkit_django.models import Event
from tests.packs.derived.models import StaffInvitation

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from pytest_django.fixtures import SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db

Recorded = Callable[..., list[dict[str, Any]]]


@pytest.fixture(autouse=True)
def _withdrawals_on(settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_ON": ["member.invitation.revoked"]}
    settings.INVITATIONS_ALLOW_JSON_INVITES = True


@pytest.fixture
def as_ada(client: Client, ada: User) -> Client:
    client.force_login(ada)
    return client


@pytest.fixture
def sent(as_ada: Client) -> Invitation:
    """An invitation that ada sent."""
    as_ada.post("/invitations/send-invite/", {"email": "new@example.org"})
    return Invitation.objects.get()


def _invited(email: str, *, days: int = 0, **fields: Any) -> Invitation:
    return Invitation(email=email, key=f"key-of-{email}", sent=timezone.now() - timedelta(days=days), **fields)


def test_an_invitation_is_recorded_once_it_was_sent_with_the_invited_address_and_never_its_key(
    sent: Invitation, ada: User, recorded: Recorded, mailoutbox: list[Any]
) -> None:
    assert sent.key in mailoutbox[0].body
    [event] = recorded(only="member")
    assert (event["action"], event["tenant"], event["actor"]["id"]) == ("member.invited", "system", str(ada.pk))
    assert event["targets"] == [{"type": "invitation", "id": str(sent.pk), "name": "new@example.org"}]
    assert "metadata" not in event
    assert not any(sent.key in str(event.disclosures) for event in Event.objects.all())


def test_each_of_several_invitations_is_recorded(as_ada: Client, recorded: Recorded) -> None:
    as_ada.post("/invitations/send-json-invite/", ["a@example.org", "b@example.org"], content_type="application/json")
    assert [event["targets"][0]["name"] for event in recorded(only="member")] == ["a@example.org", "b@example.org"]


def test_one_that_is_made_and_not_sent_invites_nobody(recorded: Recorded) -> None:
    Invitation.create("later@example.org").delete()
    assert recorded(only="member") == []


def test_an_invitation_sent_again_is_recorded_as_such(
    sent: Invitation, ada: User, rf: RequestFactory, recorded: Recorded
) -> None:
    Invitation.objects.get().send_invitation(rf.get("/"))
    _first, again = recorded(only="member")
    assert (again["action"], again["metadata"]) == ("member.invited", {"resent": True})
    # Outside of a request it is the inviter who invites.
    assert again["actor"]["id"] == str(ada.pk)


def test_an_accepted_invitation_is_no_membership(sent: Invitation, recorded: Recorded) -> None:
    assert Client().post(f"/invitations/accept-invite/{sent.key}/").status_code == 302
    sent.refresh_from_db()
    assert sent.accepted
    assert [event["action"] for event in recorded(only="member")] == ["member.invited"]


@pytest.fixture
def joining(acme: Organization) -> Iterator[None]:
    """A host that makes members of those who accept."""

    def join(sender: object, email: str, **_signal: object) -> None:
        auditlog.event("member.joined", tenant=acme, resource=f"email:{email}")

    invite_accepted.connect(join)
    yield
    invite_accepted.disconnect(join)


def test_the_key_is_not_in_what_the_host_records_when_it_is_used(
    sent: Invitation, joining: None, recorded: Recorded
) -> None:
    Client().post(f"/invitations/accept-invite/{sent.key}/")
    assert recorded(only="member.joined")
    assert not any(sent.key in str(event.disclosures) for event in Event.objects.all())


def test_an_open_invitation_that_is_deleted_is_withdrawn(sent: Invitation, recorded: Recorded) -> None:
    target = {"type": "invitation", "id": str(sent.pk), "name": "new@example.org"}
    sent.delete()
    event = recorded(only="member")[-1]
    assert (event["action"], event["targets"]) == ("member.invitation.revoked", [target])
    assert not any(sent.key in str(event.disclosures) for event in Event.objects.all())


def test_open_ones_deleted_with_their_inviter_are_withdrawn(sent: Invitation, ada: User, recorded: Recorded) -> None:
    ada.delete()
    assert [event["action"] for event in recorded(only="member")] == ["member.invited", "member.invitation.revoked"]


def test_clearing_away_accepted_and_expired_ones_withdraws_nothing(recorded: Recorded) -> None:
    _invited("done@example.org", accepted=True).save()
    _invited("late@example.org", days=30).save()
    assert [event["targets"][0]["name"] for event in recorded(only="member")] == ["late@example.org"]
    call_command("clear_expired_invitations")
    assert not Invitation.objects.exists()
    assert len(recorded(only="member")) == 1


def test_invitations_written_in_bulk_are_recorded(ada: User, recorded: Recorded) -> None:
    rows = [_invited("a@example.org", inviter_id=ada.pk), _invited("b@example.org"), Invitation(email="c", key="c")]
    Invitation.objects.bulk_create(rows)
    Invitation.objects.filter(email="c").update(sent=timezone.now())
    Invitation.objects.all().delete()
    assert [(event["action"][7:], event["targets"][0]["name"]) for event in recorded(only="member")] == [
        ("invited", "a@example.org"),
        ("invited", "b@example.org"),
        ("invited", "c"),
        ("invitation.revoked", "a@example.org"),
        ("invitation.revoked", "b@example.org"),
        ("invitation.revoked", "c"),
    ]
    assert not any("key-of" in str(event.disclosures) for event in Event.objects.all())


def test_the_log_is_that_of_the_context_and_else_those_of_the_inviter(
    ada: User, acme: Organization, globex: Organization, recorded: Recorded, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "USER_TENANTS": lambda user: [acme, globex]}
    with auditlog.context(tenant=globex):
        _invited("a@example.org", inviter=ada).save()
    assert [event["tenant"] for event in recorded(only="member")] == [str(globex.pk)]
    _invited("b@example.org", inviter=ada).save()
    assert {event["tenant"] for event in recorded(only="member")[1:]} == {str(acme.pk), str(globex.pk)}


def test_a_model_of_the_host_names_its_own_tenant(ada: User, globex: Organization, recorded: Recorded) -> None:
    invitation = StaffInvitation.objects.create(
        organization=globex, phone="555", key="secret-key", inviter=ada, sent=timezone.now()
    )
    invitation.delete()
    sent, revoked = recorded(only="member")
    assert (sent["action"], revoked["action"]) == ("member.invited", "member.invitation.revoked")
    assert sent["tenant"] == revoked["tenant"] == str(globex.pk)
    assert not any("secret-key" in str(event.disclosures) for event in Event.objects.all())


def test_switched_off_it_records_nothing(settings: SettingsWrapper, recorded: Recorded) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ["invitations"]}
    _invited("a@example.org").save()
    assert recorded(only="member") == []


def test_connecting_twice_records_once(recorded: Recorded) -> None:
    pack.connect()
    _invited("a@example.org").save()
    assert len(recorded(only="member")) == 1
