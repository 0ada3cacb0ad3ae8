"""What recording needs of Django's signals; called once by the app config."""

from __future__ import annotations

import atexit

from django.core.signals import request_finished

from auditkit_django import actions
from auditkit_django.conf import settings
from auditkit_django.recording.survival import ORPHANS


def connect() -> None:
    """Register the host's actions and settle survivors that no context waits for."""
    for name, fields in settings.ACTIONS.items():
        actions.register(name, **fields)
    request_finished.connect(_settle_orphans, dispatch_uid="auditkit_django.survivors")
    atexit.register(_settle_orphans)


def _settle_orphans(**_kwargs: object) -> None:
    if ORPHANS:
        ORPHANS.settle()
