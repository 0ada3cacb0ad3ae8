"""What the settings of the benchmarks name as resolver."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.http import HttpRequest


def resolve(request: HttpRequest) -> object:
    """The organization that a host's own middleware has put on the request."""
    return getattr(request, "organization", None)
