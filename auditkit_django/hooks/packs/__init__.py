"""
Packs: ready hooks for packages that a project may have. Each switches itself on where its package is installed.

A pack is a module with ``connect()``; ``docs/packs.md`` has the table of packages and versions, and shows how to write
one. A project's own packs are named in ``AUDITKIT["PACKS"]``.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

from django.apps import apps
from django.core.exceptions import ImproperlyConfigured

from auditkit_django.conf import settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """
    ``name`` is the pack's module here and its word in ``HOOKS_OFF``. It is switched on by an installed app (``app``, one
    of several), or where a package is not an app, by a module that can be imported (``module``).
    """

    name: str
    app: str | tuple[str, ...] = ()
    module: str = ""

    def is_wanted(self) -> bool:
        """Whether its package is there and nobody switched it off."""
        if self.name in settings.HOOKS_OFF:
            return False
        if self.module:
            return find_spec(self.module) is not None
        return any(apps.is_installed(app) for app in ((self.app,) if isinstance(self.app, str) else self.app))


PACKS: tuple[Pack, ...] = (
    Pack(name="allauth", app="allauth.account"),
    Pack(name="otp", app="django_otp"),
    Pack(name="two_factor", app="two_factor"),
    Pack(name="axes", app="axes"),
    Pack(name="organizations", app="organizations"),
    Pack(name="invitations", app="invitations"),
    Pack(name="guardian", app="guardian"),
    Pack(name="rest_framework_api_key", app="rest_framework_api_key"),
    Pack(name="rest_framework_token", app="rest_framework.authtoken"),
    Pack(name="simplejwt", module="rest_framework_simplejwt"),
    Pack(name="oauth_toolkit", app="oauth2_provider"),
    Pack(name="hijack", app="hijack"),
    Pack(name="waffle", app="waffle"),
    Pack(name="constance", app="constance"),
    Pack(name="celery", module="celery"),
    Pack(name="tasks", module="django.tasks"),
)


def connect() -> None:
    """Connect the packs whose packages are installed, then the project's own."""
    for pack in PACKS:
        if pack.is_wanted():
            import_module(f"{__name__}.{pack.name}").connect()
    for path in settings.PACKS:
        module = import_module(path)
        if not callable(getattr(module, "connect", None)):
            raise ImproperlyConfigured(f"AUDITKIT['PACKS']: {path} has no function connect()")
        module.connect()
