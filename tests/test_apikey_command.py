"""``manage.py auditkit_apikey``: the key alone on standard output, and whose it is said each time."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from auditkit_django import auditlog
from auditkit_django.access.api_keys import grant_of_key
from auditkit_django.access.secrets import PATTERN
from auditkit_django.drafts import SYSTEM_TENANT
from auditkit_django.exceptions import AccessError
from auditkit_django.models import ApiKey

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> tuple[str, str]:
    """Output and errors."""
    out, err = StringIO(), StringIO()
    call_command("auditkit_apikey", *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def created(*arguments: str) -> str:
    return run("create", "billing", "--scope", "events:write", *arguments)[0].strip()


def test_create_prints_the_key_and_nothing_else() -> None:
    out, err = run(
        "create",
        "billing",
        "--tenant",
        "acme",
        "--scope",
        "export",
        "--scope",
        "events:read",
        "--network",
        "192.0.2.0/24",
    )
    assert re.fullmatch(PATTERN + "\n", out)
    assert out.strip() not in err
    grant = grant_of_key(out.strip(), address="192.0.2.1")
    assert (grant.tenant, grant.scopes) == ("acme", {"export", "events:read"})
    [event] = auditlog.list("acme", action="apikey.created")
    assert (event.actor or {})["type"] == "system"
    assert event.context["source"] == "command"


def test_a_key_of_the_installation_is_made_where_it_is_said() -> None:
    assert grant_of_key(created("--installation"), address=None).tenant is None
    assert len(auditlog.list(SYSTEM_TENANT, action="apikey.created")) == 1


@pytest.mark.parametrize(
    "what", [["create", "x", "--scope", "export"], ["list"], ["rotate", "12345678"], ["revoke", "12345678"]]
)
@pytest.mark.parametrize("whose", [[], ["--tenant", "acme", "--installation"]], ids=["nobody", "both"])
def test_whose_key_it_is_has_to_be_said(what: list[str], whose: list[str]) -> None:
    with pytest.raises(CommandError, match="--installation"):
        run(*what, *whose)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["--tenant", "acme", "--network", "nowhere"], "networks"),
        (["--tenant", "acme", "--expires", "tomorrow"], "expires: got 'tomorrow'"),
        (["--tenant", "acme", "--expires", "2001-01-01T00:00:00Z"], "expires_at"),
        (["--tenant", ""], "tenant"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], wanted: str) -> None:
    with pytest.raises(CommandError, match=wanted):
        created(*arguments)
    assert not ApiKey.objects.exists()


def test_list_shows_one_tenant_s_keys() -> None:
    created("--tenant", "acme")
    created("--tenant", "globex")
    own, foreign = ApiKey.objects.get(tenant="acme"), ApiKey.objects.get(tenant="globex")
    out, _err = run("list", "--tenant", "acme")
    assert own.prefix in out
    assert foreign.prefix not in out
    [found] = json.loads(run("list", "--tenant", "acme", "--json")[0])
    assert (found["prefix"], found["state"], found["scopes"]) == (own.prefix, "valid", ["events:write"])
    assert "digest" not in found
    assert json.loads(run("list", "--installation", "--json")[0]) == []


def test_rotate_prints_the_successor_alone() -> None:
    old = created("--tenant", "acme")
    prefix = ApiKey.objects.get().prefix
    out, err = run("rotate", prefix, "--tenant", "acme", "--overlap-hours", "0")
    assert re.fullmatch(PATTERN + "\n", out)
    assert prefix in err
    assert grant_of_key(out.strip(), address=None).tenant == "acme"
    with pytest.raises(AccessError, match="expired"):
        grant_of_key(old, address=None)
    with pytest.raises(CommandError, match="expired"):
        run("rotate", prefix, "--tenant", "acme")


def test_revoke_says_so_and_records_why() -> None:
    secret = created("--tenant", "acme")
    out, err = run("revoke", ApiKey.objects.get().prefix, "--tenant", "acme", "--reason", "lost")
    assert out == ""
    assert "revoked" in err
    with pytest.raises(AccessError, match="revoked"):
        grant_of_key(secret, address=None)
    [event] = auditlog.list("acme", action="apikey.revoked")
    assert event.metadata == {"reason": "lost"}


@pytest.mark.parametrize("what", ["rotate", "revoke"])
@pytest.mark.parametrize("whose", [["--tenant", "globex"], ["--installation"]], ids=["another tenant", "installation"])
def test_a_foreign_key_is_not_found(what: str, whose: list[str]) -> None:
    secret = created("--tenant", "acme")
    prefix = ApiKey.objects.get().prefix
    args: Any = [what, prefix, *whose]
    with pytest.raises(CommandError, match="wanted that of a key of"):
        run(*args)
    assert grant_of_key(secret, address=None).tenant == "acme"
