"""What people do, each through its form or page. ``Stage`` is the company they do it in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any
from urllib.parse import quote

from django.core import mail
from django.core.management import call_command
from django.test import Client

from example_project.northwind.demo.authenticator import Authenticator
from example_project.northwind.demo.browser import Browser
from example_project.northwind.demo.cast import PASSWORD, SCRIPT, Company, Person
from example_project.northwind.models import ApiKey, Invitation, Membership, Plan, Project
from example_project.northwind.rights import Role


@dataclass(slots=True, kw_only=True)
class Stage:
    """A company while its story is told. ``browsers`` are shared: one person may be in two companies."""

    company: Company
    rng: Random
    browsers: dict[str, Browser]
    secrets: dict[str, str] = field(default_factory=dict)

    def browser(self, person: Person) -> Browser:
        """The person's own, the same one every time."""
        return self.browsers.setdefault(person.email, Browser(person))

    def path(self, rest: str = "") -> str:
        """A page of the company."""
        return f"/o/{self.company.slug}/{rest}"

    def a_project(self, *, archived: bool = False) -> Project | None:
        """One of the company's projects."""
        projects = Project.objects.filter(organization__slug=self.company.slug, archived=archived).order_by("pk")
        return self.rng.choice(found) if (found := list(projects)) else None

    def membership(self, person: Person) -> Membership:
        """The person's membership."""
        return Membership.objects.get(organization__slug=self.company.slug, user__username=person.email)


def sign_up(stage: Stage, person: Person) -> None:
    browser = stage.browser(person)
    values = {
        "organization": stage.company.name,
        "name": person.name,
        "email": person.email,
        "password": browser.password,
    }
    browser.post("/sign-up/", values)
    browser.has_signed_in()


def arrive(stage: Stage, person: Person) -> None:
    """Sign in unless a session is there; now and then the first try fails."""
    browser = stage.browser(person)
    if browser.is_signed_in:
        return
    if stage.rng.random() < 0.1:
        browser.mistype()
    browser.sign_in()


def while_signed_in(stage: Stage, person: Person, deed: Callable[[], None]) -> None:
    """Do it, signed in: two visits may overlap, and the one that is over has signed out."""
    arrive(stage, person)
    deed()


def leave(stage: Stage, person: Person) -> None:
    if stage.browser(person).is_signed_in:
        stage.browser(person).sign_out()


def be_attacked(stage: Stage, person: Person, *, ip: str) -> None:
    """Somebody elsewhere guesses the person's password."""
    stage.browser(person).mistype(ip=ip)


def change_password(stage: Stage, person: Person) -> None:
    browser = stage.browser(person)
    values = {"old_password": browser.password, "new_password1": PASSWORD, "new_password2": PASSWORD}
    browser.post("/security/password/", values)
    browser.password = PASSWORD


def forget_password(stage: Stage, person: Person) -> None:
    """Ask for a link, and set the password that everybody has with it; signed in again another time."""
    browser = stage.browser(person)
    browser.start_anew()
    browser.post("/sign-in/forgotten/", {"email": person.email})
    found = re.search(r"/sign-in/reset/\S+", str(mail.outbox[-1].body))
    assert found is not None, "the mail must bring the link"
    form = browser.get(found[0], status=302)["Location"]
    browser.post(form, {"new_password1": PASSWORD, "new_password2": PASSWORD})
    browser.password = PASSWORD


def enrol(stage: Stage, person: Person) -> None:
    """Begin to use two-step sign-in."""
    browser = stage.browser(person)
    browser.post("/security/")
    page = browser.get("/security/two-step/").content.decode()
    found = re.search(r"secret=([A-Z2-7]+)", page)
    assert found is not None, "the page must show the secret"
    browser.authenticator = Authenticator(found[1])
    browser.post("/security/two-step/", {"code": browser.authenticator.code()})


def stop_two_step(stage: Stage, person: Person) -> None:
    """The phone is gone; the password is enough again."""
    stage.browser(person).post("/security/two-step/remove/")
    stage.browser(person).authenticator = None


def mistype_code(stage: Stage, person: Person) -> None:
    """The right password, and a wrong code."""
    stage.browser(person).mistype_code()


def invite(stage: Stage, person: Person, *, email: str, role: str) -> None:
    stage.browser(person).post(stage.path("members/"), {"email": email, "role": role})


def withdraw(stage: Stage, person: Person, *, email: str) -> None:
    invitation = Invitation.objects.get(Invitation.OPEN, organization__slug=stage.company.slug, email=email)
    stage.browser(person).post(stage.path(f"invitations/{invitation.pk}/revoke/"))


def join(stage: Stage, person: Person) -> None:
    """Follow the link of the invitation: as someone new, or signed in where the account is there already."""
    browser = stage.browser(person)
    invitation = Invitation.objects.get(Invitation.OPEN, organization__slug=stage.company.slug, email=person.email)
    if Membership.objects.filter(user__username=person.email).exists():
        arrive(stage, person)
        browser.post(f"/invitations/{invitation.token}/")
        return
    browser.post(f"/invitations/{invitation.token}/", {"name": person.name, "password": browser.password})
    browser.has_signed_in()


def change_role(stage: Stage, person: Person, *, of: Person, role: str) -> None:
    stage.browser(person).post(stage.path(f"members/{stage.membership(of).pk}/role/"), {"role": role})


def remove(stage: Stage, person: Person, *, who: Person) -> None:
    stage.browser(person).post(stage.path(f"members/{stage.membership(who).pk}/remove/"))


