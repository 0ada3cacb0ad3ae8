"""A hundred seeded secrets through every path into the log, and none of them anywhere in it (S29, S30)."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory

from auditkit_django import audited, auditlog
from auditkit_django.testing import append_now
from tests.support.secrets import SECRETS, needle
from tests.tracked.models import Account, Document

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

    from tests.host.models import Organization

pytestmark = pytest.mark.django_db

_TABLES = ("event", "entry", "pending", "log")


def _everything() -> str:
    """Every value of every row of the log's tables, as text."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for table in _TABLES:
            cursor.execute(f"SELECT * FROM auditkit_django_{table}")
            for row in cursor.fetchall():
                found += [
                    bytes(one).decode("latin-1") if isinstance(one, (bytes, memoryview)) else str(one) for one in row
                ]
    return "\n".join(found)


def _assert_nowhere(others: Iterable[str] = (), *, at_least: int) -> None:
    append_now()
    text = _everything()
    assert [secret for secret in (*map(needle, SECRETS), *others) if secret in text] == []
    assert text.count("redacted") >= at_least, "too little was recorded to prove anything"


def test_through_events_and_contexts(acme: Organization) -> None:
    for secret in SECRETS:
        with auditlog.context(tenant=acme, note=f"see {secret}", job=secret), auditlog.batch() as batch:
            auditlog.event(
                "org.updated",
                resource=auditlog.Target("file", "1", f"named {secret}"),
                actor=auditlog.Actor("user", "1", name=secret),
                metadata={"text": f"a {secret} b", "deep": [{"list": [secret]}], "password": secret[::-1] + secret},
                changes={"body": (secret, f"x {secret}"), "api_key": (secret, secret)},
            )
            batch.event("org.updated", metadata={secret: "as a key", "value": secret})
    _assert_nowhere(at_least=500)


def test_through_decorated_views(acme: Organization, rf: RequestFactory) -> None:
    @audited(
        "org.updated",
        tenant=acme,
        metadata={"body": "kwargs.body"},
        changes={"title": lambda call: (None, call.kwargs["body"])},
    )
    def view(request: HttpRequest, *, body: str) -> HttpResponse:
        if "AKIA" in body:
            raise ValueError(body)
        return HttpResponse(body)

    for secret in SECRETS:
        printable = secret.replace("\n", "")
        request = rf.post(f"/?q={printable}", {"form": secret}, HTTP_USER_AGENT=f"curl {printable}")
        with auditlog.context(request=request), suppress(ValueError):
            view(request, body=secret)
    _assert_nowhere(at_least=200)


def test_through_tracked_models(acme: Organization) -> None:
    for secret in SECRETS:
        document = Document(
            organization=acme, title=secret[:100], data={"note": secret}, api_token=secret[:80], iban="x"
        )
        document.save()
        document.title, document.api_token = f"now {secret}"[:100], secret[::-1][:80]
        document.save()
    made = Document.objects.bulk_create(
        [Document(organization=acme, title=secret[:100], iban=secret[:40]) for secret in SECRETS]
    )
    for document in made:
        document.title = f"then {document.title}"[:100]
    Document.objects.bulk_update(made, ["title"])
    for secret in SECRETS:
        Document.objects.filter(pk=made[0].pk).update(title=f"again {secret}"[:100], api_token=secret[:80])
    Document.objects.all().delete()
    _assert_nowhere(at_least=1000)


def test_through_triggers(acme: Organization, is_postgresql: bool) -> None:
    if not is_postgresql:
        pytest.skip("triggers are PostgreSQL's")
    account = Account.objects.create(organization=acme, holder="Ada")
    with connection.cursor() as cursor:
        for secret in SECRETS:
            cursor.execute(
                "UPDATE tracked_account SET holder = %s, api_token = %s, iban = %s, data = jsonb_build_object('a', %s::text)"
                " WHERE id = %s",
                [f"by {secret}"[:100], secret[:80], secret[:40], secret, account.pk],
            )
    _assert_nowhere(at_least=300)


def test_through_the_auth_hooks(acme: Organization, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "HOOKS_OFF": ()}
    for number, secret in enumerate(SECRETS):
        user = User.objects.create_user(f"user{number}", password=secret)
        user.set_password(secret + "x")
        user.save()
        authenticate(username=secret[:150], password=secret)
        authenticate(username=user.username, password=f"wrong {secret}")
    auditlog.event("org.updated", tenant=acme, metadata={"password": "seen"})
    _assert_nowhere(User.objects.values_list("password", flat=True), at_least=1)
