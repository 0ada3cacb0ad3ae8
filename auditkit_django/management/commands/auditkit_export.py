"""``manage.py auditkit_export``: a log as files."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.evidence import bundle, tiles
from auditkit_django.exceptions import AuditkitError
from auditkit_django.ledger.entry import FIELDS
from auditkit_django.log.files import replacing
from auditkit_django.management.arguments import aware_moment


class Command(BaseCommand):
    help = (
        "Export the log of a tenant up to its newest checkpoint. tiles: a directory, to which another run adds what is new."
        " bundle: a zip for an auditor. Exit code 1 if the log, or what the directory has, is not what was signed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="key of the tenant")
        parser.add_argument("--format", required=True, choices=("tiles", "bundle"), help="tiles: c2sp.org/tlog-tiles")
        parser.add_argument(
            "--start", metavar="TIME", help="bundle: entries appended from then on, 2026-01-01T00:00:00Z"
        )
        parser.add_argument("--end", metavar="TIME", help="bundle: entries appended before")
        parser.add_argument(
            "--withhold", action="append", default=[], choices=FIELDS, help="bundle: a field not to show"
        )
        parser.add_argument(
            "--since", action="append", default=[], type=Path, metavar="FILE", help="bundle: a note the receiver holds"
        )
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))
        parser.add_argument("path", type=Path, help="directory of tiles, made where it is not there; or a new file")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(self._tiles(options) if options["format"] == "tiles" else self._bundle(options))
        except (AuditkitError, OSError, UnicodeDecodeError) as exc:
            raise CommandError(str(exc)) from exc

    def _tiles(self, options: dict[str, Any]) -> str:
        if options["start"] or options["end"] or options["withhold"] or options["since"]:
            raise CommandError(
                "tiles: got --start, --end, --withhold or --since, wanted none: tiles are of the whole log"
            )
        done = tiles.export(options["tenant"], options["path"], using=options["database"])
        return f"{done.origin}: {done.size} entries, {done.added} new, from seq {done.first_seq} on"

    def _bundle(self, options: dict[str, Any]) -> str:
        path: Path = options["path"]
        start, end = _moment(options["start"], "--start"), _moment(options["end"], "--end")
        since = [one.read_text() for one in options["since"]]
        if path.exists():
            raise CommandError(f"bundle: {path} is there already, wanted a new file")
        with replacing(path) as file:
            done = bundle.export(
                options["tenant"],
                file,
                start=start,
                end=end,
                withheld=options["withhold"],
                since=since,
                using=options["database"],
            )
        return f"{path}: entries {done.start} to {done.end - 1} of {done.size}, {done.disclosed} with content; {done.origin}"


def _moment(text: str | None, name: str) -> datetime | None:
    moment = aware_moment(text) if text else None
    if text and moment is None:
        raise CommandError(f"{name}: got {text!r}, wanted a time with its zone")
    return moment
