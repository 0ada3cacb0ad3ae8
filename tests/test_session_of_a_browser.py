"""
One session in a real browser, and what the audit log then holds: exactly this, and nothing else.

The example project is served by a process of its own, on a database of its own (SQLite, or PostgreSQL in that run). People
sign up, in and out, fail to, use a second factor, invite, are impersonated and forget their passwords, all by clicking.
"""

from __future__ import annotations

import email
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
from django.conf import settings
from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

from example_project.northwind.demo.authenticator import Authenticator

pytestmark = [pytest.mark.browser, pytest.mark.processes, pytest.mark.xdist_group("browser")]

ROOT = Path(__file__).parents[1]
SCREENSHOTS = ROOT / "test-artifacts"
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]

PASSWORD, NEW_PASSWORD = "quiet-harbor-42", "louder-harbor-43"
MARA, ADA, SUPPORT = "mara@acme.example", "ada@acme.example", "support@northwind.example"

_SET_UP = f"""
from django.contrib.auth.models import User
from django.core.management import call_command

call_command("migrate", verbosity=0)
User.objects.create_superuser({SUPPORT!r}, {SUPPORT!r}, {PASSWORD!r}, first_name="Northwind", last_name="Support")
"""
_READ = """
import json
from auditkit_django import auditlog
from auditkit_django.log.append import append_all
from auditkit_django.models import Event
from example_project.northwind.models import Organization

append_all()
logs = {}
for name, tenant in [("system", "system"), *((one.slug, str(one.pk)) for one in Organization.objects.all())]:
    events = [
        {
            "action": event.action, "outcome": event.outcome, "actor": event.actor, "on_behalf_of": event.on_behalf_of,
            "targets": event.targets, "changes": event.changes, "metadata": event.metadata, "context": event.context,
        }
        for event in auditlog.list(tenant, order="asc", limit=1000)
    ]
    logs[name] = {"verdict": auditlog.verify(tenant=tenant).verdict, "events": events}
print(json.dumps({"logs": logs, "count": Event.objects.count()}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """Northwind Cloud, served at ``url``; its mails are files in ``mails``; ``python`` runs code beside the server."""

    url: str
    mails: Path
    python: Callable[[str], str]

    def link_mailed_to(self, address: str) -> str:
        """The address of the page that the last mail to ``address`` leads to."""
        mails = [email.message_from_bytes(one.read_bytes()) for one in self.mails.iterdir()]
        [mail] = [one for one in mails if one["To"] == address]
        text = mail.get_payload(decode=True).decode()  # type: ignore[union-attr]
        link = re.search(r"http://\S+", text)
        assert link is not None, text
        return link[0]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("northwind")
    with _database(folder) as database:
        ours = {name: text for name, text in os.environ.items() if not name.startswith(("DJANGO_", "NORTHWIND_"))}
        environment = ours | database | {
            "DJANGO_SETTINGS_MODULE": "example_project.settings",
            "NORTHWIND_EMAIL_BACKEND": "django.core.mail.backends.filebased.EmailBackend",
            "NORTHWIND_EMAIL_FILE_PATH": str(folder / "mails"),
        }  # fmt: skip

        def python(code: str) -> str:
            command = [sys.executable, "manage.py", "shell", "-v", "0", "-c", code]
            run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
            assert run.returncode == 0, f"{code}\n{run.stdout}\n{run.stderr}"
            return run.stdout

        python(_SET_UP)
        with _served(environment, folder / "server.log") as url:
            yield Site(url=url, mails=folder / "mails", python=python)


@contextmanager
def _database(folder: Path) -> Iterator[dict[str, str]]:
    """An empty database of our own, as the variables of the environment that lead to it."""
    if os.environ.get("AUDITKIT_TEST_DB") != "postgresql":
        yield {"NORTHWIND_DATABASE": str(folder / "northwind.sqlite3")}
        return
    import psycopg

    server, name = settings.DATABASES["default"], f"northwind_{os.getpid()}"
    where = f"host={server['HOST']} port={server['PORT']} user={server['USER']}"
    with psycopg.connect(f"{where} dbname=postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield {"NORTHWIND_POSTGRES": f"{where} dbname={name}"}
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


@contextmanager
def _served(environment: dict[str, str], log: Path, *, port: int = 0) -> Iterator[str]:
    """The address of a server on a port that the system chose, or on ``port``; it has ended after the block."""
    command = [sys.executable, "-u", "manage.py", "runserver", f"127.0.0.1:{port}", "--noreload"]
    with log.open("w") as errors, subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as server:  # fmt: skip
        try:
            assert server.stdout is not None
            for line in server.stdout:
                if found := re.search(r"http://127\.0\.0\.1:\d+", line):
                    break
            else:
                pytest.fail(f"the server did not start:\n{log.read_text()}")
            yield found[0]
        finally:
            server.terminate()


@pytest.fixture
def open_page(site: Site) -> Iterator[Callable[[], Page]]:
    """Opens the page of another browser, without cookies; the test fails on errors in any of their consoles."""
    executable = shutil.which("chromium") or shutil.which("google-chrome") or shutil.which("chromium-browser")
    if not executable:
        reason = "The browser tests need Chromium: apt-get install chromium (or leave them out: -m 'not browser')."
        (pytest.fail if os.environ.get("AUDITKIT_REQUIRE_BROWSER") else pytest.skip)(reason)
    trouble: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            trouble.append(f"{message.text} {message.location}")

    def open_(browser: Browser) -> Page:
        page = browser.new_context(base_url=site.url, viewport={"width": 1280, "height": 860}).new_page()
        page.set_default_timeout(30_000)
        page.on("console", note)
        page.on("pageerror", lambda error: trouble.append(str(error)))
        return page

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=_FLAGS)
        yield lambda: open_(browser)
        browser.close()
    assert not trouble


def shoot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / f"northwind-{name}.png", full_page=True)


def fill(page: Page, button: str, values: dict[str, str]) -> None:
    """Fill in the fields, by their labels, and press the button."""
    for label, value in values.items():
        page.get_by_label(label, exact=True).fill(value)
    page.get_by_role("button", name=button, exact=True).click()


def sign_in(page: Page, email: str, password: str) -> None:
    page.goto("/sign-in/")
    fill(page, "Sign in", {"Email": email, "Password": password})


def sign_out(page: Page) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url("**/sign-in/")


def begin(mara: Page) -> Authenticator:
    """The owner signs up, mistypes her password, and begins to use a second factor."""
    mara.goto("/sign-up/")
    person = {"Your name": "Mara Lind", "Work email": MARA, "Password": PASSWORD}
    fill(mara, "Create organization", {"Organization": "Acme", **person})
    mara.wait_for_url("**/o/acme/")
    sign_out(mara)
    sign_in(mara, MARA, "not-the-password")
    assert "correct" in mara.inner_text("main")
    sign_in(mara, MARA, PASSWORD)
    mara.locator(".who").click()
    shoot(mara, "security-off")
    mara.get_by_role("button", name="Set up").click()
    authenticator = Authenticator(mara.locator(".secret code").first.inner_text().replace(" ", ""))
    shoot(mara, "enrol")
    fill(mara, "Turn on", {"Code": authenticator.wrong_code()})
    assert "not right" in mara.inner_text("main")
    mara.wait_for_timeout(1_100)  # django-otp's pause after a wrong code
    fill(mara, "Turn on", {"Code": authenticator.code()})
    shoot(mara, "security-on")
    sign_out(mara)
    sign_in(mara, MARA, PASSWORD)
    shoot(mara, "code")
    fill(mara, "Sign in", {"Code": authenticator.wrong_code()})
    shoot(mara, "code-wrong")
    mara.wait_for_timeout(1_100)
    fill(mara, "Sign in", {"Code": authenticator.code()})
    mara.wait_for_url("**/o/acme/")
    return authenticator


def join(mara: Page, ada: Page) -> None:
    """The owner invites somebody, who joins and gets another role."""
    mara.goto("/o/acme/members/")
    fill(mara, "Invite", {"Email": ADA})
    ada.goto(str(mara.get_by_role("link", name="Invitation link").get_attribute("href")))
    fill(ada, "Join", {"Your name": "Ada Byte", "Password": PASSWORD})
    ada.wait_for_url("**/o/acme/")
    mara.reload()
    mara.get_by_label("Role of Ada Byte").select_option("admin")
    mara.get_by_role("button", name="Save the role of Ada Byte").click()
    mara.get_by_text("Ada Byte is admin now").wait_for()


def grant(support: Page) -> None:
    """The superuser grants the member a permission in Django's admin."""
    support.goto("/admin/login/?next=/admin/auth/user/")
    fill(support, "Log in", {"Username:": SUPPORT, "Password:": PASSWORD})
    support.get_by_role("link", name=ADA, exact=True).click()
    support.locator("#id_user_permissions_from").select_option(label="Northwind Cloud | project | Can view project")
    support.locator("#id_user_permissions_add, #id_user_permissions_add_link").click()
    support.get_by_role("button", name="Save", exact=True).click()
    support.get_by_text("was changed successfully").wait_for()


