"""The one place that knows every room: connects hooks and registers checks."""

from __future__ import annotations

from django.apps import AppConfig
from django.utils.translation import gettext_lazy as _


class AuditkitConfig(AppConfig):
    """``INSTALLED_APPS = [..., "auditkit_django"]``."""

    name = "auditkit_django"
    label = "auditkit_django"
    verbose_name = _("Audit log")
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from auditkit_django import checks  # noqa: F401  (registers the system checks)
        from auditkit_django.hooks import wiring as hooks
        from auditkit_django.log import heartbeat, seal
        from auditkit_django.publishing import chore as publishing
        from auditkit_django.recording import wiring as recording

        # In this order: a heartbeat is sealed in the same round.
        heartbeat.connect()
        seal.connect()
        publishing.connect()
        recording.connect()
        hooks.connect()
