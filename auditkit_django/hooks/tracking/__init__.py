"""
Changes of models, recorded with old and new values, on every path of the ORM.

``decorator`` has ``@track``; ``watching`` is the engine under it, which the auth hooks and packs use too.
"""

from __future__ import annotations

from auditkit_django.hooks.tracking.decorator import track
from auditkit_django.hooks.tracking.suspending import suspended
from auditkit_django.hooks.tracking.triggers import database_context

__all__ = ["database_context", "suspended", "track"]
