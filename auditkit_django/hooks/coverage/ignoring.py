"""
Routes that need no event, each with its reason: ``AUDITKIT["COVERAGE_IGNORE"]``.

    "COVERAGE_IGNORE": {"cart:add": "a cart is no record yet", "webhooks/*": "recorded by the billing service"}
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase

from django.core.exceptions import ImproperlyConfigured

from auditkit_django.conf import settings
from auditkit_django.hooks.coverage.routes import Route


def ignored() -> Mapping[str, str]:
    """
    Name or path of a route, or a pattern of either with ``*``, to the reason. The start page's path is "/".

    Raises:
        ImproperlyConfigured: The setting is no dict, or an entry has no reason.
    """
    found = settings.COVERAGE_IGNORE
    if not isinstance(found, Mapping):
        raise ImproperlyConfigured(f"AUDITKIT['COVERAGE_IGNORE']: got {type(found).__name__}, wanted a dict")
    without = sorted(str(key) for key, reason in found.items() if not isinstance(reason, str) or not reason.strip())
    if without:
        raise ImproperlyConfigured(f"AUDITKIT['COVERAGE_IGNORE']: no reason is given for {', '.join(without)}")
    return found


def reason_of(path: str, name: str, entries: Mapping[str, str]) -> str:
    """Why the route with this path and name is ignored, or "" where it is not."""
    return next((reason for key, reason in entries.items() if _matches(key, path, name)), "")


def check_all_used(entries: Mapping[str, str], routes: Iterable[Route]) -> None:
    """
    Each entry is for a route that is there.

    Raises:
        ImproperlyConfigured: An entry matches no route that changes data.
    """
    known = list(routes)
    unused = [key for key in entries if not any(_matches(key, route.path, route.name) for route in known)]
    if unused:
        raise ImproperlyConfigured(
            f"AUDITKIT['COVERAGE_IGNORE']: {', '.join(map(repr, unused))} matches no route whose view takes POST, PUT,"
            " PATCH or DELETE: take it out"
        )


def _matches(key: str, path: str, name: str) -> bool:
    # The path of the start page is empty; it is called "/".
    return any(fnmatchcase(text, _pattern(key)) for text in (name, path or "/") if text)


def _pattern(key: str) -> str:
    # Only * is a pattern here: brackets and question marks are parts of regular expressions.
    return "".join(f"[{sign}]" if sign in "[?" else sign for sign in key)
