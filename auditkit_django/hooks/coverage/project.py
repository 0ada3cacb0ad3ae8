"""Which functions are the host's own, and which are of a library."""

from __future__ import annotations

from pathlib import PurePath
from types import FunctionType
from typing import Final

from django.conf import settings

from auditkit_django.hooks.coverage.layers import LIBRARIES, package_of

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


class Project:
    """The code that is read for one view: of its own package, of the URLconf's, and whatever is not installed."""

    def __init__(self, place: str) -> None:
        self._packages = {_top(place), _top(str(settings.ROOT_URLCONF))} - LIBRARIES

    def has(self, function: FunctionType) -> bool:
        """Whether ``function`` was written in the project; a library's decorator around it was not."""
        package = package_of(function)
        if package in self._packages or package in LIBRARIES:
            return package in self._packages
        return not _INSTALLED & set(PurePath(function.__code__.co_filename).parts)


def _top(name: str) -> str:
    return name.partition(".")[0]
