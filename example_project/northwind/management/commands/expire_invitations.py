"""``manage.py expire_invitations``: what a nightly job would run."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandParser

from auditkit_django import auditlog
from example_project.northwind.services import revoke_old_invitations


class Command(BaseCommand):
    """Revokes invitations that nobody took; the log names the service, not a person."""

    help = "Revoke invitations that were not accepted in time."

    def add_arguments(self, parser: CommandParser) -> None:
        """The only one: how long an invitation lasts."""
        parser.add_argument("--days", type=int, default=14, help="How long an invitation lasts (default: 14).")

    def handle(self, *args: Any, **options: Any) -> None:
        """Revoke and say how many."""
        with auditlog.context(actor="service:housekeeping", source="command"):
            count = revoke_old_invitations(days=options["days"])
        self.stdout.write(f"{count} revoked.")
