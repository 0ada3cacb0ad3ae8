"""``manage.py auditkit_actions``: the catalogue of actions, as a table, JSON or Markdown."""

from __future__ import annotations

import io
import json
import shutil
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from auditkit_django import actions
from auditkit_django.actions import Action, taxonomy

_FRAMEWORKS = {
    "soc2": "SOC 2",
    "iso27001": "ISO 27001:2022",
    "hipaa": "HIPAA 164.",
    "pci_dss": "PCI DSS 4.0",
    "nist800_53": "NIST 800-53",
}
_SEVERITY_STYLES = {"info": "dim", "low": "", "medium": "yellow", "high": "red", "critical": "bold red"}
#: Width where nobody looks at a terminal: a file or a pipe.
_PIPE_COLUMNS = 160


class Command(BaseCommand):
    help = "Print the actions that may be recorded: the default taxonomy and those that this project registered."
    # The catalogue is readable while a project is still being set up.
    requires_system_checks: list[str] | tuple[str, ...] = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--category", help="Only this category, such as auth or member.")
        state = parser.add_mutually_exclusive_group()
        state.add_argument("--on", action="store_true", help="Only actions that are on by default.")
        state.add_argument("--off", action="store_true", help="Only actions that are off by default.")
        form = parser.add_mutually_exclusive_group()
        form.add_argument("--json", action="store_true", help="Print a JSON array with every field.")
        form.add_argument("--markdown", action="store_true", help="Print a Markdown table for documentation.")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = _chosen(category=options["category"], is_on=options["on"], is_off=options["off"])
        if options["json"]:
            self.stdout.write(json.dumps([_fields(action) for action in chosen], indent=2))
        elif options["markdown"]:
            self.stdout.write(_markdown(chosen))
        else:
            is_terminal = self.stdout.isatty() and not options["no_color"]
            self.stdout.write(_table(chosen, is_terminal=is_terminal or bool(options["force_color"])))


def _chosen(*, category: str | None, is_on: bool, is_off: bool) -> list[Action]:
    known = actions.all_actions()
    categories = sorted({action.category for action in known})
    if category is not None and category not in categories:
        raise CommandError(f"category: got {category!r}, wanted one of {', '.join(categories)}")
    return [
        action
        for action in known
        if category in (None, action.category) and not (is_on and not action.is_on) and not (is_off and action.is_on)
    ]


def _fields(action: Action) -> dict[str, object]:
    return {
        "name": action.name,
        "category": action.category,
        "severity": action.severity,
        "outcome": action.outcome,
        "is_on": action.is_on,
        "description": action.description,
        "template": action.template,
        "aliases": action.aliases,
        "controls": dict(action.controls),
        "ocsf": action.ocsf,
        "ocsf_next": action.ocsf_next,
        "ecs": {"kind": action.ecs_kind, "category": action.ecs_category, "type": action.ecs_type},
        "since": action.since,
        "retention": action.retention,
    }


def _markdown(chosen: Sequence[Action]) -> str:
    head = ["Action", "On", "Category", "Severity", "Outcome", "Meaning", "OCSF", "ECS", *_FRAMEWORKS.values()]
    rows = [
        head,
        ["---"] * len(head),
        *(
            [
                f"`{action.name}`",
                "yes" if action.is_on else "no",
                action.category,
                action.severity,
                action.outcome,
                action.description,
                action.ocsf + (f" ({action.ocsf_next})" if action.ocsf_next else ""),
                f"{', '.join(action.ecs_category)}: {', '.join(action.ecs_type)}",
                *(" ".join(action.controls.get(framework, ())) for framework in _FRAMEWORKS),
            ]
            for action in chosen
        ),
    ]
    return "\n".join("| " + " | ".join(map(_cell, row)) + " |" for row in rows)


def _cell(text: str) -> str:
    # A bar or a line break in a host's description would end the cell or the row.
    return " ".join(text.split()).replace("|", "\\|")


def _table(chosen: Sequence[Action], *, is_terminal: bool) -> str:
    from rich import box  # imported here: --json and --markdown do without
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, caption=_caption(chosen), caption_justify="left")
    for heading in ("Action", "On", "Category", "Severity", "Outcome"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Meaning", ratio=1)
    for action in chosen:
        severity = Text(action.severity, style=_SEVERITY_STYLES[action.severity])
        on = "yes" if action.is_on else "no"
        # Text and not str: rich would read square brackets in a str as its markup.
        cells = (action.name, on, action.category, severity, action.outcome, action.description)
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    width = shutil.get_terminal_size().columns if is_terminal else _PIPE_COLUMNS
    text = io.StringIO()
    Console(file=text, width=width, force_terminal=is_terminal).print(table)
    # rich fills each row up to the width of the table.
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines())


def _caption(chosen: Sequence[Action]) -> str:
    internal = {action.name for action in taxonomy.INTERNAL}
    defaults = [action for action in chosen if action.since and action.name not in internal]
    own = sum(not action.since for action in chosen)
    of_log = len(chosen) - len(defaults) - own
    text = f"{len(defaults)} default actions, {sum(action.is_on for action in defaults)} of them on"
    text += f"; {of_log} of the log itself" if of_log else ""
    return text + (f"; {own} of this project" if own else "")
