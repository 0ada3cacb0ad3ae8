"""Connects every hook; called once by the app config."""

from __future__ import annotations

from django.apps import apps


def connect() -> None:
    """Finish what ``@track`` began before all models were there, then connect auth and packs."""
    from auditkit_django.hooks import packs
    from auditkit_django.hooks.tracking import decorator

    for tracked in decorator.TRACKED:
        decorator.finish(tracked)
    if apps.is_installed("django.contrib.auth"):
        from auditkit_django.hooks import auth

        auth.connect()
    packs.connect()
