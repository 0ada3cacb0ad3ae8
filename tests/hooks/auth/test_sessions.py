"""Sessions that somebody ends for somebody."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

pytestmark = pytest.mark.django_db
Ask = Callable[..., list[Any]]


@pytest.fixture
def phone(ada: User, told: Ask) -> Client:
    """Another device on which ada is signed in."""
    client = Client()
    client.force_login(ada)
    told()
    return client


@pytest.mark.parametrize("way", ["queryset", "instance", "store"])
def test_a_session_ended_from_elsewhere_is_revoked(phone: Client, ada: User, told: Ask, way: str) -> None:
    key = phone.session.session_key
    if way == "queryset":
        Session.objects.filter(session_key=key).delete()
    elif way == "instance":
        Session.objects.get(session_key=key).delete()
    else:
        phone.session.flush()
    [event] = told(full=True)
    assert (event.action, event.target_id) == ("session.revoked", str(ada.pk))
    assert key not in event.disclosures


def test_signing_out_and_changing_the_password_revoke_nothing(ada: User, client: Client, told: Ask) -> None:
    User.objects.update(is_staff=True)
    client.force_login(ada)
    told()
    new = "quiet-harbor-42"
    client.post(
        "/admin/password_change/", {"old_password": "correct horse", "new_password1": new, "new_password2": new}
    )
    client.post("/admin/logout/")
    assert [action for action, *_rest in told()] == ["auth.password.changed", "auth.logout"]


def test_anonymous_and_expired_sessions_are_nobodys(phone: Client, told: Ask) -> None:
    Client().session.save()
    Session.objects.filter(session_key=phone.session.session_key).update(expire_date=timezone.now() - timedelta(days=1))
    Session.objects.all().delete()
    assert told() == []


def test_cleaning_up_expired_sessions_does_not_load_them(phone: Client, told: Ask) -> None:
    Session.objects.update(expire_date=timezone.now() - timedelta(days=1))
    with CaptureQueriesContext(connection) as queries:
        call_command("clearsessions")
    reads = [query["sql"] for query in queries if query["sql"].startswith("SELECT")]
    assert len(reads) == 1, reads
    assert told() == []
    assert not Session.objects.exists()
