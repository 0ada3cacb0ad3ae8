"""``manage.py auditkit_triggers``: say whether the triggers of tracked models stand, install or remove them."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.hooks.tracking import triggers


class Command(BaseCommand):
    help = (
        "Check that the triggers of models tracked with triggers=True stand as installed (exit code 1 if not),"
        " or install or remove them. PostgreSQL only."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        what = parser.add_mutually_exclusive_group()
        what.add_argument(
            "--install", action="store_true", help="put every trigger in place, replacing what stands there"
        )
        what.add_argument("--remove", action="store_true", help="take every trigger of a tracked model away")
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, install: bool, remove: bool, database: str, **options: Any) -> None:
        connection = connections[database]
        if remove:
            triggers.remove(connection)
            self.stdout.write("all triggers are removed")
            return
        if install:
            for label in triggers.install(connection):
                self.stdout.write(f"{label}: installed")
        problems = triggers.problems(connection)
        for problem in problems:
            self.stderr.write(problem)
        if problems:
            sys.exit(1)
        self.stdout.write("all triggers stand" if triggers.triggered() else "no model asks for triggers")
