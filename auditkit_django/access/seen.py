"""What was said once already: that a viewer looked, which is an event the first time and not with every click."""

from __future__ import annotations

import logging
from typing import Final

from django.core.cache import caches

from auditkit_django.access.grant import Grant
from auditkit_django.conf import settings

logger = logging.getLogger("auditkit_django")

_HOUR: Final = 3600
#: No viewer token lives longer (``viewer_tokens.MAX_LIFE``), and each is noted once.
_DAY: Final = 24 * _HOUR


def is_first_viewing(grant: Grant, tenant: str) -> bool:
    """Whether this bearer is seen looking at the log of ``tenant`` for the first time: once a token, once an hour for others."""
    return first_time(f"viewed:{grant.bucket}:{tenant}", _DAY if grant.bucket.startswith("token:") else _HOUR)


def first_time(name: str, seconds: int) -> bool:
    """Whether ``name`` was not said for ``seconds``, in ``CACHES[AUDITKIT["API_CACHE"]]``; also where that cannot be reached."""
    try:
        return bool(caches[settings.API_CACHE].add(f"auditkit:{name}".replace(" ", "_"), 1, seconds))
    except Exception as exc:  # noqa: BLE001  (a cache raises what its client library does)
        # An event too many is better than none.
        logger.warning("auditkit: what was seen cannot be remembered: %s", exc)
        return True
