"""Databases of one run: a migrated template, and a fresh copy of it for each benchmark or round."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

import psycopg

if TYPE_CHECKING:
    from tests.support.postgres import Server

TEMPLATE = "bench_template"


def environment(server: Server, *, name: str, variant: str = "auditkit") -> Mapping[str, str]:
    """The variables from which ``benchmarks.settings`` reads the database ``name`` and what audits there."""
    return {
        "DJANGO_SETTINGS_MODULE": "benchmarks.settings",
        "AUDITKIT_BENCH_HOST": server.host,
        "AUDITKIT_BENCH_PORT": str(server.port),
        "AUDITKIT_BENCH_USER": server.user,
        "AUDITKIT_BENCH_NAME": name,
        "AUDITKIT_BENCH_VARIANT": variant,
    }


def create(server: Server, name: str, *, template: str = "template1") -> None:
    """A new database, dropped first where it stands already."""
    with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')


def migrate() -> None:
    """All tables of this process's apps in its database."""
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)
    # The host has no migrations, and its history tables refer to users: second, when these are there.
    call_command("migrate", run_syncdb=True, verbosity=0, interactive=False)


def prepare(server: Server) -> None:
    """Set Django up in this process and make the template."""
    create(server, TEMPLATE)
    os.environ.update(environment(server, name=TEMPLATE))
    import django

    django.setup()
    migrate()
    _disconnect()


def use_fresh(server: Server, name: str) -> None:
    """Point this process at a new copy of the template; a checkpoint keeps what came before out of the next figures."""
    from django.db import connection

    _disconnect()
    create(server, name, template=TEMPLATE)
    connection.settings_dict["NAME"] = name
    os.environ["AUDITKIT_BENCH_NAME"] = name
    checkpoint()


def checkpoint() -> None:
    """Write all dirty pages now, so that no benchmark pays for those of another."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")


def _disconnect() -> None:
    from django.db import connections

    connections.close_all()
