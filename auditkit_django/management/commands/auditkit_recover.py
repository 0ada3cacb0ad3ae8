"""``manage.py auditkit_recover``: end a log that is not what was signed of it, and open the next one."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.exceptions import AuditkitError
from auditkit_django.log.halting import halted
from auditkit_django.log.recover import Plan, plan, recover
from auditkit_django.management.arguments import add_tenants


class Command(BaseCommand):
    help = (
        "Recover a log after its database was restored from a backup: close it, and open the next one, whose first entry names"
        " what was signed and what was lost. Says what it would do; with --yes it does. A log that is what was signed goes on."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_tenants(parser, all_of="every tenant whose log is not what was signed of it")
        parser.add_argument(
            "--note", type=Path, metavar="FILE", help="a signed note of the log that was kept elsewhere"
        )
        parser.add_argument("--yes", action="store_true", help="do it")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, **options: Any) -> None:
        using, file = options["database"], options["note"]
        if file is not None and (options["all"] or len(options["tenant"]) != 1):
            raise CommandError("--note: got more than one tenant, wanted one --tenant: a note is of one log")
        try:
            note = file.read_text() if file is not None else None
        except (OSError, UnicodeDecodeError) as exc:
            raise CommandError(f"--note: {file} cannot be read: {exc}") from exc
        failed = []
        # All of them first: what is recovered is not halted any more.
        for tenant in options["tenant"] or [one.tenant for one in halted(using=using)]:
            try:
                self._recover(tenant, note, may_write=options["yes"], using=using)
            except AuditkitError as exc:
                self.stderr.write(f"{tenant}: {exc}")
                failed.append(tenant)
        if failed:
            raise CommandError(f"{len(failed)} tenants were not recovered: {', '.join(failed)[:500]}")
        if not options["yes"]:
            self.stdout.write("Nothing was changed. Do it with --yes.")

    def _recover(self, tenant: str, note: str | None, *, may_write: bool, using: str) -> None:
        planned = plan(tenant, note=note, using=using)
        for line in _in_words(planned):
            self.stdout.write(line)
        if may_write:
            log = recover(planned, using=using)
            self.stdout.write(f"{tenant}: epoch {log.epoch}, {log.origin}, {log.size} entries, {log.state}")


def _in_words(planned: Plan) -> list[str]:
    log, recovery = planned.log, planned.recovery
    signed = planned.signed.checkpoint.size if planned.signed is not None else None
    lines = [
        f"{log.tenant}: epoch {log.epoch}, {log.origin}, {log.state}",
        f"  it has {log.size} entries; {'nothing is known to have been' if signed is None else f'{signed} were'} signed;"
        f" {planned.pending} events wait",
    ]
    if recovery is None:
        return [*lines, "  it is what was signed: nothing is lost, and it goes on"]
    return [
        *lines,
        f"  it was {recovery.reason}: entries {recovery.lost_start} to {recovery.signed.size - 1} were signed and are lost",
        f"  it is closed, and epoch {log.epoch + 1} opened; what waits is appended there",
    ]
