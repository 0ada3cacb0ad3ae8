"""Triggers: on PostgreSQL the database records what goes past the ORM, once, and with nothing secret."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import DatabaseError, connection, models, transaction

from auditkit_django import auditlog, track
from auditkit_django.checks import check_database
from auditkit_django.hooks.tracking import database_context, triggers
from auditkit_django.hooks.tracking.decorator import TRACKED
from auditkit_django.hooks.tracking.watching import unwatch
from auditkit_django.models import Event
from auditkit_django.testing import append_now
from tests.hooks.tracking.conftest import Told
from tests.tracked.models import Account, DocumentProxy, Share

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db
Ask = Callable[..., Told]
UPDATED = "data.record.updated"
TABLE = "tracked_account"


@pytest.fixture(autouse=True)
def _only_on_postgresql(request: pytest.FixtureRequest, is_postgresql: bool) -> None:
    if not is_postgresql and "sqlite" not in request.node.name:
        pytest.skip("triggers are PostgreSQL's")


def run(sql: str, *values: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, values)


@pytest.fixture
def account(acme: Organization, told: Ask) -> Account:
    """An account that is told already."""
    made = Account.objects.create(organization=acme, holder="Ada", balance=10)
    told()
    return Account.objects.get(pk=made.pk)


def test_triggers_are_installed_by_migrate_and_stand() -> None:
    assert triggers.problems(connection) == []


def test_raw_sql_is_recorded_with_old_and_new(account: Account, told: Ask, acme: Organization) -> None:
    key = str(account.pk)
    run(f"UPDATE {TABLE} SET holder = 'Bob', balance = balance + 0.5, visits = 3, is_open = false")
    run(f"UPDATE {TABLE} SET touched_at = now()")
    run(
        f"INSERT INTO {TABLE} (organization_id, holder, balance, visits, is_open, data, scan, iban, api_token, touched_at)"
        " VALUES (%s, 'Eve', 0, 0, true, '{}', '', '', '', now())",
        acme.pk,
    )
    run(f"DELETE FROM {TABLE} WHERE id = %s", account.pk)
    updated, created, deleted = told(tenant=str(acme.pk))
    assert updated == (
        UPDATED,
        key,
        {"holder": ("Ada", "Bob"), "balance": ("10.00", "10.50"), "visits": (0, 3), "is_open": (True, False)},
    )
    assert (created[0], created[2]["holder"]) == ("data.record.created", (None, "Eve"))
    assert (deleted[0], deleted[1], deleted[2]["holder"]) == ("data.record.deleted", key, ("Bob", None))


@pytest.mark.parametrize(
    "way", ["save", "update", "bulk_create", "bulk_update", "delete", "queryset delete", "raw delete"]
)
def test_what_the_orm_tells_the_trigger_does_not_tell_again(
    account: Account, told: Ask, acme: Organization, way: str
) -> None:
    account.holder = "Bob"
    if way == "save":
        account.save()
    elif way == "update":
        Account.objects.update(holder="Bob")
    elif way == "bulk_create":
        Account.objects.bulk_create([Account(organization=acme, holder="Bob")])
    elif way == "bulk_update":
        Account.objects.bulk_update([account], ["holder"])
    elif way == "delete":
        account.delete()
    elif way == "queryset delete":
        Account.objects.all().delete()
    else:
        Account.objects.all()._raw_delete(using="default")
    assert len(told()) == 1
    run(f"UPDATE {TABLE} SET visits = 9")
    assert len(told()) == Account.objects.count(), "the trigger must be heard again after the ORM"


def test_raw_sql_in_a_receiver_is_still_seen(account: Account, told: Ask) -> None:
    def count_visit(sender: Any, instance: Account, **_signal: Any) -> None:
        run(f"UPDATE {TABLE} SET visits = visits + 1 WHERE id = %s", instance.pk)

    models.signals.post_save.connect(count_visit, sender=Account)
    try:
        account.holder = "Bob"
        account.save()
    finally:
        models.signals.post_save.disconnect(count_visit, sender=Account)
    assert [changes for _action, _key, changes in told()] == [{"holder": ("Ada", "Bob")}, {"visits": (0, 1)}]


def test_ignored_conflicts_are_allowed_where_the_database_tells(
    account: Account, told: Ask, acme: Organization
) -> None:
    twin = Account(pk=account.pk, organization=acme, holder="Twin")
    Account.objects.bulk_create([twin, Account(organization=acme, holder="New")], ignore_conflicts=True)
    [(action, _key, changes)] = told()
    assert (action, changes["holder"]) == ("data.record.created", (None, "New"))


def test_the_actor_is_the_role_or_who_the_context_says(account: Account, acme: Organization, ada: Any) -> None:
    run(f"UPDATE {TABLE} SET visits = 1")
    with auditlog.context(actor=ada, on_behalf_of="user:9", ip="192.0.2.1"), database_context():
        run(f"UPDATE {TABLE} SET visits = 2")
    run(f"UPDATE {TABLE} SET visits = 3")
    found = list(Event.objects.for_tenant(acme).filter(action=UPDATED).order_by("recorded_at"))
    role = connection.settings_dict["USER"]
    assert [(event.actor_type, event.actor_id) for event in found] == [
        ("database", role),
        ("user", str(ada.pk)),
        ("database", role),
    ]
    told = found[1].disclosed()
    assert told["actor"]["name"] == "Ada Lovelace"
    assert told["on_behalf_of"] == {"type": "user", "id": "9"}
    assert told["context"] == {"ip": "192.0.2.1", "source": "database"}
    assert found[0].disclosed()["metadata"] == {"operation": "SQL UPDATE"}


def test_masked_and_secret_fields_are_named_without_values(account: Account, told: Ask) -> None:
    run(f"UPDATE {TABLE} SET iban = 'DE89370400440532013000', api_token = 'tok-12345'")
    assert told() == [(UPDATED, str(account.pk), {"iban": "redacted", "api_token": "redacted"})]


@pytest.mark.parametrize(
    "secret",
    [
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0123456789abcdefghij0123",
        "sk_live_0123456789abcdef",
        "Bearer abcdefghijklmnop0123",
        "4111 1111 1111 1111",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----",
    ],
    ids=lambda secret: secret[:8],
)
def test_what_looks_like_a_secret_is_left_out(account: Account, acme: Organization, secret: str) -> None:
    run(f"UPDATE {TABLE} SET holder = %s, data = jsonb_build_object('note', %s::text)", f"key {secret} end", secret)
    event = Event.objects.for_tenant(acme).get(action=UPDATED)
    assert secret not in event.disclosures
    assert secret.replace("\n", "\\n") not in event.disclosures
    assert "[redacted]" in event.disclosures


def test_a_secret_inside_a_json_value_leaves_text_that_can_be_read(account: Account, told: Ask) -> None:
    run(f"UPDATE {TABLE} SET data = %s::jsonb", '{"card": 4111111111111111, "list": [1]}')
    [(_action, _key, changes)] = told()
    assert changes["data"][1] == '{"card": [redacted], "list": [1]}'


def test_values_of_every_kind_are_readable(account: Account, told: Ask) -> None:
    text = 'quote " backslash \\ line\nend \u2028 \U0001f600' + "x" * 2000
    run(
        f"UPDATE {TABLE} SET holder = left(%s, 100), data = %s::jsonb, scan = 'abc', opened_at = '2026-01-02 03:04:05+00'",
        text,
        '{"a": [1, 2.5, null]}',
    )
    [(_action, _key, changes)] = told()
    assert changes["holder"][1] == text[:100]
    assert changes["data"] == ({}, {"a": [1, 2.5, None]})
    assert changes["scan"][1] == "3 bytes, SHA-256 ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert changes["opened_at"][1].startswith("2026-01-02T03:04:05")


def test_what_a_trigger_wrote_is_appended_and_verifies(account: Account, acme: Organization) -> None:
    for visits in range(5):
        run(f"UPDATE {TABLE} SET visits = %s, holder = %s", visits + 1, f"Ö{visits}")
    append_now()
    report = auditlog.verify(acme)
    assert (report.verdict, report.findings) == ("VALID", ())
    assert [event.changes[0]["field"] for event in auditlog.list(acme, action=UPDATED)] == ["holder"] * 5


def test_a_rollback_takes_event_and_change_along(account: Account, told: Ask) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        run(f"UPDATE {TABLE} SET visits = 9")
        raise ZeroDivisionError
    assert told() == []


def test_truncate_is_one_event_for_each_tenant(account: Account, acme: Organization, globex: Organization) -> None:
    Account.objects.create(organization=acme, holder="Second")
    Account.objects.create(organization=globex, holder="Third")
    run("SET CONSTRAINTS ALL IMMEDIATE")
    run(f"TRUNCATE {TABLE}")
    counts = {
        event.tenant: event.disclosed()["metadata"]["count"]
        for event in Event.objects.filter(action="data.bulk_deleted")
    }
    assert counts == {str(acme.pk): 2, str(globex.pk): 1}


def test_a_row_without_a_tenant_is_refused(account: Account, told: Ask) -> None:
    one = next(one for one in TRACKED if one.model is Account)
    tenant, one.tenant = one.tenant, None
    run("SET CONSTRAINTS ALL IMMEDIATE")
    try:
        triggers.install(connection)
        with pytest.raises(DatabaseError, match="got no tenant"), transaction.atomic():
            run(f"UPDATE {TABLE} SET visits = 9")
        with auditlog.context(tenant="elsewhere"), database_context():
            run(f"UPDATE {TABLE} SET visits = 9")
    finally:
        one.tenant = tenant
        triggers.install(connection)
    assert [key for _action, key, _changes in told(tenant="elsewhere")] == [str(account.pk)]


@pytest.fixture
def _reinstalled() -> Iterator[None]:
    yield
    triggers.install(connection)


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (f"DROP TRIGGER auditkit_capture ON {TABLE}", "trigger auditkit_capture on tracked_account is missing"),
        (f"ALTER TABLE {TABLE} DISABLE TRIGGER auditkit_capture_truncate", "is disabled"),
        (
            "CREATE OR REPLACE FUNCTION auditkit_django_capture() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN RETURN NULL; END'",
            "function auditkit_django_capture is not the one installed",
        ),
    ],
    ids=["dropped", "disabled", "function replaced"],
)
def test_a_trigger_that_was_taken_away_or_altered_is_found_and_put_back(
    damage: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(damage)
    assert [message.id for message in check_database(None, databases=["default"])] == ["auditkit.E011"]
    with pytest.raises(SystemExit, match="1"):
        call_command("auditkit_triggers")
    assert says in capsys.readouterr().err
    call_command("auditkit_triggers", "--install")
    assert "tests.tracked.Account" not in capsys.readouterr().err
    assert triggers.problems(connection) == []


def test_triggers_can_be_removed(account: Account, told: Ask) -> None:
    call_command("auditkit_triggers", "--remove")
    run(f"UPDATE {TABLE} SET visits = 9")
    assert told() == []
    assert len(triggers.problems(connection)) > 1


@pytest.mark.parametrize(
    ("model", "options"),
    [(Share, {"tenant": "document.organization"}), (DocumentProxy, {"tenant": lambda one: "t"})],
    ids=["path", "callable"],
)
def test_a_tenant_that_no_column_holds_is_refused(model: Any, options: dict[str, Any]) -> None:
    track(triggers=True, **options)(model)
    try:
        with pytest.raises(ImproperlyConfigured, match="wanted a column of the model's own table"):
            triggers.install(connection)
    finally:
        unwatch(TRACKED.pop().watch)


def test_on_sqlite_a_check_says_that_raw_sql_is_not_seen(is_postgresql: bool, settings: SettingsWrapper) -> None:
    if is_postgresql:
        pytest.skip("SQLite alone says so")
    assert [message.id for message in check_database(None, databases=["default"])] == ["auditkit.W011"]
