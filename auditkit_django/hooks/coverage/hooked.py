"""Views whose doings a hook or pack records already, by the module that they are in."""

from __future__ import annotations

from importlib import import_module
from typing import Final

from django.apps import apps

from auditkit_django.conf import settings
from auditkit_django.hooks.packs import PACKS

#: Hook or pack → where the views and forms are defined whose doings it records (prefixes of dotted names).
_PLACES: Final[dict[str, tuple[str, ...]]] = {
    "auditkit_django": ("auditkit_django.",),
    "auth": (
        "django.contrib.auth.views.",
        "django.contrib.auth.forms.",
        "django.contrib.auth.admin.UserAdmin.user_change_password",
        "django.contrib.admin.sites.AdminSite.login",
        "django.contrib.admin.sites.AdminSite.logout",
        "django.contrib.admin.sites.AdminSite.password_change",
    ),
    "allauth": ("allauth.",),
    "two_factor": ("two_factor.",),
    "organizations": ("organizations.views.", "organizations.backends."),
    "invitations": ("invitations.views.",),
    "rest_framework_token": ("rest_framework.authtoken.views.",),
    "simplejwt": ("rest_framework_simplejwt.views.",),
    "oauth_toolkit": ("oauth2_provider.views.",),
    "hijack": ("hijack.views.",),
    "constance": ("constance.admin.",),
}
#: Admins that write something else than rows of their model. Of all others the model says who records.
_ADMINS: Final[dict[str, tuple[str, ...]]] = {
    "auditkit_django": ("auditkit_django.",),
    "constance": ("constance.admin.",),
}
#: Functions that a hook is told of whoever calls them.
_FUNCTIONS: Final[dict[str, str]] = {
    "django.contrib.auth.login": "auth",
    "django.contrib.auth.alogin": "auth",
    "django.contrib.auth.logout": "auth",
    "django.contrib.auth.alogout": "auth",
}
#: Methods that do what a view is there for: a class of the host's that inherits them from a hooked view is recorded too.
_ACTING: Final = frozenset(
    {
        "post", "put", "patch", "delete", "form_valid", "create", "update", "partial_update", "destroy", "save", "done",
        "perform_create", "perform_update", "perform_destroy",
    }
)  # fmt: skip


def hook_of(place: str) -> str | None:
    """The hook or pack that is on and records what the view at ``place`` (a dotted name) does, or None."""
    return _among(_places(), place)


def hook_of_admin(place: str) -> str | None:
    """The same of an admin class."""
    return _among(_ADMINS, place)


def hook_of_called(place: str) -> str | None:
    """The same of a function that is called or a method that is inherited: only what acts counts."""
    if place in _FUNCTIONS:
        return _FUNCTIONS[place] if _is_on(_FUNCTIONS[place]) else None
    return hook_of(place) if place.rpartition(".")[2] in _ACTING else None


def _among(table: dict[str, tuple[str, ...]], place: str) -> str | None:
    return next((hook for hook, prefixes in table.items() if place.startswith(prefixes) and _is_on(hook)), None)


def _places() -> dict[str, tuple[str, ...]]:
    # A project's own pack says itself whose doings it records: VIEWS = ("shop.checkout.",).
    own = {path: tuple(getattr(import_module(path), "VIEWS", ())) for path in settings.PACKS}
    return {**_PLACES, **{path: prefixes for path, prefixes in own.items() if prefixes}}


def _is_on(hook: str) -> bool:
    if hook == "auth":
        return "auth" not in settings.HOOKS_OFF and apps.is_installed("django.contrib.auth")
    pack = next((one for one in PACKS if one.name == hook), None)
    return pack is None or pack.is_wanted()
