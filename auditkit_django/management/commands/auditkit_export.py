"""``manage.py auditkit_export``: a log as files."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.evidence import tiles
from auditkit_django.evidence.export import export
from auditkit_django.evidence.order import FORMATS, PROVEN, Order, Progress
from auditkit_django.exceptions import AuditkitError, MalformedError
from auditkit_django.ledger.entry import FIELDS
from auditkit_django.log.files import replacing
from auditkit_django.management.arguments import aware_moment
from auditkit_django.query.filters import EventFilter

#: Members of ``EventFilter`` that are texts.
_FILTER: Final = ("action", "actor", "target", "outcome", "severity", "category")


class Command(BaseCommand):
    help = (
        "Export the events of a tenant, up to its newest checkpoint, as evidence that an auditor verifies offline (bundle, csv,"
        " json, jsonl), as a copy for reading (xlsx, parquet), or its log as a directory of tiles, to which another run adds"
        " what is new. Exit code 1 if the log, or what the directory has, is not what was signed."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--tenant", required=True, help="key of the tenant")
        parser.add_argument("--format", required=True, choices=("tiles", *FORMATS), help="tiles: c2sp.org/tlog-tiles")
        parser.add_argument("--start", metavar="TIME", help="entries appended from then on, 2026-01-01T00:00:00Z")
        parser.add_argument("--end", metavar="TIME", help="entries appended before")
        parser.add_argument(
            "--no-proof", action="store_true", help="csv, json, jsonl: a listing by time of occurrence, without proof"
        )
        parser.add_argument(
            "--filter", action="append", default=[], metavar="NAME=VALUE", help=f"{', '.join(_FILTER)}; repeatable"
        )
        parser.add_argument(
            "--query",
            metavar="TEXT",
            help='the query language: action:member.* -outcome:success "free text"; one that begins with a minus is written'
            " --query=-outcome:success",
        )
        parser.add_argument("--withhold", action="append", default=[], choices=FIELDS, help="a field not to show")
        parser.add_argument(
            "--since",
            "--since-checkpoint",
            action="append",
            default=[],
            type=Path,
            metavar="FILE",
            help="a note the receiver holds: the file proves that the log extends it",
        )
        parser.add_argument("--sample", type=int, default=25, metavar="N", help="bundle: events drawn for the report")
        parser.add_argument("--seed", default="1", metavar="S", help="bundle: by which they are drawn, reproducibly")
        parser.add_argument("--pdf", action="store_true", help="bundle: the report as PDF, too")
        parser.add_argument("--name", default="", help="bundle: what the report calls the organization")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))
        parser.add_argument("path", type=Path, help="a new file; or the directory of tiles, made where it is not there")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            self.stdout.write(self._tiles(options) if options["format"] == "tiles" else self._file(options))
        except (AuditkitError, ImproperlyConfigured, OSError, UnicodeDecodeError) as exc:
            raise CommandError(str(exc)) from exc
        except KeyboardInterrupt:
            raise CommandError("cancelled: nothing was left behind", returncode=130) from None

    def _tiles(self, options: dict[str, Any]) -> str:
        given = [name for name in ("start", "end", "withhold", "since", "filter", "query", "no_proof") if options[name]]
        if given:
            raise CommandError(f"tiles: got {', '.join(given)}, wanted none of them: tiles are of the whole log")
        done = tiles.export(options["tenant"], options["path"], using=options["database"])
        return f"{done.origin}: {done.size} entries, {done.added} new, from seq {done.first_seq} on"

    def _file(self, options: dict[str, Any]) -> str:
        path: Path = options["path"]
        order = Order(
            tenant=options["tenant"],
            format=options["format"],
            proof=options["format"] in PROVEN and not options["no_proof"],
            start=_moment(options["start"], "--start"),
            end=_moment(options["end"], "--end"),
            chosen=_filter(options["filter"], options["query"]),
            withheld=tuple(options["withhold"]),
            since=tuple(one.read_text() for one in options["since"]),
            sample=options["sample"],
            seed=options["seed"],
            pdf=options["pdf"],
            name=options["name"],
        )
        if path.exists():
            raise CommandError(f"{order.format}: {path} is there already, wanted a new file")
        with _progress(is_shown=options["verbosity"] > 0) as progress, replacing(path) as file:
            done = export(order, progress=progress, using=options["database"])
            for block in done.blocks:
                file.write(block)
        if done.manifest is None or done.totals is None:
            return f"{path}: {done.events} events, without proof"
        left_out = f", {done.totals.left_out} left out" if done.totals.left_out else ""
        return (
            f"{path}: entries {done.manifest.start} to {done.manifest.end - 1} of {done.manifest.size}, {done.events} events"
            f"{left_out}; {done.manifest.origin}"
        )


@contextmanager
def _progress(*, is_shown: bool) -> Iterator[Progress | None]:
    """A bar on the terminal, with the time that is left; nothing where there is no terminal."""
    if not is_shown or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Exporting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, size: bar.update(task, completed=done, total=size)


def _filter(given: list[str], query: str | None) -> EventFilter:
    found: dict[str, str] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if name not in _FILTER or not equals or not value or name in found:
            raise MalformedError(f"--filter: got {text!r:.80}, wanted each of {', '.join(_FILTER)} once, as name=value")
        found[name] = value
    return EventFilter(query=query, **found)  # type: ignore[arg-type]


def _moment(text: str | None, name: str) -> datetime | None:
    moment = aware_moment(text) if text else None
    if text and moment is None:
        raise CommandError(f"{name}: got {text!r}, wanted a time with its zone")
    return moment
