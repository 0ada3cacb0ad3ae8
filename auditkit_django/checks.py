"""System checks: settings that cannot work, guards that are missing, a queue that stands still. Listed in docs/checks.md."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from django.apps import AppConfig
from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils.module_loading import import_string

from auditkit_django.access import configured as access
from auditkit_django.actions import all_actions
from auditkit_django.conf import AuditkitSettings, known_settings, settings
from auditkit_django.environment import is_test_run
from auditkit_django.exceptions import RetentionError, SealError
from auditkit_django.hooks.tracking import triggers
from auditkit_django.hooks.tracking.decorator import TRACKED
from auditkit_django.ledger.licences import ANY
from auditkit_django.log.halting import halted
from auditkit_django.log.health import health
from auditkit_django.log.keys import signer
from auditkit_django.log.retention import policy_of
from auditkit_django.models import Delivery, Event
from auditkit_django.publishing import configured
from auditkit_django.sql import guards

_CHOICES: dict[str, tuple[object, ...]] = {
    "APPEND": (None, "inline", "thread", "worker"),
    "UNKNOWN_ACTION": ("error", "warn", "allow"),
    "ON_ERROR": ("raise", "log"),
    "OVERSIZE": ("truncate", "reject"),
}
_DOTTED = ("TENANT_RESOLVER", "ACTOR_RESOLVER", "TRAIL_ACCESS", "USER_TENANTS")
#: It begins every log's origin, the name of the key that signs it, which may have neither (C2SP signed-note).
_ORIGIN = re.compile(r"[^\s+\x00-\x1f\x7f]{1,200}")
_CEILINGS = ("MAX_METADATA_BYTES", "MAX_EVENT_BYTES")
#: Failed deliveries in a row, with growing pauses, that are worth a warning: a quarter of an hour.
_MANY_ATTEMPTS = 5
_MOST_HALTED = 10
_MIDDLEWARE = "auditkit_django.hooks.middleware.AuditkitMiddleware"


@register("auditkit")
def check_settings(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E001 unknown key, E002 value, E003 dotted path, E004 USE_TZ."""
    configured = getattr(django_settings, "AUDITKIT", {}) or {}
    found: list[CheckMessage] = [
        Error(
            f"AUDITKIT has no setting {name!r}.",
            hint=f"Known: {', '.join(sorted(known_settings()))}.",
            id="auditkit.E001",
        )
        for name in sorted(configured.keys() - known_settings())
    ]
    for name, allowed in _CHOICES.items():
        if getattr(settings, name) not in allowed:
            wanted = ", ".join(repr(value) for value in allowed)
            found.append(
                Error(f"AUDITKIT[{name!r}] is {getattr(settings, name)!r}, wanted one of {wanted}.", id="auditkit.E002")
            )
    for name in _CEILINGS:
        value, ceiling = getattr(settings, name), vars(AuditkitSettings)[name]
        if type(value) is not int or not 1024 <= value <= ceiling:
            found.append(Error(f"AUDITKIT[{name!r}] is {value!r}, wanted 1024 to {ceiling}.", id="auditkit.E002"))
    if type(settings.TRUSTED_PROXY_COUNT) is not int or settings.TRUSTED_PROXY_COUNT < 0:
        found.append(
            Error(
                f"AUDITKIT['TRUSTED_PROXY_COUNT'] is {settings.TRUSTED_PROXY_COUNT!r}, wanted 0 or more.",
                id="auditkit.E002",
            )
        )
    if not isinstance(settings.ORIGIN, str) or not _ORIGIN.fullmatch(settings.ORIGIN):
        found.append(
            Error(
                f"AUDITKIT['ORIGIN'] is {settings.ORIGIN!r:.80}, wanted a domain that you own: up to 200 letters, digits and"
                " marks, no space and no plus sign.",
                id="auditkit.E002",
            )
        )
    for name in _DOTTED:
        value = getattr(settings, name)
        if isinstance(value, str):
            found += _unimportable(name, value)
    for value in settings.PROCESSORS:
        if isinstance(value, str):
            found += _unimportable("PROCESSORS", value)
    if not django_settings.USE_TZ:
        found.append(
            Error(
                "auditkit_django needs USE_TZ = True.",
                hint="Audit times are moments, not wall clocks.",
                id="auditkit.E004",
            )
        )
    return found


