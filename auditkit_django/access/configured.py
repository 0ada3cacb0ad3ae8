"""What is wrong with the settings of API and embedded trail."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.cache import InvalidCacheBackendError, caches
from django.core.cache.backends.dummy import DummyCache
from django.core.cache.backends.locmem import LocMemCache

from auditkit_django.access.origins import is_origin
from auditkit_django.conf import settings

_MIN_PEPPER: Final = 32
_MIN_BODY: Final = 1024
_RATES: Final = ("read", "write", "export")
_PER_PROCESS: Final = (DummyCache, LocMemCache)


def problems() -> Iterator[str]:
    """What cannot work, in a sentence each that names the setting."""
    yield from _peppers(settings.API_KEY_PEPPER)
    environment = settings.API_KEY_ENVIRONMENT
    if not isinstance(environment, str) or not re.fullmatch(r"[a-z]{1,8}", environment):
        yield _told("API_KEY_ENVIRONMENT", environment, "1 to 8 lower-case letters")
    if settings.API_KEY_DAYS is not None and not _is_count(settings.API_KEY_DAYS):
        yield _told("API_KEY_DAYS", settings.API_KEY_DAYS, "a number of days, or None")
    yield from _rates(settings.API_RATES)
    if not _is_count(settings.API_FAILURES_PER_MINUTE):
        yield _told("API_FAILURES_PER_MINUTE", settings.API_FAILURES_PER_MINUTE, "1 or more")
    if settings.API_CACHE not in django_settings.CACHES:
        yield _told("API_CACHE", settings.API_CACHE, f"one of CACHES: {', '.join(django_settings.CACHES)}")
    if settings.API_THROTTLE_FAILS not in ("open", "closed"):
        yield _told("API_THROTTLE_FAILS", settings.API_THROTTLE_FAILS, "'open' or 'closed'")
    if not _is_count(settings.API_MAX_BODY_BYTES, least=_MIN_BODY):
        yield _told("API_MAX_BODY_BYTES", settings.API_MAX_BODY_BYTES, f"{_MIN_BODY} or more")
    seconds = settings.API_STATEMENT_SECONDS
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 < seconds < 3600:
        yield _told("API_STATEMENT_SECONDS", seconds, "more than 0 and less than 3600 seconds")
    yield from _origins(settings.EMBED_ORIGINS)


def is_cache_shared() -> bool:
    """Whether requests of all processes are counted together: whether the cache is another one than this process's memory."""
    try:
        cache = caches[settings.API_CACHE]
    except InvalidCacheBackendError:
        # E002 says so.
        return True
    return not isinstance(cache, _PER_PROCESS)


def _peppers(given: Any) -> Iterator[str]:
    if given is None:
        return
    texts = [given] if isinstance(given, str) else list(given) if isinstance(given, Iterable) else []
    if not texts or not all(isinstance(text, str) and len(text) >= _MIN_PEPPER for text in texts):
        # Never its value: it is a secret.
        yield f"AUDITKIT['API_KEY_PEPPER'] is too short or no text, wanted {_MIN_PEPPER} characters or more, or a list of such."


def _rates(given: Any) -> Iterator[str]:
    if not isinstance(given, Mapping):
        yield _told("API_RATES", given, "a dict of requests in a minute by read, write and export")
        return
    for name, rate in given.items():
        if name not in _RATES or (rate is not None and not _is_count(rate)):
            yield _told("API_RATES", {name: rate}, "1 or more, or None, for read, write and export")


def _origins(given: Any) -> Iterator[str]:
    if isinstance(given, str) or not isinstance(given, Iterable):
        yield _told("EMBED_ORIGINS", given, 'a list of origins such as "https://app.example"')
        return
    for one in given:
        if not is_origin(one):
            yield _told(
                "EMBED_ORIGINS", one, 'an origin such as "https://app.example": no path, no wildcard, lower case'
            )


def _is_count(value: object, *, least: int = 1) -> bool:
    return type(value) is int and value >= least


def _told(name: str, value: object, wanted: str) -> str:
    return f"AUDITKIT[{name!r}] is {value!r:.80}, wanted {wanted}."
