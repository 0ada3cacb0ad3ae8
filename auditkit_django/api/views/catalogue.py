"""What may be recorded, whether the server is well, and what is not there."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any, Final

from django.db import connections, router
from rest_framework.request import Request
from rest_framework.response import Response

from auditkit_django import actions
from auditkit_django.api import described
from auditkit_django.api.base import ApiView
from auditkit_django.api.problems import not_found
from auditkit_django.conf import settings
from auditkit_django.log.health import health
from auditkit_django.models import Event

_SECONDS: Final = 5


class Actions(ApiView):
    """The catalogue of actions."""

    @described.list_actions
    def get(self, request: Request, **kwargs: Any) -> Response:
        found = [
            {
                "name": action.name,
                "category": action.category,
                "severity": action.severity,
                "outcome": action.outcome,
                "description": action.description,
                "aliases": list(action.aliases),
            }
            for action in actions.all_actions()
        ]
        return Response({"actions": found})


class Health(ApiView):
    """Whether events can be recorded. Nobody has to say who they are, and nobody learns of a tenant."""

    is_public = True

    @described.read_health
    def get(self, request: Request, **kwargs: Any) -> Response:
        with connections[router.db_for_write(Event)].cursor() as cursor:
            cursor.execute("SELECT 1")
        return Response({"status": "behind" if _is_behind(int(time.monotonic() // _SECONDS)) else "ok"})


@lru_cache(maxsize=1)
def _is_behind(moment: int) -> bool:
    """Looked at once in some seconds, however often somebody whom nobody knows asks."""
    return health().oldest_pending_age_seconds > settings.PENDING_MAX_AGE_SECONDS


class NotThere(ApiView):
    """Every other address below the version."""

    is_public = True
    schema = None  # type: ignore[assignment]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise not_found()

    def get(self, request: Request, **kwargs: Any) -> Response:
        raise not_found()
