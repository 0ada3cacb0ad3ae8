"""
``django-two-factor-auth``: which factor a phone is.

Everything else is told by ``otp``: phones, keys and backup codes are its devices, the forms of sign-in are its forms.
"""

from __future__ import annotations

from django.apps import apps

from auditkit_django.hooks.packs.otp import name_factor

HOOK = "two_factor"

_PHONES = "two_factor.plugins.phonenumber"


def connect() -> None:
    """Have phones told as "sms" or "call", whichever they were enrolled for."""
    if apps.is_installed(_PHONES):
        from two_factor.plugins.phonenumber.models import PhoneDevice

        name_factor(PhoneDevice, lambda device: device.method or "phone")
