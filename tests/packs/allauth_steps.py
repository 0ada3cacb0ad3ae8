"""Steps of a person in allauth's pages, and what the log says of them."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from allauth.mfa.totp.internal.auth import format_hotp_value, hotp_value
from django.core import mail
from django.http import HttpResponse
from django.test import Client

PASSWORD = "correct horse"

Recorded = Callable[..., list[dict[str, Any]]]


def since_now(recorded: Recorded) -> Recorded:
    """What is recorded from now on: guardian makes its anonymous user when it migrates, before any test."""
    before = recorded()
    return lambda **filters: [event for event in recorded(**filters) if event not in before]


def told(events: Iterable[dict[str, Any]]) -> list[tuple[str, str, str | None]]:
    """Action, outcome and the actor's id of each."""
    return [(event["action"], event["outcome"], event["actor"].get("id")) for event in events]


def post(browser: Client, path: str, **fields: object) -> HttpResponse:
    """Submit a form; one that allauth shows again, because of an error, is status 200."""
    return browser.post(f"/accounts/{path}", fields)  # type: ignore[return-value]


def done(response: HttpResponse) -> str:
    """Where the accepted form leads."""
    assert response.status_code == 302, response.content.decode()[-2000:]
    return response["Location"]


def sign_up(browser: Client, name: str = "ada", password: str = PASSWORD) -> None:
    done(post(browser, "signup/", username=name, email=f"{name}@example.org", password1=password, password2=password))


def sign_in(browser: Client, login: str, password: str = PASSWORD) -> str:
    return done(post(browser, "login/", login=login, password=password))


def sign_out(browser: Client) -> None:
    done(post(browser, "logout/"))


def reauthenticate(browser: Client, password: str = PASSWORD) -> None:
    done(post(browser, "reauthenticate/", password=password))


def link_in_mail(pattern: str) -> str:
    """Path of the link in the latest mail that has one."""
    for message in reversed(mail.outbox):
        if found := re.search(rf"https?://[^/]+(/accounts/{pattern}\S*)", str(message.body)):
            return found[1]
    raise AssertionError(f"no mail has a link to {pattern}")


def confirm_address(browser: Client) -> None:
    done(browser.post(link_in_mail("confirm-email/")))  # type: ignore[arg-type]


def reset_password(browser: Client, email: str, password: str) -> None:
    done(post(browser, "password/reset/", email=email))
    form = done(browser.get(link_in_mail("password/reset/key/")))  # type: ignore[arg-type]
    done(browser.post(form, {"password1": password, "password2": password}))  # type: ignore[arg-type]


def code_of(secret: str, *, is_right: bool = True) -> str:
    """The TOTP code of now, or one that is not."""
    value = hotp_value(secret, int(time.time()) // 30)
    return format_hotp_value(value if is_right else (value + 1) % 1_000_000)


def add_totp(browser: Client) -> str:
    """Enrol an authenticator app of a person who has just reauthenticated; its secret."""
    assert browser.get("/accounts/2fa/totp/activate/").status_code == 200
    secret = str(browser.session["mfa.totp.secret"])
    done(post(browser, "2fa/totp/activate/", code=code_of(secret)))
    return secret
