"""Tokens of Django REST framework's ``authtoken``."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rest_framework.authtoken.models import Token

from auditkit_django.models import Event

if TYPE_CHECKING:
    from django.contrib.auth.models import User


def test_a_token_made_and_taken_away_is_recorded_without_the_token(
    ada: User, recorded: Callable[..., list[dict[str, Any]]]
) -> None:
    token = Token.objects.create(user=ada)
    Token.objects.filter(user=ada).delete()
    made, taken = recorded(only="apikey")
    assert (made["action"], taken["action"]) == ("apikey.created", "apikey.revoked")
    assert made["targets"] == taken["targets"] == [{"type": "token", "id": f"user:{ada.pk}", "name": "token of ada"}]
    assert not any(token.key in event.disclosures for event in Event.objects.all())
