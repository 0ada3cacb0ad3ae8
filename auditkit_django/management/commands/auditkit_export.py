"""``manage.py auditkit_export``: a log as files."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.evidence.tiles import export
from auditkit_django.exceptions import SealError, UnknownTenantError


class Command(BaseCommand):
    help = (
        "Export the log of a tenant up to its newest checkpoint. Run again, it adds what is new. Exit code 1 if the log, or"
        " what the directory has, is not what was signed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="key of the tenant")
        parser.add_argument("--format", required=True, choices=("tiles",), help="tiles: c2sp.org/tlog-tiles")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))
        parser.add_argument("directory", type=Path, help="made where it is not there")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            done = export(options["tenant"], options["directory"], using=options["database"])
        except (SealError, UnknownTenantError, OSError) as exc:
            raise CommandError(str(exc)) from exc
        self.stdout.write(f"{done.origin}: {done.size} entries, {done.added} new, from seq {done.first_seq} on")