def create_key(stage: Stage, person: Person, *, name: str, scopes: list[str]) -> None:
    answer = stage.browser(person).post(stage.path("keys/"), {"name": name, "scopes": scopes}, status=200)
    stage.secrets[name] = _secret_on(answer.content)


def rotate_key(stage: Stage, person: Person, *, name: str) -> None:
    key = ApiKey.objects.get(organization__slug=stage.company.slug, name=name)
    stage.secrets[name] = _secret_on(
        stage.browser(person).post(stage.path(f"keys/{key.pk}/rotate/"), status=200).content
    )


def revoke_key(stage: Stage, person: Person, *, name: str) -> None:
    key = ApiKey.objects.get(organization__slug=stage.company.slug, name=name)
    stage.browser(person).post(stage.path(f"keys/{key.pk}/revoke/"))


def call_api(stage: Stage, person: Person, *, key: str, project: str = "", status: int = 200) -> None:
    """A program of the company asks the API; ``person`` is who runs it, and is not the actor."""
    headers = {"authorization": f"Bearer {stage.secrets[key]}", "user-agent": SCRIPT}
    client = Client(headers=headers, REMOTE_ADDR="198.51.100.20", SERVER_NAME="127.0.0.1")
    path = "/api/v1/projects/"
    body = json.dumps({"name": project, "client": stage.rng.choice(stage.company.clients), "budget": 0})
    answer = client.post(path, body, content_type="application/json") if project else client.get(path)
    assert answer.status_code == status, f"{path}: got {answer.status_code}, wanted {status}"


def choose_plan(stage: Stage, person: Person, *, plan: Plan, seats: int) -> None:
    stage.browser(person).post(stage.path("billing/"), {"plan": plan.value, "seats": seats})


def secure(stage: Stage, person: Person, *, mfa: bool = False, domain: str = "", networks: str = "") -> None:
    values = {"sso_domain": domain, "allowed_networks": networks} | ({"require_mfa": "on"} if mfa else {})
    stage.browser(person).post(stage.path("settings/"), values)


def rename(stage: Stage, person: Person, *, name: str) -> None:
    stage.browser(person).post(stage.path("settings/name/"), {"name": name})


def create_project(stage: Stage, person: Person) -> None:
    taken = set(Project.objects.filter(organization__slug=stage.company.slug).values_list("name", flat=True))
    names = [name for name in stage.company.projects if name not in taken]
    if not names:
        return
    name, client = stage.rng.choice(names), stage.rng.choice(stage.company.clients)
    values = {"name": name, "client": client, "budget": stage.rng.randrange(5, 250) * 1000}
    stage.browser(person).post(stage.path("projects/"), values)


def view_project(stage: Stage, person: Person) -> None:
    if (project := stage.a_project()) is not None:
        stage.browser(person).get(stage.path(f"projects/{project.pk}/"))


def edit_project(stage: Stage, person: Person) -> None:
    if (project := stage.a_project()) is None:
        return
    values: dict[str, Any] = {"name": project.name, "client": project.client, "budget": project.budget}
    if stage.rng.random() < 0.7:
        values["budget"] = max(1000, project.budget + stage.rng.randrange(-15, 30) * 500)
    else:
        values["client"] = stage.rng.choice(stage.company.clients)
    stage.browser(person).post(stage.path(f"projects/{project.pk}/"), values)


def archive_project(stage: Stage, person: Person) -> None:
    if (project := stage.a_project()) is not None:
        stage.browser(person).post(stage.path(f"projects/{project.pk}/archive/"))


def restore_project(stage: Stage, person: Person) -> None:
    if (project := stage.a_project(archived=True)) is not None:
        stage.browser(person).post(stage.path(f"projects/{project.pk}/restore/"))


def delete_project(stage: Stage, person: Person) -> None:
    if (project := stage.a_project(archived=True)) is not None:
        stage.browser(person).post(stage.path(f"projects/{project.pk}/delete/"))


def export_projects(stage: Stage, person: Person) -> None:
    stage.browser(person).post(stage.path("projects/export.csv"), status=200)


def view_trail(stage: Stage, person: Person, *, query: str = "") -> None:
    stage.browser(person).get(stage.path(f"audit/{query}"))


def be_refused(stage: Stage, person: Person) -> None:
    """A member tries a door that is not for their role; nothing for those who were promoted."""
    browser = stage.browser(person)
    if stage.membership(person).role != Role.MEMBER:
        return
    if stage.rng.random() < 0.5:
        browser.post(stage.path("projects/export.csv"), status=403)
    else:
        browser.get(stage.path(stage.rng.choice(["keys/", "settings/", "billing/"])), status=403)


def housekeeping(stage: Stage, person: Person) -> None:
    """The nightly job; nobody asked for it."""
    call_command("expire_invitations", stdout=_Silent())


def act_as(stage: Stage, person: Person, *, customer: Person, deeds: Sequence[Callable[[Stage, Person], None]]) -> None:
    """``person``, of support, does something as ``customer`` and stops again."""
    browser = stage.browser(person)
    browser.get("/support/?q=" + quote(stage.company.name))
    browser.post("/hijack/acquire/", {"user_pk": stage.membership(customer).user_id})
    for deed in deeds:
        deed(stage, person)
    browser.post("/hijack/release/", {"next": "/support/"})


class _Silent:
    def write(self, text: str) -> None:
        """What a command prints is no part of the story."""


def _secret_on(page: bytes) -> str:
    found = re.search(r"nwk_\w{8}_[\w-]+", page.decode())
    assert found is not None, "the page must show the key's secret"
    return found[0]
