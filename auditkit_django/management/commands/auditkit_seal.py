"""``manage.py auditkit_seal``: make signed checkpoints now."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.exceptions import SealError
from auditkit_django.log.keys import signer
from auditkit_django.log.seal import seal
from auditkit_django.log.tenants import known_tenants
from auditkit_django.management.arguments import add_tenants


class Command(BaseCommand):
    help = "Seal logs: a signed checkpoint of each, of what it has now. Exit code 1 if one could not be sealed."

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_tenants(parser)
        parser.add_argument(
            "--note", action="store_true", help="print the signed notes, for whoever keeps them elsewhere"
        )
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            chosen = signer()
        except SealError as exc:
            raise CommandError(str(exc)) from exc
        if chosen is None:
            raise CommandError(
                "got neither AUDITKIT['KEY_FILE'] nor 'SIGNER', wanted a key: manage.py auditkit_keys init"
            )
        has_failed = False
        for tenant in options["tenant"] or known_tenants(using=options["database"]):
            try:
                checkpoint = seal(tenant, using=options["database"], signer=chosen)
            except SealError as exc:
                self.stderr.write(f"{tenant}: {exc}")
                has_failed = True
                continue
            if checkpoint is None:
                self.stderr.write(f"{tenant}: no log")
                # Of all, one may have events that only wait; who names one means a log.
                has_failed = has_failed or bool(options["tenant"])
            elif options["note"]:
                self.stdout.write(checkpoint.note)
            else:
                self.stdout.write(f"{tenant}: sealed at {checkpoint.size}")
        if has_failed:
            sys.exit(1)
