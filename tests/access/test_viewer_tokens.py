"""Viewer tokens: what they grant, for how long, and that nobody makes one up."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.core import signing
from django.utils import timezone

from auditkit_django.access import viewer_tokens
from auditkit_django.access.grant import EXPORT, READ, WRITE
from auditkit_django.access.viewer_tokens import create_token, grant_of_token
from auditkit_django.exceptions import AccessError, MalformedError

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper


def refusal(token: str) -> str:
    with pytest.raises(AccessError) as caught:
        grant_of_token(token)
    assert not token or token not in str(caught.value)
    return caught.value.code


def test_a_token_grants_what_it_was_made_for() -> None:
    grant = grant_of_token(create_token("acme", viewer="user:42", scopes=[EXPORT, READ], only_actor="user:42"))
    assert (grant.tenant, grant.scopes, grant.only_actor) == ("acme", {READ, EXPORT}, "user:42")
    assert (grant.actor.type, grant.actor.id) == ("user", "42")


def test_two_tokens_are_counted_apart() -> None:
    tokens = [create_token("acme", viewer="user:42"), create_token("acme", viewer="user:43")]
    assert len({grant_of_token(token).bucket for token in tokens}) == 2
    assert not any(token in grant_of_token(token).bucket for token in tokens)


def test_an_actor_without_an_id_is_told_from_all() -> None:
    assert grant_of_token(create_token("acme", viewer="user:1", only_actor="system")).only_actor == "system:"
    assert grant_of_token(create_token("acme", viewer="user:1")).only_actor is None


def test_a_token_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    token = create_token("acme", viewer="user:42", expires_in=timedelta(minutes=5))
    now = timezone.now()
    monkeypatch.setattr(viewer_tokens.timezone, "now", lambda: now + timedelta(minutes=4, seconds=55))
    grant_of_token(token)
    monkeypatch.setattr(viewer_tokens.timezone, "now", lambda: now + timedelta(minutes=5, seconds=1))
    assert refusal(token) == "token_expired"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scopes": [WRITE]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"expires_in": timedelta(0)}, "expires_in"),
        ({"expires_in": timedelta(days=2)}, "expires_in"),
        ({"tenant": None}, "tenant"),
        ({"viewer": None}, "actor"),
    ],
)
def test_a_token_that_makes_no_sense_is_not_made(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MalformedError, match=message):
        create_token(options.pop("tenant", "acme"), viewer=options.pop("viewer", "user:1"), **options)


def test_no_changed_token_is_taken() -> None:
    token = create_token("acme", viewer="user:42", scopes=[READ, EXPORT])
    for at in range(len(viewer_tokens.PREFIX), len(token)):
        changed = token[:at] + ("b" if token[at] != "b" else "c") + token[at + 1 :]
        # The last character of a base64 text has bits that say nothing.
        assert changed == token or refusal(changed) == "token_malformed" or at == len(token) - 1
    for text in ("", "akv_", "akv_x", token[:-2], "akv_" + "x" * 5000):
        assert refusal(text) == "token_malformed"


def test_what_was_signed_for_something_else_is_no_token() -> None:
    said = {"t": "acme", "s": [READ], "a": ["user", "1", None], "o": None, "e": 9_999_999_999}
    assert refusal("akv_" + signing.dumps(said)) == "token_malformed"
    assert refusal("akv_" + signing.dumps(["x"], salt=viewer_tokens._SALT)) == "token_malformed"


def test_the_secret_key_may_be_rotated(settings: SettingsWrapper) -> None:
    token = create_token("acme", viewer="user:42")
    old, settings.SECRET_KEY = settings.SECRET_KEY, "another-" + "y" * 50
    assert refusal(token) == "token_malformed"
    settings.SECRET_KEY_FALLBACKS = [old]
    grant_of_token(token)
