"""
Constance: settings changed at run time, with old and new value; those of secrets are left out.

With the database backend the rows are watched, so that change and event commit together; with the others, which know
no transaction, the signal ``config_updated`` is heard.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from django.db import connections
from django.forms import PasswordInput

from auditkit_django.drafts import MAX_ID, Change, Target
from auditkit_django.hooks.emitting import emit, follows_on_error
from auditkit_django.hooks.packs.rows import watch_models
from auditkit_django.hooks.tracking.rows import RowChange

HOOK = "constance"

_ACTION = "config.updated"


def connect() -> None:
    """Watch the rows of the database backend, and hear what the other backends say."""
    from constance.models import Constance
    from constance.signals import config_updated

    config_updated.connect(_updated, dispatch_uid="auditkit_django.constance.updated")
    watch_models(HOOK, Constance, _rows_told, actions=(_ACTION,), names=("value",))


def _rows_told(changes: Sequence[RowChange]) -> None:
    from constance import settings
    from constance.codecs import loads

    for change in changes:
        row: Any = change.instance
        old, new = (loads(values["value"]) if values.get("value") else None for values in (change.old, change.new))
        _tell(row.key.removeprefix(settings.DATABASE_PREFIX), old, new)


@follows_on_error
def _updated(sender: Any, key: str, old_value: object, new_value: object, **_signal: Any) -> None:
    from constance.backends.database import DatabaseBackend

    if not isinstance(sender._backend, DatabaseBackend):
        _tell(key, old_value, new_value)


def _tell(key: str, old: object, new: object) -> None:
    from constance.settings import CONFIG

    if key not in CONFIG:
        # Left over from a setting that the project no longer has: nobody reads it.
        return
    # What is not stored has its default, and the first to read a setting stores that.
    old, new = (CONFIG[key][0] if value is None else value for value in (old, new))
    if old == new:
        return
    change = Change(key, is_redacted=True) if _is_password(CONFIG[key]) else Change(key, _plain(old), _plain(new))
    _outside_of_the_loop(lambda: emit(HOOK, _ACTION, resource=Target("setting", key[:MAX_ID], key), changes=[change]))


def _is_password(options: Sequence[Any]) -> bool:
    """Whether the setting's form asks for it as for a password, whatever its name."""
    from constance.forms import FIELDS

    _field, kwargs = FIELDS.get(options[2], (None, {})) if len(options) > 2 else (None, {})
    return isinstance(kwargs.get("widget"), PasswordInput)


def _plain(value: object) -> object:
    # A project may teach Constance any type, and a value that we cannot show must not keep it from being stored.
    return json.loads(json.dumps(value, default=str))


def _outside_of_the_loop(record: Callable[[], object]) -> None:
    """Call ``record``; from a thread where asynchronous code (``await config.aset(…)``) sent the signal in its loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        record()
        return
    with ThreadPoolExecutor(max_workers=1) as thread:
        thread.submit(copy_context().run, _record_and_close, record).result()


def _record_and_close(record: Callable[[], object]) -> None:
    try:
        record()
    finally:
        connections.close_all()
