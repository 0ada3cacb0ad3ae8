"""
``python -m benchmarks``: start a durable PostgreSQL of our own, measure everything, print Markdown.

``--quick`` is a smoke with small numbers, ``--only NAME`` (repeatable) one benchmark, ``--output FILE`` also writes it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from benchmarks import databases
from benchmarks.machine import machine_line
from benchmarks.plan import Plan
from benchmarks.reporting import Section, budgets_text, section_text
from tests.support.postgres import running

#: In this order: each module has ``run(plan) -> Section``.
NAMES = (
    "record",
    "save",
    "batch",
    "bulk",
    "append",
    "verify",
    "seal",
    "export",
    "ingest",
    "query",
    "client",
    "disk",
    "hot",
)
#: A server as somebody would run it on this machine: the defaults, but room for the log of changes and the working set.
SERVER = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}


def main(arguments: Sequence[str]) -> int:
    """Run what ``arguments`` ask for; 0 when everything ran, whatever the figures say."""
    options = _parser().parse_args(arguments)
    names = options.only or NAMES
    with running(durable=True, settings=SERVER) as server:
        line = machine_line(server.dsn("postgres"))
        print(f"{line}\n", flush=True)
        databases.prepare(server)
        plan = Plan.quick(server) if options.quick else Plan.full(server, disk_events=options.disk_events)
        sections = []
        for name in names:
            print(f"… {name}", file=sys.stderr, flush=True)
            sections.append(import_module(f"benchmarks.{name}").run(plan))
            print(section_text(sections[-1]), flush=True)
        print(budgets_text(sections))
    if options.output:
        options.output.write_text(_document(line, sections, is_quick=options.quick))
    return 0


def _document(line: str, sections: Sequence[Section], *, is_quick: bool) -> str:
    head = "# Benchmarks\n\n" + ("**A quick run: a smoke, not a measurement.**\n\n" if is_quick else "") + line
    return "\n\n".join([head, budgets_text(sections), *map(section_text, sections)]) + "\n"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Measure auditkit-django against its peers."
    )
    parser.add_argument("--quick", action="store_true", help="small numbers: shows that everything runs, not how fast")
    parser.add_argument("--only", action="append", choices=NAMES, metavar="NAME", help=f"one of {', '.join(NAMES)}")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the Markdown there too")
    parser.add_argument("--disk-events", type=int, default=1_000_000, metavar="N", help="events of the disk benchmark")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
