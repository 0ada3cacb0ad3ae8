"""Northwind's own tests: Django's TestCase, unchanged; events are seen in the transaction of the test."""

# ruff: noqa: PT009  (under Django's runner unittest's assertions say what they got, and assert does not)

from __future__ import annotations

import json
import re
import time

from django.contrib.auth import SESSION_KEY
from django.contrib.auth.models import User
from django.core import mail
from django.test import Client, TestCase
from django.test.utils import override_settings

from auditkit_django import auditlog
from auditkit_django.access.api_keys import create_key
from example_project.northwind import services
from example_project.northwind.demo.authenticator import Authenticator
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
                "user.created",
                "org.created",
                "member.joined",
                "auth.login.succeeded",
                "member.invited",
                "user.created",
                "member.joined",
                "auth.login.succeeded",
                "member.role.changed",
                "apikey.created",
                "project.created",
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
                "project.created",
                "data.record.viewed",
                "project.archived",
                "project.restored",
                "project.deleted",
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


class TwoStepTests(Case):
    """The second factor."""

    def enrol(self) -> Authenticator:
        """The owner's app, set up in the page."""
        self.owner.post("/security/")
        page = self.owner.get("/security/two-step/").content.decode()
        found = re.search(r"secret=([A-Z2-7]+)", page)
        assert found is not None, "the page must show the secret"
        authenticator = Authenticator(found[1])
        self.assertRedirects(self.owner.post("/security/two-step/", {"code": authenticator.code()}), "/security/")
        return authenticator

    def give_password(self) -> Client:
        """A browser in which the owner gave the right password."""
        client = Client()
        answer = client.post("/sign-in/?next=/o/acme/keys/", {"username": "mara@acme.example", "password": PASSWORD})
        self.assertRedirects(answer, "/sign-in/code/")
        return client

    def test_the_password_alone_signs_nobody_in(self) -> None:
        self.enrol()
        before = actions(self.acme)
        client = self.give_password()
        self.assertNotIn(SESSION_KEY, client.session)
        self.assertEqual(client.get("/o/acme/").status_code, 302)
        self.assertEqual(actions(self.acme), before)

    def test_the_code_signs_in_and_leads_on(self) -> None:
        authenticator = self.enrol()
        answer = self.give_password().post("/sign-in/code/", {"code": authenticator.code()})
        self.assertRedirects(answer, "/o/acme/keys/", fetch_redirect_response=False)
        self.assertEqual(actions(self.acme)[-2:], ["mfa.factor.enrolled", "auth.login.succeeded"])

    def test_a_wrong_code_is_recorded(self) -> None:
        authenticator = self.enrol()
        answer = self.give_password().post("/sign-in/code/", {"code": authenticator.wrong_code()})
        self.assertContains(answer, "not right")
        event = auditlog.list(tenant=self.acme).events[0]
        self.assertEqual((event.action, event.outcome), ("mfa.challenge.failed", "failure"))

    def test_a_password_is_good_for_ten_minutes(self) -> None:
        self.enrol()
        client = self.give_password()
        session = client.session
        session["northwind_waits_for_code"] |= {"at": time.time() - 601}
        session.save()
        self.assertRedirects(client.get("/sign-in/code/"), "/sign-in/")

    def test_turning_it_off_is_recorded_and_the_password_is_enough_again(self) -> None:
        self.enrol()
        self.owner.post("/security/two-step/remove/")
        answer = Client().post("/sign-in/", {"username": "mara@acme.example", "password": PASSWORD})
        self.assertRedirects(answer, "/", fetch_redirect_response=False)
        self.assertEqual(actions(self.acme)[-2:], ["mfa.factor.removed", "auth.login.succeeded"])


class PasswordTests(Case):
    """Changing a password, and forgetting it."""

    def test_a_changed_password_is_recorded_once(self) -> None:
        values = {"old_password": PASSWORD, "new_password1": "louder-harbor-43", "new_password2": "louder-harbor-43"}
        self.assertRedirects(self.owner.post("/security/password/", values), "/security/")
        self.assertEqual(actions(self.acme)[-2:], ["auth.login.succeeded", "auth.password.changed"])

    def test_a_forgotten_one_is_set_anew_with_the_link_of_the_mail(self) -> None:
        client = Client()
        client.post("/sign-in/forgotten/", {"email": "mara@acme.example"})
        found = re.search(r"http://testserver(\S+)", str(mail.outbox[0].body))
        assert found is not None, "the mail must bring the link"
        form = client.get(found[1])["Location"]
        answer = client.post(form, {"new_password1": "louder-harbor-43", "new_password2": "louder-harbor-43"})
        self.assertRedirects(answer, "/sign-in/")
        self.assertEqual(actions(self.acme)[-2:], ["auth.password.reset_requested", "auth.password.reset"])
        self.assertContains(client.get(found[1]), "This link does not work")

    def test_an_unknown_address_gets_no_mail_and_the_same_answer(self) -> None:
        answer = Client().post("/sign-in/forgotten/", {"email": "nobody@acme.example"})
        self.assertRedirects(answer, "/sign-in/forgotten/sent/")
        self.assertEqual(mail.outbox, [])


