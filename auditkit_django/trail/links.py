"""Addresses of the trail's own pages, wherever a host has included them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import reverse


class Links:
    """
    Builds addresses in the namespace, and with the captured arguments, of the page that was asked for.

    A host may include the trail several times and below ``o/<slug:org>/audit/``; its links stay where the reader is.
    """

    def __init__(self, request: HttpRequest) -> None:
        match = request.resolver_match
        assert match is not None, "the trail is asked through its URLs"
        self._namespace = match.namespace
        # Without what path() or include() adds by itself: it is added again when the address is resolved.
        added = {"event_id", *(getattr(match, "extra_kwargs", None) or {})}
        self._kwargs = {name: value for name, value in match.kwargs.items() if name not in added}
        self._paths: dict[str, str] = {}

    def to(self, page: str, params: Mapping[str, object] | None = None, **kwargs: object) -> str:
        """The path of ``page``, with the query string of those ``params`` that have a value."""
        path = (
            self._path(page) if not kwargs else reverse(f"{self._namespace}:{page}", kwargs={**self._kwargs, **kwargs})
        )
        query = urlencode({name: value for name, value in (params or {}).items() if value not in (None, "")})
        return f"{path}?{query}" if query else path

    def _path(self, page: str) -> str:
        if page not in self._paths:
            self._paths[page] = reverse(f"{self._namespace}:{page}", kwargs=self._kwargs)
        return self._paths[page]
