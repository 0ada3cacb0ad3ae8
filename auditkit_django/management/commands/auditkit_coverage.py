"""``manage.py auditkit_coverage``: which routes change data, and what records each; for people, for JSON and for CI."""

from __future__ import annotations

import io
import json
import math
import shutil
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError

from auditkit_django.hooks.coverage.report import Report, Row, report

_WORDS = {"audited": "yes", "missing": "no", "ignored": "ignored"}
_STYLES = {"audited": "green", "missing": "bold red", "ignored": "dim"}
#: Width where nobody looks at a terminal: a file or a pipe.
_PIPE_COLUMNS = 200


class Command(BaseCommand):
    help = (
        "List the routes that take POST, PUT, PATCH or DELETE and what records each of them. Exit code 0 if all are"
        " audited (or --fail-under is reached), 1 if not, 2 if the ignore list is wrong."
    )
    # A project that is being set up wants to know what is left to do.
    requires_system_checks: list[str] | tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--only-missing", action="store_true", help="list only routes that are not audited")
        parser.add_argument("--json", action="store_true", help="print the report as JSON")
        parser.add_argument(
            "--fail-under", type=_percent, default=100.0, metavar="PERCENT", help="exit with 1 below this (default 100)"
        )
        parser.add_argument("--urlconf", help="another URLconf than ROOT_URLCONF")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            found = report(options["urlconf"])
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc), returncode=2) from exc
        rows = [row for row in found.rows if row.status == "missing" or not options["only_missing"]]
        if options["json"]:
            self.stdout.write(json.dumps(_fields(found, rows), indent=2))
        else:
            is_terminal = self.stdout.isatty() and not options["no_color"]
            self.stdout.write(_table(found, rows, is_terminal=is_terminal or bool(options["force_color"])))
        if found.percent < options["fail_under"]:
            sys.exit(1)


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 100:
        raise ArgumentTypeError(f"got {text!r}, wanted 0 to 100")
    return value


def _fields(found: Report, rows: Sequence[Row]) -> dict[str, object]:
    return {"percent": _rounded(found.percent), **found.counts, "routes": [_fields_of(row) for row in rows]}


def _fields_of(row: Row) -> dict[str, object]:
    return {
        "path": row.route.path or "/",
        "name": row.route.name,
        "view": row.view,
        "status": row.status,
        "reason": row.reason,
        "methods": {
            method: None if one is None else {"by": one.by, "detail": one.detail}
            for method, one in row.evidence.items()
        },
    }


def _rounded(percent: float) -> float:
    # Downward: 99.96 % is not 100 %.
    return math.floor(percent * 10) / 10


def _table(found: Report, rows: Sequence[Row], *, is_terminal: bool) -> str:
    from rich import box  # imported here: --json does without
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, caption=_caption(found), caption_justify="left")
    for heading, ratio in (("Route", 4), ("Methods", 2), ("View", 4), ("Audited", None), ("By", 4)):
        table.add_column(heading, ratio=ratio, overflow="fold")
    for row in rows:
        # Text and not str: rich would read square brackets in a str as its markup.
        status = Text(_WORDS[row.status], style=_STYLES[row.status])
        cells = (row.route.path or "/", " ".join(row.evidence), row.view)
        table.add_row(*(Text(cell) for cell in cells), status, Text(_by(row)))
    width = shutil.get_terminal_size().columns if is_terminal else _PIPE_COLUMNS
    text = io.StringIO()
    Console(file=text, width=width, force_terminal=is_terminal).print(table)
    # rich fills each row up to the width of the table.
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _by(row: Row) -> str:
    """What records the route, or the reason why nothing need to, or the methods that nothing does."""
    if row.reason:
        return row.reason
    details = list(dict.fromkeys(one.detail for one in row.evidence.values() if one is not None))
    if row.missing and details:
        details.append(f"nothing: {' '.join(row.missing)}")
    return "; ".join(details)


def _caption(found: Report) -> str:
    counts = found.counts
    text = (
        f"{counts['audited']} of {counts['audited'] + counts['missing']} routes audited ({_rounded(found.percent)} %)"
    )
    return text + (f"; {counts['ignored']} ignored" if counts["ignored"] else "")
