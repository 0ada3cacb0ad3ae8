"""Each system check is silent on a sound installation and speaks where its reason stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.checks import CheckMessage, run_checks
from django.db import connection
from django.utils import timezone

from auditkit_django import auditlog
from auditkit_django.checks import check_retention
from auditkit_django.sql import guards
from auditkit_django.testing import append_now, guards_lifted

pytestmark = pytest.mark.django_db


def _found(*, with_database: bool = False) -> list[CheckMessage]:
    found = run_checks(databases=["default"] if with_database else None)
    # One model of the tests asks for triggers (tests/hooks/tracking/test_triggers.py looks at what is said then).
    return [
        message for message in found if (message.id or "").startswith("auditkit.") and message.id != "auditkit.W011"
    ]


def _ids(**options: bool) -> list[str | None]:
    return [message.id for message in _found(**options)]


def _sql(*statements: str) -> None:
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def test_a_sound_installation_has_nothing_to_say() -> None:
    assert _ids(with_database=True) == []


def test_an_unknown_setting_is_named_with_the_known_ones(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "TENANT_RESOLVR": None}
    [message] = _found()
    assert (message.id, message.msg) == ("auditkit.E001", "AUDITKIT has no setting 'TENANT_RESOLVR'.")
    assert "TENANT_RESOLVER" in (message.hint or "")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("APPEND", "celery"),
        ("UNKNOWN_ACTION", "ignore"),
        ("ON_ERROR", "pass"),
        ("OVERSIZE", "drop"),
        ("MAX_METADATA_BYTES", 16 * 1024 + 1),
        ("MAX_METADATA_BYTES", 100),
        ("MAX_EVENT_BYTES", 1_000_000),
        ("MAX_EVENT_BYTES", "32768"),
        ("ORIGIN", "My Company"),
        ("ORIGIN", "a+b"),
        ("ORIGIN", "a" * 201),
        ("TRUSTED_PROXY_COUNT", -1),
        ("TRUSTED_PROXY_COUNT", "1"),
        ("TRUSTED_PROXY_COUNT", True),
        ("API_KEY_PEPPER", "short"),
        ("API_KEY_PEPPER", ["p" * 32, "short"]),
        ("API_KEY_PEPPER", []),
        ("API_KEY_PEPPER", 7),
        ("API_KEY_ENVIRONMENT", "Live"),
        ("API_KEY_ENVIRONMENT", "environment"),
        ("API_KEY_ENVIRONMENT", ""),
        ("API_KEY_DAYS", 0),
        ("API_KEY_DAYS", "365"),
        ("API_RATES", 600),
        ("API_RATES", {"reads": 600}),
        ("API_RATES", {"read": 0}),
        ("API_RATES", {"read": "600/m"}),
        ("API_FAILURES_PER_MINUTE", 0),
        ("API_CACHE", "redis"),
        ("API_THROTTLE_FAILS", "raise"),
        ("API_MAX_BODY_BYTES", 100),
        ("API_STATEMENT_SECONDS", 0),
        ("API_STATEMENT_SECONDS", True),
        ("API_STATEMENT_SECONDS", float("nan")),
        ("EMBED_ORIGINS", "https://app.example"),
        ("EMBED_ORIGINS", None),
        ("EMBED_ORIGINS", ["app.example"]),
        ("EMBED_ORIGINS", ["https://app.example/"]),
        ("EMBED_ORIGINS", ["https://*.example"]),
        ("EMBED_ORIGINS", ["*"]),
        ("EMBED_ORIGINS", ["https://App.example"]),
        ("EMBED_ORIGINS", ["https://app.example; script-src *"]),
        ("EMBED_ORIGINS", ["https://app.example\n"]),
    ],
)
def test_a_value_that_cannot_work_is_refused(settings: Any, name: str, value: object) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, name: value}
    [message] = _found()
    assert message.id == "auditkit.E002"
    assert name in message.msg
    assert "wanted" in message.msg


@pytest.mark.parametrize("name", ["TENANT_RESOLVER", "ACTOR_RESOLVER", "TRAIL_ACCESS"])
@pytest.mark.parametrize("path", ["nowhere.at.all", "tests.host.tenancy.missing", "undotted"])
def test_a_dotted_path_that_leads_nowhere_is_refused(settings: Any, name: str, path: str) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, name: path}
    [message] = _found()
    assert (message.id, path in message.msg) == ("auditkit.E003", True)


def test_what_works_for_the_api_is_not_refused(settings: Any) -> None:
    settings.AUDITKIT = {
        **settings.AUDITKIT,
        "API_KEY_PEPPER": ["n" * 32, "o" * 40],
        "API_KEY_ENVIRONMENT": "test",
        "API_KEY_DAYS": None,
        "API_RATES": {"read": None, "export": 1},
        "API_STATEMENT_SECONDS": 2,
        "EMBED_ORIGINS": ("https://app.example", "http://localhost:8000", "http://[::1]:8000"),
    }
    assert _ids() == []


def test_a_pepper_that_is_refused_is_not_written_down(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "API_KEY_PEPPER": "hunter2"}
    [message] = _found()
    assert "hunter2" not in str(message)


@pytest.mark.parametrize(
    ("backend", "found"),
    [
        ("django.core.cache.backends.locmem.LocMemCache", ["auditkit.W014"]),
        ("django.core.cache.backends.dummy.DummyCache", ["auditkit.W014"]),
        ("django.core.cache.backends.filebased.FileBasedCache", []),
    ],
    ids=["locmem", "dummy", "files"],
)
def test_a_cache_of_one_process_is_noticed_before_a_deployment(
    settings: Any, backend: str, found: list[str], tmp_path: Any
) -> None:
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": str(tmp_path)}}
    ids = [message.id or "" for message in run_checks(include_deployment_checks=True)]
    assert [one for one in ids if one.startswith("auditkit.") and one != "auditkit.W011"] == found
    assert "auditkit.W014" not in _ids()


def test_callables_are_taken_for_dotted_paths(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "TENANT_RESOLVER": lambda request: None, "TRAIL_ACCESS": None}
    assert _ids() == []


def test_times_without_zone_are_refused(settings: Any) -> None:
    settings.USE_TZ = False
    assert _ids() == ["auditkit.E004"]


def test_a_missing_middleware_is_noticed(settings: Any) -> None:
    settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "auditkit" not in name]
    assert _ids() == ["auditkit.W001"]


def test_deferred_transactions_on_sqlite_are_noticed(monkeypatch: pytest.MonkeyPatch, is_postgresql: bool) -> None:
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", {})
    assert _ids() == ([] if is_postgresql else ["auditkit.W002"])


def _alterations() -> list[Any]:
    on_postgresql = {
        "row trigger dropped": ["DROP TRIGGER auditkit_row ON auditkit_django_event"],
        "truncate trigger dropped": ["DROP TRIGGER auditkit_truncate ON auditkit_django_entry"],
        "trigger disabled": ["ALTER TABLE auditkit_django_entry DISABLE TRIGGER auditkit_row"],
        "trigger not for replicas": ["ALTER TABLE auditkit_django_log ENABLE TRIGGER auditkit_row"],
        "function altered": [
            "CREATE OR REPLACE FUNCTION auditkit_django_deny() RETURNS trigger LANGUAGE plpgsql"
            " AS $$ BEGIN RETURN NULL; END $$"
        ],
        "another function": [
            "CREATE FUNCTION pretend() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$",
            "DROP TRIGGER auditkit_row ON auditkit_django_event",
            "CREATE TRIGGER auditkit_row BEFORE UPDATE OR DELETE ON auditkit_django_event"
            " FOR EACH ROW EXECUTE FUNCTION pretend()",
            "ALTER TABLE auditkit_django_event ENABLE ALWAYS TRIGGER auditkit_row",
        ],
        "only on delete": [
            "DROP TRIGGER auditkit_row ON auditkit_django_event",
            "CREATE TRIGGER auditkit_row BEFORE DELETE ON auditkit_django_event"
            " FOR EACH ROW EXECUTE FUNCTION auditkit_django_deny()",
            "ALTER TABLE auditkit_django_event ENABLE ALWAYS TRIGGER auditkit_row",
        ],
        "only under a condition": [
            "DROP TRIGGER auditkit_row ON auditkit_django_event",
            "CREATE TRIGGER auditkit_row BEFORE UPDATE OR DELETE ON auditkit_django_event"
            " FOR EACH ROW WHEN (OLD.tenant = 'x') EXECUTE FUNCTION auditkit_django_deny()",
            "ALTER TABLE auditkit_django_event ENABLE ALWAYS TRIGGER auditkit_row",
        ],
        "only of one column": [
            "DROP TRIGGER auditkit_row ON auditkit_django_event",
            "CREATE TRIGGER auditkit_row BEFORE UPDATE OF tenant OR DELETE ON auditkit_django_event"
            " FOR EACH ROW EXECUTE FUNCTION auditkit_django_deny()",
            "ALTER TABLE auditkit_django_event ENABLE ALWAYS TRIGGER auditkit_row",
        ],
    }
    on_sqlite = {
        "update trigger dropped": ["DROP TRIGGER auditkit_django_event_no_update"],
        "delete trigger dropped": ["DROP TRIGGER auditkit_django_log_no_delete"],
        "replace trigger dropped": ["DROP TRIGGER auditkit_django_entry_no_replace"],
        "trigger altered": [
            "DROP TRIGGER auditkit_django_event_no_delete",
            "CREATE TRIGGER auditkit_django_event_no_delete BEFORE DELETE ON auditkit_django_event BEGIN SELECT 1; END",
        ],
        "only under a condition": [
            "DROP TRIGGER auditkit_django_event_no_update",
            "CREATE TRIGGER auditkit_django_event_no_update BEFORE UPDATE ON auditkit_django_event WHEN OLD.tenant = 'x'"
            " BEGIN SELECT RAISE(ABORT, 'auditkit: auditkit_django_event is append-only (UPDATE refused)'); END",
        ],
    }
    return [
        *(pytest.param(True, statements, id=f"postgresql: {name}") for name, statements in on_postgresql.items()),
        *(pytest.param(False, statements, id=f"sqlite: {name}") for name, statements in on_sqlite.items()),
    ]


@pytest.mark.parametrize(("wants_postgresql", "statements"), _alterations())
def test_a_guard_that_is_missing_or_altered_is_found(
    wants_postgresql: bool, statements: list[str], is_postgresql: bool
) -> None:
    if wants_postgresql != is_postgresql:
        pytest.skip("the guards of the other database")
    _sql(*statements)
    found = _found(with_database=True)
    assert {message.id for message in found} == {"auditkit.E010"}
    assert "auditkit_guards --install" in (found[0].hint or "")
    guards.install(connection)
    assert _ids(with_database=True) == []


def test_lifted_guards_are_found_and_stand_again_afterwards() -> None:
    with guards_lifted():
        assert set(_ids(with_database=True)) == {"auditkit.E010"}
    assert _ids(with_database=True) == []


def test_hosts_test_databases_need_no_guards(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "GUARDS_IN_TESTS": False}
    with guards_lifted():
        assert _ids(with_database=True) == []


def test_a_queue_that_stands_still_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        earlier = timezone.now() - timedelta(seconds=400)
        patch.setattr(timezone, "now", lambda: earlier)
        auditlog.event("member.invited", tenant="system")
    [message] = _found(with_database=True)
    assert message.id == "auditkit.W010"
    assert message.msg.startswith("1 events wait")
    append_now()
    assert _ids(with_database=True) == []


def test_a_young_queue_is_no_reason_to_speak(settings: Any) -> None:
    auditlog.event("member.invited", tenant="system")
    assert _ids(with_database=True) == []


def test_a_database_without_our_tables_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection.introspection, "table_names", lambda *_arguments: ["other"])
    with guards_lifted():
        assert _ids(with_database=True) == []


@pytest.mark.parametrize("make", [lambda: None, dict], ids=["None", "empty"])
def test_every_setting_has_a_default(settings: Any, make: Callable[[], object]) -> None:
    settings.AUDITKIT = make()
    assert _ids() == []


def test_a_tracked_model_whose_rows_the_database_deletes_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.tracked.models import Document

    def by_the_database() -> None: ...

    by_the_database.operation = "CASCADE"  # type: ignore[attr-defined]
    by_the_database.__name__ = "DB_CASCADE"
    monkeypatch.setattr(Document._meta.get_field("organization").remote_field, "on_delete", by_the_database)
    [message] = _found()
    assert message.id == "auditkit.W003"
    assert message.msg.startswith("tracked.Document.organization is DB_CASCADE")


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        (None, []),
        ({"*": 365, "data_access": 30, "auth": None, "billing.plan.changed": 10}, []),
        (lambda tenant: {"*": 1}, []),
        ({"*": 0}, ["auditkit.E002"]),
        (["auth"], ["auditkit.E002"]),
        ("nowhere.policy", ["auditkit.E003"]),
        ({"*": 365, "acces": 30}, ["auditkit.W013"]),
    ],
)
def test_a_retention_policy_is_checked(settings: Any, policy: Any, found: list[str]) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "RETENTION": policy}
    assert [message.id for message in check_retention(None)] == found