def work(mara: Page, site: Site) -> str:
    """A key, made in the page and used by a program; a plan, projects, an export. The key's secret."""
    mara.goto("/o/acme/keys/")
    mara.get_by_label("Create and change projects").check()
    fill(mara, "Create key", {"Name": "Nightly sync"})
    secret = mara.locator(".secret code").inner_text()
    body = json.dumps({"name": "Imported", "client": "Orion", "budget": 5}).encode()
    headers = {"Authorization": f"Bearer {secret}", "Content-Type": "application/json"}
    with urlopen(Request(f"{site.url}/api/v1/projects/", body, headers)) as answer:
        assert answer.status == 201
    mara.goto("/o/acme/billing/")
    mara.get_by_label("Business").check()
    fill(mara, "Save plan", {"Seats": "25"})
    mara.goto("/o/acme/projects/")
    fill(mara, "Create", {"Name": "Atlas", "Client": "Pallas", "Budget in €": "100"})
    mara.get_by_role("link", name="Atlas").click()
    fill(mara, "Save", {"Budget in €": "250"})
    mara.get_by_role("button", name="Delete Atlas").click()
    with mara.expect_download() as download:
        mara.get_by_role("button", name="Export CSV").click()
    assert "Imported" in download.value.path().read_text()
    return secret


