"""``manage.py auditkit_worker``: append pending events, for ever or once."""

from __future__ import annotations

import signal
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.log.worker import Worker


class Command(BaseCommand):
    help = (
        "Append pending events to their logs. Any number of workers may run; SIGTERM ends one after its current pass."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="append what is pending, then exit (for cron)")
        parser.add_argument(
            "--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections), help="alias of the database"
        )

    def handle(self, *args: Any, once: bool, database: str, **options: Any) -> None:
        worker = Worker(using=database)
        if once:
            self.stdout.write(f"{worker.run_once()} appended")
            return
        signal.signal(signal.SIGTERM, worker.stop)
        signal.signal(signal.SIGINT, worker.stop)
        self.stdout.write("auditkit worker: ready")
        self.stdout.flush()
        worker.run()
        self.stdout.write(f"auditkit worker: stopped, {worker.appended} appended")