@register("auditkit")
def check_wiring(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """W001 middleware missing, W002 SQLite without immediate transactions."""
    found: list[CheckMessage] = []
    middleware = list(django_settings.MIDDLEWARE)
    if _MIDDLEWARE not in middleware:
        found.append(
            Warning(
                "AuditkitMiddleware is not installed: events of requests have no actor and no address.",
                hint=f'Add "{_MIDDLEWARE}" after AuthenticationMiddleware.',
                id="auditkit.W001",
            )
        )
    options = connections[router.db_for_write(Event)].settings_dict.get("OPTIONS", {})
    if connections[router.db_for_write(Event)].vendor == "sqlite" and options.get("transaction_mode") != "IMMEDIATE":
        found.append(
            Warning(
                "SQLite transactions are deferred: an append may fail when another process writes.",
                hint='Set DATABASES[…]["OPTIONS"]["transaction_mode"] = "IMMEDIATE".',
                id="auditkit.W002",
            )
        )
    return found


@register("auditkit")
def check_key(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E005 a key that cannot sign: the file is missing, others may read it, or ``SECRET_KEY`` gives it away."""
    try:
        signer()
    except (SealError, ImportError) as exc:
        return [Error(f"Sealing: {exc}", hint="manage.py auditkit_keys init makes a key file.", id="auditkit.E005")]
    return []


@register("auditkit")
def check_retention(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E002 a policy that is none, E003 a dotted path; W013 a name that no event has, whose events would be kept for ever."""
    chosen = settings.RETENTION
    if isinstance(chosen, str):
        return list(_unimportable("RETENTION", chosen))
    if callable(chosen):
        return []
    try:
        policy_of("")
    except RetentionError as exc:
        return [Error(f"AUDITKIT: {exc}.", id="auditkit.E002")]
    known = {ANY}.union(*({one.category, one.name, one.retention} for one in all_actions()))
    return [
        Warning(
            f"AUDITKIT['RETENTION'] names {name!r}, which is no category, action or retention class.",
            hint="docs/actions.md lists them; a category of your own has to be registered with an action.",
            id="auditkit.W013",
        )
        for name in sorted(set(chosen or {}) - known)
    ]


@register("auditkit")
def check_publishers(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E007 a publisher that cannot be made of its settings."""
    hint = "docs/publishing.md has the form and each publisher's options."
    return [Error(f"Publishing: {problem}", hint=hint, id="auditkit.E007") for problem in configured.problems()]


@register("auditkit")
def check_access(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """E002 a value of API or embedded trail that cannot work."""
    return [Error(problem, id="auditkit.E002") for problem in access.problems()]


@register("auditkit", deploy=True)
def check_deployment(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """W014 requests to the API that each process counts for itself; with ``check --deploy``."""
    if access.is_cache_shared():
        return []
    return [
        Warning(
            f"AUDITKIT['API_CACHE'] is {settings.API_CACHE!r}, a cache of one process: each process counts requests and refused"
            " keys for itself.",
            hint="Use a cache that all processes share: Redis, Memcached, or the database's.",
            id="auditkit.W014",
        )
    ]


@register("auditkit")
def check_tracked(app_configs: Sequence[AppConfig] | None, **kwargs: Any) -> list[CheckMessage]:
    """W003 a tracked model whose rows the database itself deletes or changes (``DB_CASCADE`` and its like, Django 6.1)."""
    found = [(one, field) for one in TRACKED for field in one.model._meta.local_concrete_fields if not one.has_triggers]
    return [
        Warning(
            f"{one.model._meta.label}.{field.name} is {name}: the database deletes or changes rows of a tracked model, and"
            " nobody records it.",
            hint="Use CASCADE, SET_NULL or SET_DEFAULT, or @track(triggers=True) on PostgreSQL.",
            id="auditkit.W003",
        )
        for one, field in found
        if (name := _by_the_database(field))
    ]


@register(Tags.database)
def check_database(
    app_configs: Sequence[AppConfig] | None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """
    E010 guards missing or altered, E011 and W011 triggers of tracked models, E012 logs that are shorter than what was signed,
    W010 events waiting too long, W012 checkpoints that are not published; with ``check --database default`` and on migrate.
    """
    alias = router.db_for_write(Event)
    if alias not in (databases or ()):
        return []
    connection = connections[alias]
    if Event._meta.db_table not in connection.introspection.table_names():
        return []
    found: list[CheckMessage] = []
    if not is_test_run() or settings.GUARDS_IN_TESTS:
        found += [
            Error(
                f"Append-only guard: {problem}.",
                hint="Find out who removed it, run auditkit_verify, then manage.py auditkit_guards --install.",
                id="auditkit.E010",
            )
            for problem in guards.problems(connection)
        ]
        found += _triggers(connection)
    found += _halted(alias)
    state = health(using=alias)
    if state.oldest_pending_age_seconds > settings.PENDING_MAX_AGE_SECONDS:
        found.append(
            Warning(
                f"{state.pending} events wait to be appended, the oldest for {state.oldest_pending_age_seconds:.0f} s.",
                hint="Is manage.py auditkit_worker running?",
                id="auditkit.W010",
            )
        )
    return [*found, *_unpublished(alias)]


def _unpublished(alias: str) -> list[CheckMessage]:
    table, found = Delivery._meta.db_table, []
    if table not in connections[alias].introspection.table_names():
        return []
    for name in settings.PUBLISHERS if isinstance(settings.PUBLISHERS, Mapping) else ():
        failing = Delivery.objects.using(alias).filter(publisher=name, attempts__gte=_MANY_ATTEMPTS)
        if worst := failing.order_by("-attempts").first():
            found.append(
                Warning(
                    f"Publishing to {name} fails for {failing.count()} logs, {worst.attempts} times in a row: {worst.last_error}",
                    hint="manage.py auditkit_publish --all --list; docs/publishing.md",
                    id="auditkit.W012",
                )
            )
    return list(found)


def _by_the_database(field: Any) -> str:
    on_delete = getattr(field.remote_field, "on_delete", None)
    return getattr(on_delete, "__name__", "") if getattr(on_delete, "operation", None) else ""


def _triggers(connection: BaseDatabaseWrapper) -> list[CheckMessage]:
    problems = triggers.problems(connection)
    if connection.vendor != "postgresql":
        hint = "Triggers are for PostgreSQL; here only what goes through the ORM is recorded."
        return [Warning(f"{problem}.", hint=hint, id="auditkit.W011") for problem in problems]
    hint = "manage.py auditkit_triggers --install, or migrate, puts it in place."
    return [Error(f"Tracking: {problem}.", hint=hint, id="auditkit.E011") for problem in problems]


def _halted(alias: str) -> list[CheckMessage]:
    try:
        found = list(islice(halted(using=alias), _MOST_HALTED + 1))
    except (SealError, DatabaseError):
        # No guard to ask (E005), or tables of before a migration that is about to run.
        return []
    more = " There are more." if len(found) > _MOST_HALTED else ""
    return [
        Error(
            f"Sealing: {one}.{more}",
            hint="docs/operations.md, Restore: look for a newer backup first; manage.py auditkit_recover says what is lost.",
            id="auditkit.E012",
        )
        for one in found[:_MOST_HALTED]
    ]


def _unimportable(name: str, path: str) -> list[CheckMessage]:
    try:
        import_string(path)
    except ImportError as exc:
        return [Error(f"AUDITKIT[{name!r}] = {path!r} cannot be imported: {exc}", id="auditkit.E003")]
    return []
