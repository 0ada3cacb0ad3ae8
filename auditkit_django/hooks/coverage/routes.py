"""Every route of a URLconf, named as ``request.resolver_match`` names it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.conf.urls.i18n import is_language_prefix_patterns_used
from django.urls import URLPattern, URLResolver, get_resolver
from django.urls.resolvers import LocalePrefixPattern
from django.utils.translation import get_language_from_path

if TYPE_CHECKING:
    from django.http import HttpRequest

#: What Django REST framework adds to a route for ``projects.json``: the same view a second time.
_FORMAT_SUFFIXES = ("(?P<format>", "<drf_format_suffix")


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """
    One route: its ``path`` as written in the URLconf ("o/<slug:org>/members/"), its ``name`` with namespaces ("" for
    none) and the view. The language prefix of ``i18n_patterns`` is no part of the path.
    """

    path: str
    name: str
    view: Callable[..., Any]


def all_routes(urlconf: str | None = None) -> Iterator[Route]:
    """The routes of ``urlconf`` (default: ``ROOT_URLCONF``) in its order."""
    seen: set[int] = set()
    for route in _routes(get_resolver(urlconf), path="", namespaces=()):
        if id(route.view) in seen and any(suffix in route.path for suffix in _FORMAT_SUFFIXES):
            continue
        seen.add(id(route.view))
        yield route


def route_of(request: HttpRequest) -> Route | None:
    """The route that ``request`` was resolved to, or None where no view was found for it."""
    match = request.resolver_match
    if match is None:
        return None
    path = match.route
    language = get_language_from_path(request.path_info)
    urlconf = getattr(request, "urlconf", None) or settings.ROOT_URLCONF
    if language and is_language_prefix_patterns_used(urlconf)[0]:
        path = path.removeprefix(f"{language}/")
    return Route(path=path, name=match.view_name if match.url_name else "", view=match.func)


def _routes(resolver: URLResolver, *, path: str, namespaces: tuple[str, ...]) -> Iterator[Route]:
    for pattern in resolver.url_patterns:
        here = _join(path, "" if isinstance(pattern.pattern, LocalePrefixPattern) else str(pattern.pattern))
        if isinstance(pattern, URLPattern):
            yield Route(
                path=here, name=":".join((*namespaces, pattern.name)) if pattern.name else "", view=pattern.callback
            )
        else:
            inner = (*namespaces, pattern.namespace) if pattern.namespace else namespaces
            yield from _routes(pattern, path=here, namespaces=inner)


def _join(outer: str, inner: str) -> str:
    # As URLResolver joins them: the caret of an inner regular expression goes.
    return outer + inner.removeprefix("^") if outer else inner
