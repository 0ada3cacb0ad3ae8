"""Constance: settings changed in the admin, by command and in code, under each of its backends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from constance import config
from constance.backends import Backend
from constance.backends.database import DatabaseBackend
from constance.backends.memory import MemoryBackend
from constance.codecs import register_type
from constance.forms import ConstanceForm
from constance.models import Constance
from constance.utils import get_values
from django.core.management import call_command
from django.db import transaction

from auditkit_django.hooks.packs import constance
from auditkit_django.models import Event

if TYPE_CHECKING:
    from django.contrib.auth.models import User
    from django.test import Client

Recorded = Callable[..., list[dict[str, Any]]]

pytestmark = pytest.mark.django_db

_SECRET = "hunter2-is-no-password"


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Backend], None]:
    """Make Constance keep its values elsewhere."""

    def replace(backend: Backend) -> None:
        assert config._backend is not None, "the lazy object is set up"
        monkeypatch.setattr(config._wrapped, "_backend", backend)

    return replace


@pytest.fixture
def in_memory(use: Callable[[Backend], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that is not the database: it has nothing but the signal."""
    monkeypatch.setattr(MemoryBackend, "_storage", {})
    use(MemoryBackend())


def _changes(recorded: Recorded) -> list[dict[str, Any]]:
    return [change for event in recorded(only="config") for change in event["changes"]]


def test_a_setting_changed_is_recorded_with_old_and_new_value(recorded: Recorded) -> None:
    config.MAX_SEATS = 25
    config.MAX_SEATS = 50
    first, second = recorded(only="config")
    assert (first["action"], first["tenant"]) == ("config.updated", "system")
    assert first["targets"] == [{"type": "setting", "id": "MAX_SEATS", "name": "MAX_SEATS"}]
    # Nothing was stored before, and the default held.
    assert first["changes"] == [{"field": "MAX_SEATS", "old": 10, "new": 25}]
    assert second["changes"] == [{"field": "MAX_SEATS", "old": 25, "new": 50}]


def test_reading_a_setting_for_the_first_time_is_no_change(recorded: Recorded) -> None:
    assert config.MAX_SEATS == 10
    assert Constance.objects.filter(key="MAX_SEATS").exists(), "reading stores the default"
    assert recorded(only="config") == []


def test_the_same_value_again_is_no_change(recorded: Recorded) -> None:
    config.MAX_SEATS = 25
    config.MAX_SEATS = 25
    assert len(recorded(only="config")) == 1


def test_a_secret_by_its_name_is_not_recorded(recorded: Recorded) -> None:
    config.SMTP_PASSWORD = _SECRET
    config.SMTP_PASSWORD = f"{_SECRET}-2"
    assert _changes(recorded) == [{"field": "SMTP_PASSWORD", "redacted": True}] * 2
    assert not any(_SECRET in event.disclosures for event in Event.objects.all())


def test_a_secret_by_its_form_field_is_not_recorded(recorded: Recorded) -> None:
    config.LICENCE = _SECRET
    assert _changes(recorded) == [{"field": "LICENCE", "redacted": True}]
    assert not any(_SECRET in event.disclosures for event in Event.objects.all())


def test_the_admin_is_recorded_with_who_changed_it(
    client: Client, make_user: Callable[..., User], recorded: Recorded
) -> None:
    client.force_login(make_user("root", is_staff=True, is_superuser=True))
    version = ConstanceForm(initial=get_values()).initial["version"]
    given = {"version": version, "MAX_SEATS": "7", "SMTP_PASSWORD": _SECRET, "LICENCE": ""}
    assert client.post("/admin/constance/config/", given).status_code == 302
    found = {event["targets"][0]["id"]: event for event in recorded(only="config")}
    assert found.keys() == {"MAX_SEATS", "SIGN_UP_OPEN", "SMTP_PASSWORD"}
    assert found["MAX_SEATS"]["actor"]["name"] == "root"
    assert found["SIGN_UP_OPEN"]["changes"] == [{"field": "SIGN_UP_OPEN", "old": True, "new": False}]
    assert not any(_SECRET in event.disclosures for event in Event.objects.all())


