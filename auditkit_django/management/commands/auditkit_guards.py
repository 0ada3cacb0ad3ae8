"""``manage.py auditkit_guards``: say whether the append-only guards stand, or put them back."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.sql import guards


class Command(BaseCommand):
    help = "Check that the append-only guards are in the database and unaltered (exit code 1 if not), or install them."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--install", action="store_true", help="put every guard in place, replacing what stands there"
        )
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, install: bool, database: str, **options: Any) -> None:
        if install:
            guards.install(connections[database])
        problems = guards.problems(connections[database])
        for problem in problems:
            self.stderr.write(problem)
        if problems:
            sys.exit(1)
        self.stdout.write("all guards stand")
