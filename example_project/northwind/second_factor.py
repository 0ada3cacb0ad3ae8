"""The second step of signing in: the device that makes a user's codes, and who waits between password and code."""

from __future__ import annotations

import time
from base64 import b32encode
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import User
from django.http import HttpRequest
from django_otp.plugins.otp_totp.models import TOTPDevice

_KEY = "northwind_waits_for_code"
#: How long the password stays good without the code.
_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Somebody who gave the right password, and is not signed in."""

    user: User
    backend: str
    device: Any
    next_page: str


def device_of(user: User, *, confirmed: bool = True) -> Any:
    """The user's ``TOTPDevice``, or None; with ``confirmed=False`` the one that is being set up."""
    return TOTPDevice.objects.devices_for_user(user, confirmed=confirmed).first()


def set_up(user: User) -> None:
    """A new device in place of one that nobody confirmed. It counts from its first right code on."""
    TOTPDevice.objects.devices_for_user(user, confirmed=False).delete()
    TOTPDevice.objects.create(user=user, name="Authenticator app", confirmed=False)


def secret_of(device: Any) -> str:
    """The device's secret as people type it: groups of four."""
    text = b32encode(device.bin_key).decode()
    return " ".join(text[place : place + 4] for place in range(0, len(text), 4))


def ask_for_code(request: HttpRequest, user: User, *, next_page: str) -> None:
    """Keep in the session that the password was right."""
    request.session[_KEY] = {"user": user.pk, "backend": user.backend, "next": next_page, "at": time.time()}


def waiting(request: HttpRequest) -> Waiting | None:
    """Who gave the password a moment ago in this session."""
    kept = request.session.get(_KEY)
    if kept is None or time.time() - kept["at"] > _SECONDS:
        return None
    user = User.objects.filter(pk=kept["user"], is_active=True).first()
    device = None if user is None else device_of(user)
    if user is None or device is None:
        return None
    return Waiting(user=user, backend=kept["backend"], device=device, next_page=kept["next"])


def has_arrived(request: HttpRequest) -> None:
    """The code was right: nothing is left to wait for."""
    request.session.pop(_KEY, None)
