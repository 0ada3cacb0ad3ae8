"""
``django.contrib.auth``: signing in and out, passwords, users, groups and permissions. On by default.

``AUDITKIT["HOOKS_OFF"] = ["auth"]`` switches all of it off, the name of an action that one. Changes are seen on every
path of the ORM, bulk operations included, whoever makes them: the admin, a view, a command.
"""

from __future__ import annotations

from auditkit_django.hooks.auth import groups, passwords, sessions, sign_ins, users

HOOK = "auth"


def connect() -> None:
    """Connect everything; called when Django starts, if ``django.contrib.auth`` is installed."""
    for part in (sign_ins, passwords, users, groups, sessions):
        part.connect()
