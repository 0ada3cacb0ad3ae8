"""
Requests counted by the minute (S6), for each bearer and for each tenant, those that read, write and export apart; and keys that
were refused, for each address and prefix.

The counts are in ``CACHES[AUDITKIT["API_CACHE"]]``. Without one that all processes share each counts for itself.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from typing import Final

from django.core.cache import caches
from rest_framework.exceptions import Throttled
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from auditkit_django.access.grant import Grant
from auditkit_django.api.problems import ProblemError
from auditkit_django.conf import settings

logger = logging.getLogger("auditkit_django")

_WINDOW: Final = 60


class RateThrottle(BaseThrottle):
    """By ``AUDITKIT["API_RATES"]``; the view says with ``rate`` whether it reads, writes or exports."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        grant = request.auth
        kind = getattr(view, "rate", "read")
        limit = settings.API_RATES.get(kind)
        if limit is None or not isinstance(grant, Grant):
            return True
        tenant = grant.tenant or request.query_params.get("tenant")
        # Viewers are many, and counted apart: theirs must not be what a tenant's own keys lack.
        of = "viewers" if grant.bucket.startswith("token:") else "tenant"
        buckets = [grant.bucket] + ([f"{of}:{tenant}"] if tenant else [])
        # Each is counted, also where the first is over.
        return max(_count(f"{kind}:{bucket}") for bucket in buckets) <= limit

    def wait(self) -> float:
        return seconds_left()


def check_failures(buckets: Iterable[str]) -> None:
    """
    Refuse whom too many keys were refused already, before another one is looked at.

    Raises:
        Throttled: With the seconds to wait.
    """
    if any(_counted(f"failed:{bucket}") >= settings.API_FAILURES_PER_MINUTE for bucket in buckets):
        raise Throttled(wait=seconds_left())


def count_failure(buckets: Iterable[str]) -> None:
    """A key was refused."""
    for bucket in buckets:
        _count(f"failed:{bucket}")


def seconds_left() -> float:
    """Until the minute is over."""
    return _WINDOW - time.time() % _WINDOW


def _key(name: str) -> str:
    return f"auditkit:{name}:{int(time.time() // _WINDOW)}".replace(" ", "_")


def _count(name: str) -> int:
    cache, key = caches[settings.API_CACHE], _key(name)
    try:
        cache.add(key, 0, 2 * _WINDOW)
        return int(cache.incr(key))
    except Exception as exc:  # noqa: BLE001  (a cache raises what its client library does)
        return _failed(exc)


def _counted(name: str) -> int:
    try:
        return int(caches[settings.API_CACHE].get(_key(name), 0))
    except Exception as exc:  # noqa: BLE001  (a cache raises what its client library does)
        return _failed(exc)


def _failed(exc: Exception) -> int:
    logger.warning("auditkit: requests cannot be counted: %s", exc)
    if settings.API_THROTTLE_FAILS == "closed":
        raise ProblemError(
            503, "unavailable", "Requests cannot be counted, and none passes uncounted.", headers={"Retry-After": "5"}
        ) from exc
    return 0
