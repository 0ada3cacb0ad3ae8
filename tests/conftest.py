"""Fixtures of the whole suite: the database of this run, organizations, users, and the guards lifted for flushes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

_stack = ExitStack()


def pytest_configure(config: pytest.Config) -> None:
    """Start a PostgreSQL of our own before Django reads its settings; xdist workers use the one of their controller."""
    if os.environ.get("AUDITKIT_TEST_DB") == "postgresql" and not os.environ.get("AUDITKIT_TEST_PGHOST"):
        from tests.support.postgres import running

        server = _stack.enter_context(running())
        settings = server.settings()
        os.environ["AUDITKIT_TEST_PGHOST"] = str(settings["HOST"])
        os.environ["AUDITKIT_TEST_PGPORT"] = str(settings["PORT"])
        from django.conf import settings as django_settings

        if django_settings.configured or True:
            django_settings.DATABASES["default"].update(HOST=settings["HOST"], PORT=settings["PORT"])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop the PostgreSQL that this process started."""
    _stack.close()