def impersonate(support: Page) -> None:
    """Support does one thing as the member, and stops."""
    support.goto("/support/")
    fill(support, "Search", {"Name, email or organization": "ada"})
    shoot(support, "support")
    support.get_by_role("button", name="Act as Ada Byte").click()
    shoot(support, "acting")
    support.get_by_role("link", name="Projects", exact=True).click()
    fill(support, "Create", {"Name": "Repaired", "Budget in €": "1"})
    support.get_by_role("button", name="Stop acting").click()
    support.wait_for_url("**/support/")
    sign_out(support)


def forget(ada: Page, site: Site) -> None:
    """The member sets a new password with the link of a mail, and signs in with it."""
    sign_out(ada)
    ada.get_by_role("link", name="Forgot your password?").click()
    shoot(ada, "forgotten")
    fill(ada, "Mail me a link", {"Email": ADA})
    shoot(ada, "forgotten-sent")
    ada.goto(site.link_mailed_to(ADA))
    shoot(ada, "reset")
    fill(ada, "Set password", {"New password": NEW_PASSWORD, "New password confirmation": NEW_PASSWORD})
    shoot(ada, "reset-done")
    sign_in(ada, ADA, NEW_PASSWORD)
    ada.wait_for_url("**/o/acme/")
    sign_out(ada)


def event(action: str, actor: str | None, *targets: str, outcome: str = "success", **more: Any) -> dict[str, Any]:
    """An event as :func:`seen` writes it; what is not said is empty."""
    empty = {"on_behalf_of": None, "changes": {}, "metadata": {}}
    return {"action": action, "outcome": outcome, "actor": actor, "targets": list(targets), **empty, **more}


def seen(found: dict[str, Any]) -> dict[str, Any]:
    """What is compared of an event: everything but ids and where it came from."""
    named = {name: _who(found[name]) for name in ("actor", "on_behalf_of")}
    changes = {change["field"]: [change["old"], change["new"]] for change in found["changes"]}
    rest = {"outcome": found["outcome"], "changes": changes, "metadata": found["metadata"]}
    return {"action": found["action"], **named, "targets": [_who(target) for target in found["targets"]], **rest}


def _who(one: dict[str, Any] | None) -> str | None:
    return None if one is None else " ".join(filter(None, (one["type"], one.get("name"))))


_MARA, _ADA, _SUPPORT = "user Mara Lind", "user Ada Byte", "user Northwind Support"
_ACME = "organization Acme"
_PASSWORD, _LINK = {"method": "password"}, {"method": "link"}

