"""``manage.py demo``: two customers with four months of history, ready to sign in."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.models import QuerySet
from django.urls import reverse
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from auditkit_django import auditlog
from auditkit_django.log.append import append_all
from auditkit_django.log.keys import create_key_file
from auditkit_django.log.seal import seal_due
from example_project.northwind.demo.cast import COMPANIES, PASSWORD, STAFF, SUPPORT
from example_project.northwind.models import Membership, Organization
from example_project.northwind.rights import Right
from example_project.northwind.second_factor import secret_of


class Command(BaseCommand):
    """Migrates, lets people live through some months, prints how to sign in, and serves."""

    help = "Set up Northwind Cloud with two organizations and months of history, and serve it."

    def add_arguments(self, parser: CommandParser) -> None:
        """Where to serve, whether to, and whether to begin anew."""
        parser.add_argument("--addrport", default="127.0.0.1:8000", help="Where to serve (default: 127.0.0.1:8000).")
        parser.add_argument("--no-serve", action="store_true", help="Set up and print, and do not serve.")
        parser.add_argument("--reset", action="store_true", help="Delete the database file first and build it again.")

    def handle(self, *args: Any, **options: Any) -> None:
        """Do it, or only print where it was done before."""
        console = Console(highlight=False)
        if options["reset"]:
            _delete_database()
        _make_key()
        call_command("migrate", verbosity=0, interactive=False)
        if not _is_told():
            _refuse_leftovers()
            self._tell(console)
        append_all()
        seal_due()
        _print_report(console, f"http://{options['addrport']}")
        if not options["no_serve"]:
            settings.AUDITKIT["EMBED_ORIGINS"] = [*settings.ORIGINS, f"http://{options['addrport']}"]
            call_command("runserver", options["addrport"], use_reloader=False)

    def _tell(self, console: Console) -> None:
        if importlib.util.find_spec("time_machine") is None:
            raise CommandError('The demo travels in time and needs time-machine: pip install "auditkit-django[demo]"')
        from example_project.northwind.demo.telling import plan, tell

        acts = plan(timezone.now())
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, console=console, transient=True) as progress:
            task = progress.add_task("Four months", total=len(acts))
            for moment in tell(acts):
                progress.update(task, advance=1, description=f"{moment:%d %b %Y}")
        # Created last: its being there says that the story is complete.
        User.objects.create_superuser(STAFF, STAFF, PASSWORD, first_name="Northwind", last_name="Staff")


def _make_key() -> None:
    """A key for the signed checkpoints of the logs, made at the first run."""
    if not settings.KEY_FILE.exists():
        create_key_file(settings.KEY_FILE)
    settings.AUDITKIT["KEY_FILE"] = str(settings.KEY_FILE)


def _is_told() -> bool:
    return User.objects.filter(username=STAFF).exists()


def _refuse_leftovers() -> None:
    if Organization.objects.exists():
        raise CommandError(
            "The database holds organizations, but not the whole demo (an earlier run was interrupted?). "
            "Build it again with: python manage.py demo --reset"
        )


def _delete_database() -> None:
    name = str(settings.DATABASES["default"]["NAME"])
    if connection.vendor != "sqlite":
        raise CommandError("--reset deletes a SQLite file; this is another database: empty it yourself.")
    connection.close()
    for path in (name, f"{name}-wal", f"{name}-shm"):
        Path(path).unlink(missing_ok=True)


def _print_report(console: Console, address: str) -> None:
    """How to sign in, what is in the logs, and as whom to look at them."""
    console.print("\n[bold]Northwind Cloud[/] is set up.\n")
    console.print(f"  Sign in at  [bold]{address}/[/]", soft_wrap=True)
    console.print(f"  Password    [bold]{PASSWORD}[/]  (the same for everybody)\n")
    console.print(_logs())
    console.print(_people())
    console.print(_second_factors())


def _logs() -> Table:
    """The logs of the two customers, verified now."""
    table = Table("Organization", "Audit log", "Entries", "Verdict", box=SIMPLE_HEAD)
    for organization in _customers():
        report = auditlog.verify(tenant=organization)
        colour = "green" if report.verdict == "VALID" else "red"
        path = reverse("auditkit_trail:events", kwargs={"org": organization.slug})
        table.add_row(organization.name, path, str(report.checked), f"[{colour}]{report.verdict}[/]")
    return table


def _people() -> Table:
    """As whom to sign in, and what each of them may see."""
    table = Table("Email", "Role", "Organization", "Audit log", box=SIMPLE_HEAD)
    members = Membership.objects.filter(organization__in=_customers()).select_related("user", "organization")
    for member in members.order_by("organization__name", "joined_at"):
        sees = "yes" if member.may(Right.VIEW_TRAIL) else "404"
        table.add_row(member.user.email, member.get_role_display(), member.organization.name, sees)
    table.add_row(SUPPORT.email, "Support", "of Northwind", reverse("support"))
    table.add_row(STAFF, "Staff", "of Northwind", reverse("admin:index"))
    return table


def _second_factors() -> Table:
    """Who needs a code after the password, and the secret for an authenticator app of yours."""
    table = Table("Two-step sign-in", "Secret for your authenticator app", box=SIMPLE_HEAD)
    for device in TOTPDevice.objects.filter(confirmed=True).select_related("user").order_by("pk"):
        table.add_row(device.user.email, secret_of(device))
    return table


def _customers() -> QuerySet[Organization]:
    return Organization.objects.filter(slug__in=[company.slug for company in COMPANIES])
