"""``manage.py auditkit_prune``: remove what is past its retention."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from auditkit_django.exceptions import AuditkitError
from auditkit_django.log.prune import PruneReport, prune
from auditkit_django.log.tenants import known_tenants
from auditkit_django.management.arguments import add_tenants
from auditkit_django.recording.coercion import actor_from


class Command(BaseCommand):
    help = (
        "Prune logs by AUDITKIT['RETENTION']: events of categories that are past it, and whole tiles of entries that are past"
        " the longest. Without --yes it is only said what would go. Exit code 1 if one log could not be pruned."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_tenants(parser)
        parser.add_argument(
            "--unpublished", action="store_true", help="also below checkpoints that were published nowhere"
        )
        parser.add_argument("--actor", default="system", metavar="TYPE:ID", help="who asks for it, recorded")
        parser.add_argument("--yes", action="store_true", help="do it")
        parser.add_argument("--json", action="store_true", help="print the reports as JSON, one list")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, **options: Any) -> None:
        reports: list[PruneReport] = []
        has_failed = False
        try:
            actor = actor_from(options["actor"])
        except AuditkitError as exc:
            raise CommandError(str(exc)) from exc
        for tenant in options["tenant"] or known_tenants(using=options["database"]):
            try:
                reports.append(self._prune(tenant, actor, options))
            except AuditkitError as exc:
                self.stderr.write(f"{tenant}: {exc}")
                has_failed = True
                continue
            if not options["json"]:
                self._print(reports[-1])
        if options["json"]:
            self.stdout.write(json.dumps([report.as_json() for report in reports], indent=2))
        elif not options["yes"] and any(report.cuts for report in reports):
            self.stdout.write("Nothing was done: --yes does it.")
        if has_failed:
            sys.exit(1)

    def _prune(self, tenant: str, actor: Any, options: dict[str, Any]) -> PruneReport:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(tenant)
            return prune(
                tenant,
                actor=actor,
                dry_run=not options["yes"],
                may_be_unpublished=options["unpublished"],
                progress=lambda done, total: bar.update(task, completed=done, total=max(total, 1)),
                using=options["database"],
            )

    def _print(self, report: PruneReport) -> None:
        verb = "would go" if report.is_dry_run else "gone"
        if not report.cuts:
            self.stdout.write(f"{report.tenant}: nothing is past its retention, begins at seq {report.first_seq}")
        for cut in report.cuts:
            what = cut.purge.described()
            self.stdout.write(
                f"{report.tenant}: {cut.count} {what} before seq {cut.purge.until} {verb} ({cut.days} days)"
            )
