"""Connects every hook; called once by the app config."""

from __future__ import annotations

from django.apps import apps
from django.db.models.signals import post_migrate


def connect() -> None:
    """Finish what ``@track`` began before all models were there, then connect auth and packs."""
    from auditkit_django.hooks import packs, repeated_reads
    from auditkit_django.hooks.tracking import decorator, triggers

    for tracked in decorator.TRACKED:
        decorator.finish(tracked)
    post_migrate.connect(
        triggers.install_after_migrate,
        sender=apps.get_app_config("auditkit_django"),
        dispatch_uid="auditkit_django.triggers",
    )
    if apps.is_installed("django.contrib.auth"):
        from auditkit_django.hooks import auth

        auth.connect()
    packs.connect()
    repeated_reads.connect()
