"""``manage.py auditkit_keys``: make the master secret, and show the verifier keys of logs."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.conf import settings
from auditkit_django.exceptions import SealError
from auditkit_django.ledger.note import format_vkey
from auditkit_django.log.keys import create_key_file, signer
from auditkit_django.models import Log


class Command(BaseCommand):
    help = (
        "init: make a master secret in a file (mode 0600), for AUDITKIT['KEY_FILE']. show: print each log's verifier key, one"
        " line each, for whoever verifies to pin."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_subparsers(dest="what", required=True)
        init = what.add_parser("init", help="make a master secret")
        init.add_argument("path", nargs="?", type=Path, help="where (default: AUDITKIT['KEY_FILE'])")
        show = what.add_parser("show", help="print verifier keys")
        show.add_argument("--tenant", action="append", help="key of a tenant; may be given more than once")
        show.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, what: str, **options: Any) -> None:
        try:
            if what == "init":
                self._init(options["path"])
            else:
                self._show(options["tenant"], options["database"])
        except SealError as exc:
            raise CommandError(str(exc)) from exc

    def _init(self, path: Path | None) -> None:
        path = path or (Path(settings.KEY_FILE) if settings.KEY_FILE is not None else None)
        if path is None:
            raise CommandError("init: got no path and no AUDITKIT['KEY_FILE'], wanted where the secret is to be")
        create_key_file(path)
        self.stdout.write(f"{path}: a new master secret, mode 0600. Keep a copy where no copy of the database is.")

    def _show(self, tenants: list[str] | None, database: str) -> None:
        chosen = signer()
        if chosen is None:
            raise CommandError("show: got neither KEY_FILE nor SIGNER, wanted a key")
        logs = Log.objects.using(database).order_by("tenant", "epoch")
        for log in logs.filter(tenant__in=tenants) if tenants else logs.iterator():
            self.stdout.write(format_vkey(chosen.verifier_key(log.origin, 0)))
