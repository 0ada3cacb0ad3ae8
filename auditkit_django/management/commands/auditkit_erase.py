"""``manage.py auditkit_erase``: take personal data out of a tenant's events."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.exceptions import AuditkitError
from auditkit_django.ledger.entry import FIELDS
from auditkit_django.log.erase import Erasure, ErasureReport, erase
from auditkit_django.management.arguments import aware_moment
from auditkit_django.recording.coercion import actor_from, subjects_of


class Command(BaseCommand):
    help = (
        "Erase personal data from events. Entries, hashes and checkpoints stay; the erasure is recorded. Without --yes it is"
        " only said what would go."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="key of the tenant")
        parser.add_argument("--subject", metavar="TYPE:ID", help='a person, such as "user:17"')
        parser.add_argument("--mention", action="append", default=[], help="text that goes wherever it stands")
        parser.add_argument("--field", action="append", choices=FIELDS, help="only this field; may be given again")
        parser.add_argument(
            "--before", metavar="TIME", help="only events recorded before, such as 2026-01-01T00:00:00Z"
        )
        parser.add_argument("--reason", required=True, help="recorded; name nobody in it")
        parser.add_argument("--request", help="a ticket, recorded; names nobody either")
        parser.add_argument("--actor", default="system", metavar="TYPE:ID", help="who asks for it, recorded")
        parser.add_argument("--yes", action="store_true", help="do it")
        parser.add_argument("--vacuum", action="store_true", help="afterwards have the database give up the old rows")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            report = self._erase(options)
        except AuditkitError as exc:
            raise CommandError(str(exc)) from exc
        if options["vacuum"] and not report.is_dry_run:
            connection = connections[options["database"]]
            with connection.cursor() as cursor:
                if connection.vendor == "postgresql":
                    cursor.execute("VACUUM auditkit_django_event")
                else:
                    cursor.execute("VACUUM")
                    cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json(), indent=2))
            return
        verb = "would be" if report.is_dry_run else "were"
        self.stdout.write(f"{report.tenant}: values of {report.events} events {verb} erased")
        for name, count in report.values.items():
            self.stdout.write(f"  {name}: {count}")
        if report.left:
            self.stdout.write(f"  left: {report.left} events without an entry; see docs/erasure.md")
        if report.is_dry_run and report.events:
            self.stdout.write("Nothing was done: --yes does it.")

    def _erase(self, options: dict[str, Any]) -> ErasureReport:
        if options["subject"] and ":" not in options["subject"]:
            raise CommandError(f'--subject: got {options["subject"]!r}, wanted "type:id", such as "user:17"')
        before = aware_moment(options["before"]) if options["before"] else None
        if options["before"] and before is None:
            raise CommandError(f"--before: got {options['before']!r}, wanted a time with its zone")
        erasure = Erasure(
            subjects=subjects_of(options["subject"]) if options["subject"] else (),
            mentions=tuple(options["mention"]),
            fields=frozenset(options["field"]) if options["field"] else None,
            before=before,
        )
        return erase(
            options["tenant"],
            erasure,
            reason=options["reason"],
            request=options["request"],
            actor=actor_from(options["actor"]),
            dry_run=not options["yes"],
            using=options["database"],
        )