def test_the_command_is_recorded(recorded: Recorded) -> None:
    call_command("constance", "set", "MAX_SEATS", "3")
    assert _changes(recorded) == [{"field": "MAX_SEATS", "old": 10, "new": 3}]


def test_a_row_taken_away_puts_the_default_back(recorded: Recorded) -> None:
    config.MAX_SEATS = 25
    Constance.objects.all().delete()
    assert _changes(recorded)[1] == {"field": "MAX_SEATS", "old": 25, "new": 10}


def test_stale_keys_are_nobodys_settings(recorded: Recorded, capsys: Any) -> None:
    Constance.objects.create(key="GONE", value='{"__type__": "default", "__value__": 1}')
    call_command("constance", "remove_stale_keys")
    assert not Constance.objects.exists()
    assert recorded(only="config") == []


def test_change_and_event_are_rolled_back_together(recorded: Recorded) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        config.MAX_SEATS = 25
        raise ZeroDivisionError
    assert config.MAX_SEATS == 10
    assert recorded(only="config") == []


def test_the_prefix_of_the_database_is_not_part_of_the_name(
    use: Callable[[Backend], None], recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("constance.settings.DATABASE_PREFIX", "constance:")
    use(DatabaseBackend())
    config.MAX_SEATS = 25
    assert Constance.objects.get().key == "constance:MAX_SEATS"
    assert _changes(recorded) == [{"field": "MAX_SEATS", "old": 10, "new": 25}]


def test_without_the_database_the_signal_is_heard(in_memory: None, recorded: Recorded) -> None:
    assert config.MAX_SEATS == 10
    config.MAX_SEATS = 25
    config.SMTP_PASSWORD = _SECRET
    assert not Constance.objects.exists()
    assert _changes(recorded) == [
        {"field": "MAX_SEATS", "old": 10, "new": 25},
        {"field": "SMTP_PASSWORD", "redacted": True},
    ]
    assert not any(_SECRET in event.disclosures for event in Event.objects.all())


@pytest.mark.django_db(transaction=True)
def test_asynchronous_code_is_recorded(recorded: Recorded) -> None:
    async_to_sync(config.aset)("MAX_SEATS", 25)
    assert _changes(recorded) == [{"field": "MAX_SEATS", "old": 10, "new": 25}]


@pytest.mark.django_db(transaction=True)
def test_a_signal_sent_in_the_event_loop_is_recorded(in_memory: None, recorded: Recorded) -> None:
    async def change() -> int:
        await config.aset("MAX_SEATS", 25)
        # Before the caller goes on.
        return await sync_to_async(lambda: len(recorded(only="config")))()

    assert async_to_sync(change)() == 1
    assert _changes(recorded) == [{"field": "MAX_SEATS", "old": 10, "new": 25}]


class Money:
    """A type that only the project knows."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Money) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


register_type(Money, "money", str, Money)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param(Decimal("9.90"), "9.90", id="decimal"),
        pytest.param(timedelta(hours=1), "1:00:00", id="duration"),
        pytest.param({"seats": [1, 2]}, {"seats": [1, 2]}, id="JSON"),
        pytest.param({"api_key": _SECRET}, {"api_key": "[redacted]"}, id="JSON with a secret"),
        pytest.param(Money("5 EUR"), "5 EUR", id="the project's own"),
    ],
)
def test_any_type_that_can_be_stored_can_be_recorded(value: Any, shown: Any, recorded: Recorded) -> None:
    config.MAX_SEATS = value
    assert _changes(recorded) == [{"field": "MAX_SEATS", "old": 10, "new": shown}]


def test_connecting_again_changes_nothing(recorded: Recorded) -> None:
    constance.connect()
    config.MAX_SEATS = 25
    assert len(recorded(only="config")) == 1


def test_switched_off_it_records_nothing(recorded: Recorded, settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ["constance"]}
    config.MAX_SEATS = 25
    assert recorded(only="config") == []
