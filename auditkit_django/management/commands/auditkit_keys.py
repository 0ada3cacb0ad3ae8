"""``manage.py auditkit_keys``: make the master secret, show the verifier keys of logs, and go on to the next ones."""

from __future__ import annotations

import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.conf import settings
from auditkit_django.exceptions import AuditkitError, SealError
from auditkit_django.ledger.note import format_vkey
from auditkit_django.log.checkpoints import newest
from auditkit_django.log.generations import trusted_keys
from auditkit_django.log.keys import Signer, create_key_file, signer
from auditkit_django.log.prove import rotations
from auditkit_django.log.rotate import revoke, rotate
from auditkit_django.management.arguments import add_tenants, aware_moment
from auditkit_django.models import Log


class Command(BaseCommand):
    help = (
        "init: make a master secret in a file (mode 0600), for AUDITKIT['KEY_FILE']. show: print each log's verifier keys, one"
        " line each, for whoever verifies to pin. note: print each log's newest signed checkpoint. rotate, revoke: have the next"
        " generation of the key sign."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_subparsers(dest="what", required=True)
        init = what.add_parser("init", help="make a master secret")
        init.add_argument("path", nargs="?", type=Path, help="where (default: AUDITKIT['KEY_FILE'])")
        readers = {
            "show": "print verifier keys",
            "note": "print the newest signed checkpoints",
            "path": "print, as JSON, what leads from each log's first key to the one that signs now",
        }
        for name, explanation in readers.items():
            reading = what.add_parser(name, help=explanation)
            reading.add_argument("--tenant", action="append", help="key of a tenant; may be given more than once")
            reading.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))
        rotating = what.add_parser(
            "rotate", help="have the next key sign; the first checkpoint carries both signatures"
        )
        rotating.add_argument(
            "--to", type=int, metavar="N", help="the generation to be reached: logs there are passed over"
        )
        revoking = what.add_parser("revoke", help="have the next key sign, because this one may be in other hands")
        revoking.add_argument("--reason", required=True, help="why; it is recorded")
        revoking.add_argument("--since", type=_moment, help="since when, with time zone (default: now)")
        for writing in (rotating, revoking):
            add_tenants(writing)
            writing.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        try:
            if what == "init":
                self._init(options["path"])
            elif what == "show":
                self._show(options["tenant"], options["database"])
            elif what == "note":
                self._note(options["tenant"], options["database"])
            elif what == "path":
                self._path(options["tenant"], options["database"])
            else:
                self._change(what, options)
        except SealError as exc:
            raise CommandError(str(exc)) from exc

    def _init(self, path: Path | None) -> None:
        path = path or (Path(settings.KEY_FILE) if settings.KEY_FILE is not None else None)
        if path is None:
            raise CommandError("init: got no path and no AUDITKIT['KEY_FILE'], wanted where the secret is to be")
        create_key_file(path)
        self.stdout.write(f"{path}: a new master secret, mode 0600. Keep a copy where no copy of the database is.")

    def _show(self, tenants: list[str] | None, database: str) -> None:
        chosen = _signer("show")
        for log in _logs(tenants, database):
            trusted = list(trusted_keys(log, chosen, using=database))
            for one in trusted:
                if len(trusted) > 1:
                    end = f" to {one.to_size}" if one.to_size is not None else ""
                    self.stdout.write(f"# {log.tenant}: signs checkpoints of the sizes from {one.from_size}{end}")
                self.stdout.write(format_vkey(one.key))

    def _note(self, tenants: list[str] | None, database: str) -> None:
        newest_logs = {log.tenant: log for log in _logs(tenants, database)}
        for log in newest_logs.values():
            checkpoint = newest(log, using=database)
            if checkpoint is None:
                self.stderr.write(f"{log.tenant}: never sealed")
            else:
                self.stdout.write(checkpoint.note)

    def _path(self, tenants: list[str] | None, database: str) -> None:
        found = {
            log.origin: [
                {"entry": one.entry.decode("ascii"), "metadata": one.metadata, "proof": one.proof}
                for one in rotations(log, using=database)
            ]
            for log in _logs(tenants, database)
        }
        self.stdout.write(json.dumps(found, indent=2))

    def _change(self, what: str, options: dict[str, Any]) -> None:
        chosen, failed = _signer(what), 0
        using = options["database"]
        for tenant in options["tenant"] or _tenants(using):
            try:
                if what == "rotate":
                    number = rotate(tenant, to=options["to"], using=using, signer=chosen)
                else:
                    number = revoke(
                        tenant, reason=options["reason"], since=options["since"], using=using, signer=chosen
                    )
            except AuditkitError as exc:
                self.stderr.write(f"{tenant}: {exc}")
                failed += 1
                continue
            self.stdout.write(f"{tenant}: generation {number} signs")
        if failed:
            raise CommandError(
                f"{what}: {failed} tenants failed; run it again, with --to for rotations that were begun"
            )


def _signer(what: str) -> Signer:
    chosen = signer()
    if chosen is None:
        raise CommandError(f"{what}: got neither KEY_FILE nor SIGNER, wanted a key")
    return chosen


def _logs(tenants: list[str] | None, database: str) -> Iterator[Log]:
    logs = Log.objects.using(database).order_by("tenant", "epoch")
    return (logs.filter(tenant__in=tenants) if tenants else logs).iterator()


def _tenants(database: str) -> list[str]:
    logs = Log.objects.using(database).order_by("tenant").values_list("tenant", flat=True)
    return list(logs.distinct())


def _moment(text: str) -> datetime:
    moment = aware_moment(text)
    if moment is None:
        raise ArgumentTypeError(f"got {text!r}, wanted a time with time zone, 2026-11-25T09:30:00+00:00")
    return moment
