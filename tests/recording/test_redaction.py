"""No secret reaches the database, whichever way it comes in (S29)."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client

from auditkit_django import auditlog
from auditkit_django.recording.redaction import REDACTED, is_secret_name, redact
from tests.host.models import Organization
from tests.recording import recorded
from tests.support.secrets import SECRETS, needle


def _database_text() -> str:
    """Every column of every row of every table, as text."""
    found: list[str] = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            found += [_text(value) for row in cursor.fetchall() for value in row]
    return "\n".join(found)


def _text(value: Any) -> str:
    return bytes(value).decode("utf-8", "replace") if isinstance(value, (bytes, memoryview)) else str(value)


def test_a_hundred_secrets_are_sought() -> None:
    assert len(set(SECRETS)) == 100
    assert len({needle(secret) for secret in SECRETS}) == 100


@pytest.mark.django_db(transaction=True)
def test_no_secret_is_in_any_column_of_the_database(client: Client, acme: Organization, ada: Any) -> None:
    for secret in SECRETS:
        auditlog.event(
            "member.invited",
            tenant=acme,
            actor=auditlog.Actor("user", "7", f"Eve {secret}", f"{secret}@example.org"),
            resource=auditlog.Target("invoice", "1", secret),
            targets=[auditlog.Target("invoice", "2", f"of {secret}")],
            on_behalf_of=auditlog.Actor("user", "8", secret),
            metadata={
                "note": f"used {secret} there",
                "list": [secret, {"deep": (secret,)}],
                secret: 1,
                "password": "p",
            },
            changes={"field": (secret, f"new {secret}"), f"of {secret}"[:100]: (1, 2), "nested": ({"a": secret}, None)},
        )
        with auditlog.context(tenant=acme, source=secret, user_agent=f"agent {secret}"):
            auditlog.event("member.invited")
        with auditlog.batch() as batch:
            batch.event(
                "member.invited", tenant=acme, metadata={"x": secret}, resource=auditlog.Target("a", "1", secret)
            )
    client.force_login(ada)
    for secret in SECRETS:
        path = f"/o/acme/reset/{secret.replace('/', '_').replace(chr(10), '')}/"
        response = client.get(path, headers={"user-agent": f"curl {secret}".replace("\n", " "), "x-request-id": secret})
        assert response.status_code == 200
    text = _database_text()
    assert "Eve [redacted]" in text, "the search must see what was written"
    assert [secret for secret in SECRETS if needle(secret) in text] == []


@pytest.mark.django_db
def test_exports_hold_no_secret_either(acme: Organization) -> None:
    for secret in SECRETS:
        auditlog.event("member.invited", tenant=acme, metadata={"note": secret, "token": secret})
    for form in ("csv", "jsonl"):
        text = b"".join(auditlog.export_evidence(acme, format=form, include_chain_proof=False)).decode()  # type: ignore[arg-type]
        assert REDACTED in text
        assert [secret for secret in SECRETS if needle(secret) in text] == []


@pytest.mark.parametrize(
    "name",
    [
        "password", "PASSWORD", "new_password", "Pass-Word", "passwd", "client_secret", "clientSecret", "token", "accessToken",
        "refresh-token", "Authorization", "cookie", "Set-Cookie", "api_key", "API-KEY", "x-api-key", "card", "card_number",
        "cvv", "ssn", "pin", "otp", "jwt", "private_key", "session_key", "recovery_codes_backup_code", "db.password",
    ],
)  # fmt: skip
def test_values_under_secret_names_are_redacted(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize(
    "name", ["token_id", "password_changed_at", "api_key_name", "role", "pinned", "spinner", "passenger"]
)
def test_names_that_only_resemble_secrets_are_kept(name: str) -> None:
    assert not is_secret_name(name)


@pytest.mark.parametrize(
    "text",
    [
        "4111111111111112",  # no Luhn
        "order 1234567890123",
        "2026-11-23 23:05:57",
        "basic plan",
        "https://example.org/path",
        "0199f4a2-7c7e-7abc-8def-0123456789ab",
    ],
)
def test_plain_values_are_kept(text: str) -> None:
    assert redact(text) == text


def test_the_password_in_a_url_is_redacted() -> None:
    assert redact("postgres://ada:hunter2@db.example.org/x") == "postgres://[redacted]@db.example.org/x"


@pytest.mark.django_db
def test_a_redaction_is_noted_with_its_path() -> None:
    event = recorded(metadata={"login": {"password": "hunter2"}, "note": SECRETS[2]}, changes={"api_key": ("a", "b")})
    assert event.metadata["login"] == {"password": REDACTED}
    assert event.metadata["_auditkit"]["redacted"] == ["changes.api_key", "metadata.login.password", "metadata.note"]
    assert event.changes == [{"field": "api_key", "redacted": True}]


@pytest.mark.django_db
def test_whether_a_secret_is_set_may_be_recorded() -> None:
    assert recorded(metadata={"password": None, "token": True}).metadata == {"password": None, "token": True}


@pytest.mark.django_db
def test_a_secret_across_the_limit_is_redacted_whole() -> None:
    url = "https://ada:hunter2hunter2@example.org"
    for cut in range(1, len(url)):
        note = recorded(metadata={"note": "x" * (8192 - cut) + url}).metadata["note"]
        assert "hunter2" not in note
        assert len(note) <= 8192


@pytest.mark.django_db
def test_hosts_add_names_and_patterns(settings: Any) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "REDACT_NAMES": ["Blood-Type"], "REDACT_PATTERNS": [r"EMP\d{4}"]}
    event = recorded(metadata={"blood_type": "A", "note": "EMP1234 left", "other": "EMP12"})
    assert event.metadata["blood_type"] == REDACTED
    assert event.metadata["note"] == f"{REDACTED} left"
    assert event.metadata["other"] == "EMP12"


@pytest.mark.django_db
def test_a_reset_token_in_the_path_is_redacted(client: Client, acme: Organization) -> None:
    client.get("/o/acme/reset/abc-123/")
    [event] = auditlog.list(acme)
    assert event.context["path"] == "/o/acme/reset/[redacted]/"


@pytest.mark.django_db
def test_the_query_string_and_the_session_key_are_never_recorded(client: Client, acme: Organization, ada: Any) -> None:
    client.force_login(ada)
    client.get("/o/acme/act/?code=topsecret")
    [event] = auditlog.list(acme)
    assert event.context["path"] == "/o/acme/act/"
    assert len(event.context["session"]) == 32
    assert client.session.session_key not in str(event.context)
