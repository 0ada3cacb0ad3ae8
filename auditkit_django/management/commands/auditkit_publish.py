"""``manage.py auditkit_publish``: bring checkpoints to the publishers now, or list where they are."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError
from django.db import DEFAULT_DB_ALIAS, connections

from auditkit_django.management.arguments import add_tenants
from auditkit_django.publishing.configured import Destination, destination, names
from auditkit_django.publishing.run import publish
from auditkit_django.publishing.standing import standings


class Command(BaseCommand):
    help = (
        "Publish the checkpoints of logs to AUDITKIT['PUBLISHERS'], those in a pause after a failure too. Exit code 1 if one"
        " was not published."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_tenants(parser)
        parser.add_argument("--publisher", action="append", help="only this publisher; may be given more than once")
        parser.add_argument(
            "--list", action="store_true", help="publish nothing; print where each log is published, and what failed"
        )
        parser.add_argument("--database", default=DEFAULT_DB_ALIAS, choices=tuple(connections))

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            chosen = options["publisher"] or names()
            if not chosen:
                raise CommandError("got no AUDITKIT['PUBLISHERS'], wanted one: docs/publishing.md")
            if options["list"]:
                self._list(chosen, options["tenant"], options["database"])
                return
            made = [destination(name) for name in chosen]
        except ImproperlyConfigured as exc:
            raise CommandError(str(exc)) from exc
        if not all(list(self._published(made, options["tenant"], options["database"]))):
            sys.exit(1)

    def _published(self, chosen: list[Destination], tenants: list[str] | None, database: str) -> Iterator[bool]:
        for one in chosen:
            for outcome in publish(one, using=database, tenants=tenants, is_asked=True):
                if outcome.state == "failed":
                    self.stderr.write(f"{outcome.tenant}: {outcome.publisher}: {outcome.error}")
                elif outcome.state == "published":
                    self.stdout.write(f"{outcome.tenant}: {outcome.publisher}: published at {outcome.size}")
                yield outcome.state != "failed"

    def _list(self, chosen: list[str], tenants: list[str] | None, database: str) -> None:
        for one in standings(chosen, tenants=tenants, using=database):
            if one.published_at is None:
                said = f"never, sealed at {one.sealed_size}"
            else:
                at = one.published_at.isoformat(timespec="seconds")
                said = f"{one.size} of {one.sealed_size} at {at}"
            failed = f"; failed {one.attempts} times: {one.last_error}" if one.attempts else ""
            self.stdout.write(f"{one.tenant}: {one.publisher}: {said}{failed}")
