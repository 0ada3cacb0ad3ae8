"""``manage.py auditkit_hold``: place, lift and list legal holds."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.exceptions import AuditkitError
from auditkit_django.log.holds import lift_hold, place_hold
from auditkit_django.models import LegalHold
from auditkit_django.recording.coercion import actor_from


class Command(BaseCommand):
    help = (
        "Legal holds: while one stands nothing of a tenant's is erased or pruned. Placing and lifting it is recorded."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("what", choices=("place", "lift", "list"))
        parser.add_argument("--tenant", help="key of the tenant")
        parser.add_argument("--reason", default="", help="recorded")
        parser.add_argument("--actor", default="system", metavar="TYPE:ID", help="who asks for it, recorded")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        if what == "list":
            for hold in LegalHold.objects.using(options["database"]).order_by("tenant"):
                self.stdout.write(f"{hold.tenant}: since {hold.placed_at:%Y-%m-%d %H:%M} UTC, {hold.reason}")
            return
        if not options["tenant"]:
            raise CommandError(f"{what}: got no --tenant, wanted one")
        change = place_hold if what == "place" else lift_hold
        try:
            change(
                options["tenant"],
                reason=options["reason"],
                actor=actor_from(options["actor"]),
                using=options["database"],
            )
        except AuditkitError as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(f"{options['tenant']}: legal hold {'placed' if what == 'place' else 'lifted'}")