SYSTEM = [
    event("user.created", "system", _SUPPORT),
    event(
        "permission.granted", "system", _SUPPORT, changes={"is_staff": [False, True]}, metadata={"permission": "staff"}
    ),
    event(
        "permission.granted",
        "system",
        _SUPPORT,
        changes={"is_superuser": [False, True]},
        metadata={"permission": "superuser"},
    ),
    event("auth.login.succeeded", _SUPPORT, metadata=_PASSWORD),
    event("auth.logout", _SUPPORT),
]
ACME = [
    # The owner signs up, mistypes her password, begins to use a second factor, and mistypes its code.
    event("user.created", _MARA, _MARA),
    event("org.created", _MARA, _ACME, metadata={"plan": "starter"}),
    event("member.joined", _MARA, _MARA, metadata={"role": "owner"}),
    event("auth.login.succeeded", _MARA, metadata=_PASSWORD),
    event("auth.logout", _MARA),
    event("auth.login.failed", _MARA, outcome="failure", metadata={"reason": "bad_credentials"}),
    event("auth.login.succeeded", _MARA, metadata=_PASSWORD),
    event("mfa.factor.enrolled", _MARA, _MARA, "totpdevice Authenticator app", metadata={"factor": "totp"}),
    event("auth.logout", _MARA),
    event(
        "mfa.challenge.failed",
        _MARA,
        _MARA,
        outcome="failure",
        metadata={"reason": "invalid_token", "factor": "totp"},
    ),
    event("auth.login.succeeded", _MARA, metadata=_PASSWORD),
    # A member joins, gets another role, and a permission from the superuser.
    event("member.invited", _MARA, f"invitation {ADA}", metadata={"role": "member"}),
    event("user.created", _ADA, _ADA),
    event("member.joined", _ADA, _ADA, f"invitation {ADA}", metadata={"role": "member"}),
    event("auth.login.succeeded", _ADA, metadata=_PASSWORD),
    event("member.role.changed", _MARA, _ADA, changes={"role": ["member", "admin"]}, metadata={"role": "admin"}),
    event("permission.granted", _SUPPORT, _ADA, metadata={"permission": "northwind.view_project"}),
    # Work: a key and what a program does with it, the plan, a project's life, the export.
    event("apikey.created", _MARA, "apikey Nightly sync", metadata={"scopes": ["projects:read", "projects:write"]}),
    event(
        "project.created",
        "api_key Nightly sync",
        "project Imported",
        changes={"name": [None, "Imported"], "client": [None, "Orion"], "budget": [None, 5]},
    ),
    event(
        "billing.plan.changed",
        _MARA,
        _ACME,
        changes={"plan": ["starter", "business"], "seats": [5, 25]},
        metadata={"plan": "Business", "seats": 25},
    ),
    event(
        "project.created",
        _MARA,
        "project Atlas",
        changes={"name": [None, "Atlas"], "client": [None, "Pallas"], "budget": [None, 100]},
    ),
    event("data.record.viewed", _MARA, "project Atlas"),
    event("project.updated", _MARA, "project Atlas", changes={"budget": [100, 250]}),
    event(
        "project.deleted",
        _MARA,
        "project Atlas",
        changes={"name": ["Atlas", None], "client": ["Pallas", None], "budget": [250, None]},
    ),
    event("data.exported", _MARA, "table the list of projects", metadata={"format": "csv", "count": 1}),
    # Support acts as the member: the actor is who really acts.
    event("session.impersonation.started", _SUPPORT, _ADA),
    event(
        "project.created",
        _SUPPORT,
        "project Repaired",
        on_behalf_of=_ADA,
        changes={"name": [None, "Repaired"], "budget": [None, 1]},
    ),
    event("session.impersonation.ended", _SUPPORT, _ADA),
    # The member forgets her password.
    event("auth.logout", _ADA),
    event("auth.password.reset_requested", "anonymous", _ADA),
    event("auth.password.reset", _ADA, _ADA, metadata=_LINK),
    event("auth.login.succeeded", _ADA, metadata=_PASSWORD),
    event("auth.logout", _ADA),
    # The owner reads the log.
    event("audit.log.viewed", _MARA),
    event("auth.logout", _MARA),
]


def test_what_people_do_in_a_browser_is_in_the_log_and_nothing_else(site: Site, open_page: Callable[[], Page]) -> None:
    mara, ada, support = open_page(), open_page(), open_page()
    authenticator = begin(mara)
    join(mara, ada)
    grant(support)
    secret = work(mara, site)
    impersonate(support)
    forget(ada, site)
    mara.get_by_role("link", name="Audit log").click()
    shoot(mara, "trail")
    sign_out(mara)

    read = json.loads(site.python(_READ))
    assert {name: log["verdict"] for name, log in read["logs"].items()} == {"system": "VALID", "acme": "VALID"}
    for name, expected in (("system", SYSTEM), ("acme", ACME)):
        found = [seen(one) for one in read["logs"][name]["events"]]
        # When a log is opened, as its first entry, depends on who appends.
        assert [one["action"] for one in found].count("audit.log.opened") == 1
        assert [one for one in found if one["action"] != "audit.log.opened"] == expected
    assert read["count"] == len(SYSTEM) + len(ACME) + 2, "nobody else's log has anything"
    everything = json.dumps(read)
    link = site.link_mailed_to(ADA).rstrip("/").rpartition("/")[2]
    for one in (
        PASSWORD,
        NEW_PASSWORD,
        "not-the-password",
        authenticator.secret,
        secret,
        secret.rpartition("_")[2],
        link,
    ):
        assert one not in everything
