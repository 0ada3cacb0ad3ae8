"""Northwind's own tests: Django's TestCase, unchanged; events are seen in the transaction of the test."""

# ruff: noqa: PT009  (under Django's runner unittest's assertions say what they got, and assert does not)

from __future__ import annotations

import json
import re

from django.test import Client, TestCase
from django.test.utils import override_settings

from auditkit_django import auditlog
from example_project.northwind import services
from example_project.northwind.models import ApiKey, Invitation, Membership, Organization, Project
from example_project.northwind.rights import Role

PASSWORD = "quiet-harbor-42"
FAST = override_settings(PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"])


def actions(organization: Organization) -> list[str]:
    """Names of the organization's events, oldest first."""
    return [event.action for event in auditlog.list(tenant=organization, order="asc").events]


class Case(TestCase):
    """Two organizations, each with an owner who is signed in."""

    def setUp(self) -> None:
        fast = FAST
        fast.enable()
        self.addCleanup(fast.disable)
        self.acme, self.owner = self.sign_up("Acme", "mara@acme.example")
        self.globex, self.stranger = self.sign_up("Globex", "gus@globex.example")

    def sign_up(self, organization: str, email: str) -> tuple[Organization, Client]:
        """A new organization and its owner's browser."""
        client = Client()
        values = {"organization": organization, "name": "Mara Lind", "email": email, "password": PASSWORD}
        answer = client.post("/sign-up/", values)
        self.assertEqual(answer.status_code, 302, answer.context and answer.context["form"].errors)
        return Organization.objects.get(slug=organization.lower()), client

    def join(self, email: str, role: str) -> Client:
        """Somebody who was invited to Acme and has joined: their browser."""
        self.owner.post("/o/acme/members/", {"email": email, "role": role})
        client = Client()
        token = Invitation.objects.get(email=email).token
        client.post(f"/invitations/{token}/", {"name": "Ada Byte", "password": PASSWORD})
        return client

    def create_key(self, *scopes: str) -> str:
        """The secret of a new key of Acme."""
        answer = self.owner.post("/o/acme/keys/", {"name": "Sync", "scopes": scopes})
        found = re.search(r"nwk_\w{8}_[\w-]+", answer.content.decode())
        assert found is not None, "the page must show the secret"
        return found[0]


class FlowTests(Case):
    """What people do, and what is in the log afterwards."""

    def test_a_whole_flow_is_recorded_in_order(self) -> None:
        self.join("ada@acme.example", "member")
        member = Membership.objects.get(user__username="ada@acme.example")
        self.owner.post(f"/o/acme/members/{member.pk}/role/", {"role": "admin"})
        self.create_key("projects:read")
        self.owner.post("/o/acme/projects/", {"name": "Atlas", "client": "Orion", "budget": "100"})
        self.owner.post("/o/acme/projects/export.csv")
        self.assertEqual(
            actions(self.acme),
            [
                "org.created",
                "user.created",
                "member.joined",
                "auth.login.succeeded",
                "member.invited",
                "user.created",
                "member.joined",
                "auth.login.succeeded",
                "member.role.changed",
                "apikey.created",
                "data.record.created",
                "data.exported",
            ],
        )

    def test_an_event_names_actor_target_and_change(self) -> None:
        self.join("ada@acme.example", "member")
        member = Membership.objects.get(user__username="ada@acme.example")
        self.owner.post(f"/o/acme/members/{member.pk}/role/", {"role": "admin"}, headers={"user-agent": "Firefox"})
        (event,) = auditlog.list(tenant=self.acme, action="member.role.changed").events
        assert event.actor is not None
        self.assertEqual(event.actor["email"], "mara@acme.example")
        self.assertEqual(event.targets[0]["id"], str(member.user_id))
        self.assertEqual(event.changes, [{"field": "role", "old": "member", "new": "admin"}])
        self.assertEqual(event.context["user_agent"], "Firefox")

    def test_nothing_is_changed_where_nothing_is_new(self) -> None:
        services.rename(self.acme, name="Acme")
        self.assertNotIn("org.updated", actions(self.acme))

    def test_each_security_setting_has_its_own_event(self) -> None:
        self.owner.post(
            "/o/acme/settings/", {"require_mfa": "on", "sso_domain": "acme.example", "allowed_networks": ""}
        )
        self.assertEqual(actions(self.acme)[-2:], ["config.mfa_policy.updated", "config.sso.updated"])

    def test_a_project_lives_and_ends_in_the_log(self) -> None:
        self.owner.post("/o/acme/projects/", {"name": "Atlas", "client": "Orion", "budget": "100"})
        project = Project.objects.get()
        self.owner.get(f"/o/acme/projects/{project.pk}/")
        for act in ("archive", "restore", "delete"):
            self.owner.post(f"/o/acme/projects/{project.pk}/{act}/")
        self.assertEqual(
            actions(self.acme)[-5:],
            [
                "data.record.created",
                "data.record.viewed",
                "project.archived",
                "project.restored",
                "data.record.deleted",
            ],
        )

    def test_old_invitations_are_revoked_by_the_service(self) -> None:
        invitation = services.invite(self.acme, email="late@acme.example", role=Role.MEMBER)
        with auditlog.context(actor="service:housekeeping", source="command"):
            self.assertEqual(services.revoke_old_invitations(days=0), 1)
        (event,) = auditlog.list(tenant=self.acme, action="member.invitation.revoked").events
        assert event.actor is not None
        self.assertEqual(event.actor["type"], "service")
        self.assertEqual(self.client.get(f"/invitations/{invitation.token}/").status_code, 404)

    def test_the_log_verifies(self) -> None:
        with self.captureOnCommitCallbacks(execute=True):
            services.rename(self.acme, name="Acme Robotics")
        self.assertEqual(auditlog.verify(tenant=self.acme).verdict, "VALID")


class SignInTests(Case):
    """Signing in and out."""

    def test_a_wrong_password_is_recorded_for_the_organization(self) -> None:
        Client().post("/sign-in/", {"username": "mara@acme.example", "password": "wrong"})
        event = auditlog.list(tenant=self.acme).events[0]
        self.assertEqual((event.action, event.outcome), ("auth.login.failed", "failure"))

    def test_an_unknown_address_is_in_nobodys_log(self) -> None:
        before = actions(self.acme)
        Client().post("/sign-in/", {"username": "nobody@acme.example", "password": "wrong"})
        self.assertEqual(actions(self.acme), before)
        self.assertEqual(auditlog.list(tenant="system").events[0].action, "auth.login.failed")

    def test_signing_out_and_in_is_recorded(self) -> None:
        self.owner.post("/sign-out/")
        self.owner.post("/sign-in/", {"username": "mara@acme.example", "password": PASSWORD})
        self.assertEqual(actions(self.acme)[-2:], ["auth.logout", "auth.login.succeeded"])


class ApiTests(Case):
    """Programs with a key."""

    def ask(self, secret: str, **values: object) -> int:
        """POST a project with ``secret``; the status."""
        headers = {"authorization": f"Bearer {secret}"}
        body = json.dumps(values)
        return Client().post("/api/v1/projects/", body, content_type="application/json", headers=headers).status_code

    def test_the_key_is_the_actor(self) -> None:
        secret = self.create_key("projects:write")
        self.assertEqual(self.ask(secret, name="Atlas", budget=5), 201)
        event = auditlog.list(tenant=self.acme).events[0]
        assert event.actor is not None
        self.assertEqual((event.action, event.actor["type"]), ("data.record.created", "api_key"))

    def test_a_missing_scope_and_a_revoked_key_are_recorded(self) -> None:
        secret = self.create_key("projects:read")
        self.assertEqual(self.ask(secret, name="Atlas", budget=5), 403)
        self.owner.post(f"/o/acme/keys/{ApiKey.objects.get().pk}/revoke/")
        self.assertEqual(self.ask(secret, name="Atlas", budget=5), 401)
        self.assertEqual(actions(self.acme)[-3:], ["access.denied", "apikey.revoked", "apikey.rejected"])

    def test_the_secret_is_nowhere_in_the_log(self) -> None:
        secret = self.create_key("projects:read")
        for event in auditlog.list(tenant=self.acme).events:
            self.assertNotIn(secret, f"{event.metadata}{event.changes}{event.targets}{event.context}{event.summary}")


class IsolationTests(Case):
    """Who is not a member learns nothing."""

    def test_every_page_of_another_organization_is_404(self) -> None:
        for page in ("", "members/", "keys/", "projects/", "billing/", "settings/", "audit/", "audit/verify/"):
            with self.subTest(page):
                self.assertEqual(self.stranger.get(f"/o/acme/{page}").status_code, 404)

    def test_a_refused_stranger_leaves_nothing_in_the_log(self) -> None:
        before = actions(self.acme)
        self.stranger.get("/o/acme/keys/")
        self.stranger.post("/o/acme/projects/export.csv")
        self.assertEqual(actions(self.acme), before)

    def test_the_members_own_trail_is_shown(self) -> None:
        answer = self.owner.get("/o/acme/audit/")
        self.assertContains(answer, "Mara Lind created the organization Acme")

    def test_an_auditor_sees_the_trail_and_a_member_does_not(self) -> None:
        self.assertEqual(self.join("ada@acme.example", "member").get("/o/acme/audit/").status_code, 404)
        self.assertEqual(self.join("ruth@audit.example", "auditor").get("/o/acme/audit/").status_code, 200)

    def test_a_member_without_the_right_is_refused_and_recorded(self) -> None:
        member = self.join("ada@acme.example", "member")
        self.assertEqual(member.get("/o/acme/keys/").status_code, 403)
        event = auditlog.list(tenant=self.acme).events[0]
        self.assertEqual((event.action, event.outcome), ("access.denied", "denied"))
        self.assertEqual(event.summary, "Ada Byte was refused access to API keys: needs the role owner or admin")

    def test_a_project_of_another_organization_cannot_be_deleted(self) -> None:
        self.owner.post("/o/acme/projects/", {"name": "Atlas", "client": "", "budget": "1"})
        project = Project.objects.get()
        self.assertEqual(self.stranger.post(f"/o/globex/projects/{project.pk}/delete/").status_code, 404)
        self.assertTrue(Project.objects.filter(pk=project.pk).exists())