class SupportTests(Case):
    """Northwind's people, who may act as customers'."""

    def setUp(self) -> None:
        super().setUp()
        self.support, self.mara = Client(), User.objects.get(username="mara@acme.example")
        address = "support@northwind.example"
        person = User.objects.create_user(address, address, first_name="Northwind", is_staff=True)
        self.support.force_login(person)

    def act_as_mara(self) -> None:
        """Begin to act as Acme's owner."""
        self.support.post("/hijack/acquire/", {"user_pk": self.mara.pk})

    def test_what_support_does_names_both(self) -> None:
        self.act_as_mara()
        self.assertContains(self.support.get("/o/acme/"), "You act as Mara Lind.")
        self.support.post("/o/acme/projects/", {"name": "Atlas", "client": "", "budget": "1"})
        self.support.post("/hijack/release/")
        ended, created, started = auditlog.list(tenant=self.acme).events[:3]
        self.assertEqual(
            [event.action for event in (started, created, ended)],
            ["session.impersonation.started", "project.created", "session.impersonation.ended"],
        )
        assert created.actor is not None
        assert created.on_behalf_of is not None
        self.assertEqual(created.actor["email"], "support@northwind.example")
        self.assertEqual(created.on_behalf_of["email"], "mara@acme.example")

    def test_support_is_kept_from_passwords_and_second_factors(self) -> None:
        self.act_as_mara()
        for page in ("", "password/", "two-step/"):
            with self.subTest(page):
                self.assertEqual(self.support.get(f"/security/{page}").status_code, 403)

    def test_support_is_kept_from_a_person_s_own_activity(self) -> None:
        self.assertEqual(self.owner.get("/o/acme/activity/").status_code, 200)
        self.act_as_mara()
        self.assertEqual(self.support.get("/o/acme/activity/").status_code, 403)
        self.assertNotContains(self.support.get("/o/acme/"), "/activity/")

    def test_customers_have_no_support_page_and_act_as_nobody(self) -> None:
        self.assertEqual(self.owner.get("/support/").status_code, 404)
        self.assertEqual(self.stranger.post("/hijack/acquire/", {"user_pk": self.mara.pk}).status_code, 403)

    def test_people_are_found_by_their_organization(self) -> None:
        self.assertContains(self.support.get("/support/?q=globex"), "gus@globex.example")
        self.assertNotContains(self.support.get("/support/?q=globex"), "mara@acme.example")


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
        self.assertEqual((event.action, event.actor["type"]), ("project.created", "api_key"))

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


class ActivityTests(Case):
    """What each member sees of the audit log: what they did."""

    def frame_of(self, client: Client) -> str:
        """The address of the frame on the member's page."""
        page = client.get("/o/acme/activity/")
        self.assertEqual(page.status_code, 200)
        self.assertIn("no-store", page["Cache-Control"])
        self.assertIn("frame-src 'self'", page["Content-Security-Policy"])
        found = re.search(r'<iframe[^>]* src="([^"]+)"', page.content.decode())
        assert found is not None
        return found[1]

    def test_a_member_who_may_not_read_the_log_sees_their_own_part_of_it(self) -> None:
        member = self.join("ada@acme.example", "member")
        member.post("/o/acme/projects/", {"name": "Atlas", "client": "", "budget": "1"})
        frame = Client().get(self.frame_of(member)).content.decode()
        self.assertIn("created the project Atlas", frame)
        self.assertNotIn("Mara Lind", frame)
        (viewed,) = auditlog.list(tenant=self.acme, action="audit.log.viewed").events
        assert viewed.actor is not None
        self.assertEqual(viewed.actor["name"], "Ada Byte")

    def test_the_event_of_another_member_is_not_found(self) -> None:
        member = self.join("ada@acme.example", "member")
        (invited,) = auditlog.list(tenant=self.acme, action="member.invited").events
        frame = self.frame_of(member)
        self.assertEqual(Client().get(f"{frame}events/{invited.id}/").status_code, 404)
        self.assertEqual(Client().get(f"{self.frame_of(self.owner)}events/{invited.id}/").status_code, 200)

    def test_the_frame_is_for_pages_of_our_own(self) -> None:
        policy = Client().get(self.frame_of(self.owner))["Content-Security-Policy"]
        self.assertIn("frame-ancestors http://127.0.0.1:8000 http://localhost:8000", policy)

    def test_a_stranger_has_no_page(self) -> None:
        self.assertEqual(self.stranger.get("/o/acme/activity/").status_code, 404)
        self.assertEqual(Client().get("/o/acme/activity/").status_code, 302)


class AuditApiTests(Case):
    """The audit log over HTTP."""

    def test_a_key_reads_its_own_organization_s_log(self) -> None:
        _key, secret = create_key("SIEM", tenant=self.acme, scopes=["events:read"])
        headers = {"authorization": f"Bearer {secret}"}
        found = Client().get("/audit/api/v1/events", headers=headers).json()["events"]
        self.assertIn("org.created", [event["action"] for event in found])
        self.assertEqual({event["tenant"] for event in found}, {str(self.acme.pk)})
        self.assertEqual(
            Client().get(f"/audit/api/v1/events?tenant={self.globex.pk}", headers=headers).status_code, 404
        )

    def test_the_documentation_is_of_this_api_alone_and_from_this_server(self) -> None:
        page = Client().get("/audit/api/docs/").content.decode()
        self.assertIn('data-document="/audit/api/v1/openapi.json"', page)
        self.assertNotRegex(page, r"(?:src|href)=\"(?:https?:)?//")
        self.assertNotRegex(page, r"<script>|<style|\son\w+=")
        paths = Client().get("/audit/api/v1/openapi.json").json()["paths"]
        self.assertIn("/v1/events", paths)
        self.assertEqual([path for path in paths if not path.startswith("/v1/")], [])


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
