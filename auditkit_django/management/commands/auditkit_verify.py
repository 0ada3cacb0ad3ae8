"""``manage.py auditkit_verify``: check logs, with progress, a report and an exit code."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from auditkit_django.exceptions import MalformedError, UnknownTenantError
from auditkit_django.ledger.note import VerifierKey, parse_vkey
from auditkit_django.ledger.verdicts import EXIT_CODES
from auditkit_django.log.findings import Finding, VerifyReport
from auditkit_django.log.tenants import known_tenants
from auditkit_django.log.verify import Walk, verify
from auditkit_django.management.arguments import add_tenants
from auditkit_django.models import Log


class Command(BaseCommand):
    help = (
        "Verify logs: every entry, event and disclosure. Exit code 0 VALID, 1 VALID_WITH_GAPS, 2 INVALID, 3 INCOMPLETE."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_tenants(parser, all_of="every tenant that has a log, an entry or a pending event")
        parser.add_argument("--newest", type=int, metavar="N", help="only the newest N entries of each log")
        parser.add_argument(
            "--since",
            type=Path,
            action="append",
            metavar="FILE",
            help="a signed note that was kept elsewhere, which the one --tenant's log must extend; may be given more than once",
        )
        parser.add_argument(
            "--key",
            action="append",
            metavar="VKEY",
            help="a pinned verifier key, in place of those that the settings give; may be given more than once",
        )
        parser.add_argument("--json", action="store_true", help="print the reports as JSON, one list")
        parser.add_argument(
            "--state", type=Path, metavar="FILE", help="keep the place in FILE and go on from it after an interruption"
        )
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, **options: Any) -> None:
        if options["state"] and (options["all"] or len(options["tenant"]) != 1):
            raise CommandError("--state: got more than one tenant, wanted one --tenant: a state file holds one place")
        if options["since"] and (options["all"] or len(options["tenant"]) != 1):
            raise CommandError("--since: got more than one tenant, wanted one --tenant: a note is of one log")
        keys, notes = _keys(options["key"] or ()), [_note(file) for file in options["since"] or ()]
        tenants = options["tenant"] or known_tenants(using=options["database"])
        reports: list[VerifyReport] = []
        codes: list[int] = []
        for tenant, epoch, is_newest in _logs_of(tenants, using=options["database"]):
            try:
                # A place is kept in the newest log, since those before it do not grow; and it knows which log a note is of.
                state, since = (options["state"], notes) if is_newest else (None, [])
                report = self._verify(tenant, epoch, options, state=state, since=since, keys=keys)
            except UnknownTenantError as exc:
                self.stderr.write(str(exc))
                codes.append(EXIT_CODES["INCOMPLETE"])
                continue
            reports.append(report)
            codes.append(report.exit_code)
            if not options["json"]:
                self._print(report)
        if options["json"]:
            self.stdout.write(json.dumps([report.as_json() for report in reports], indent=2))
        # Worst of all: INVALID outweighs "could not check", which outweighs gaps.
        worst = max(codes, key=(0, 1, 3, 2).index, default=0)
        if worst:
            sys.exit(worst)

    def _verify(
        self,
        tenant: str,
        epoch: int | None,
        options: dict[str, Any],
        *,
        state: Path | None,
        since: Sequence[str],
        keys: Sequence[VerifierKey],
    ) -> VerifyReport:
        console = Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
            task = bar.add_task(tenant)
            report = verify(
                tenant,
                max_entries=options["newest"],
                progress=lambda done, size: bar.update(task, completed=done, total=max(size, 1)),
                resume=_load(state, tenant),
                checkpoint=(lambda walk: _save(state, tenant, walk)) if state is not None else None,
                epoch=epoch,
                since=since or None,
                keys=keys,
                using=options["database"],
            )
        if state is not None:
            state.unlink(missing_ok=True)
        return report

    def _print(self, report: VerifyReport) -> None:
        epoch = f" (epoch {report.epoch})" if report.epoch else ""
        style = self.style.SUCCESS if report.is_valid else self.style.ERROR
        self.stdout.write(
            f"{report.tenant}{epoch}: {style(report.verdict)}, {report.checked} of {report.size} entries checked,"
            f" {report.pending} pending"
        )
        for finding in (*report.findings, *report.gaps):
            self.stdout.write(f"  {finding.code}{_place(finding)}: {finding.message}")
        if report.omitted:
            self.stdout.write(f"  … and {report.omitted} more findings")


def _keys(texts: Iterable[str]) -> list[VerifierKey]:
    try:
        return [parse_vkey(text) for text in texts]
    except MalformedError as exc:
        raise CommandError(f"--key: {exc}") from exc


def _note(file: Path) -> str:
    """The text of a note; whether it is one is for the verification to say."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError) as exc:
        raise CommandError(f"--since: {file} cannot be read: {exc}") from exc


def _place(finding: Finding) -> str:
    if finding.seq is not None:
        return f" at seq {finding.seq}"
    return f" at event {finding.event_id}" if finding.event_id is not None else ""


def _logs_of(tenants: Iterable[str], *, using: str) -> Iterator[tuple[str, int | None, bool]]:
    """
    Each tenant with the epochs of its logs, oldest first, and whether it is the newest; with None where there are not several.
    """
    for tenant in tenants:
        epochs = list(Log.objects.using(using).filter(tenant=tenant).order_by("epoch").values_list("epoch", flat=True))
        several: list[int | None] = list(epochs) if len(epochs) > 1 else [None]
        yield from ((tenant, epoch, epoch == several[-1]) for epoch in several)


def _load(state: Path | None, tenant: str) -> Walk | None:
    if state is None or not state.exists():
        return None
    try:
        value = json.loads(state.read_text())
        if value.pop("tenant") != tenant:
            raise CommandError(f"--state: got {state} of another tenant, wanted one of {tenant}")
        return Walk.from_json(value)
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise CommandError(f"--state: {state} cannot be read ({exc!r}); delete it to start over") from exc


def _save(state: Path, tenant: str, walk: Walk) -> None:
    # Written beside and renamed: an interruption leaves the old place or the new one, never half of one.
    beside = state.with_suffix(state.suffix + ".new")
    beside.write_text(json.dumps({"tenant": tenant, **walk.as_json()}))
    beside.replace(state)
