"""Which methods a view answers, and which function answers each."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import MethodType
from typing import Any, Final

from auditkit_django.hooks.coverage.layers import closure_of, dotted, each_definition, function_in, layers
from auditkit_django.hooks.coverage.source import body_of

#: The methods that are there to change data.
CHANGING: Final = ("POST", "PUT", "PATCH", "DELETE")

#: Views that answer these methods and change nothing that an audit log is about.
_HARMLESS: Final = frozenset(
    {
        "django.contrib.admin.options.ModelAdmin.history_view",
        "django.contrib.admin.sites.AdminSite.app_index",
        "django.contrib.admin.sites.AdminSite.autocomplete_view",
        "django.contrib.admin.sites.AdminSite.catch_all_view",
        "django.contrib.admin.sites.AdminSite.i18n_javascript",
        "django.contrib.admin.sites.AdminSite.index",
        "django.contrib.admin.sites.AdminSite.password_change_done",
        "django.contrib.contenttypes.views.shortcut",
        "django.contrib.flatpages.views.flatpage",
        "django.contrib.sitemaps.views.index",
        "django.contrib.sitemaps.views.sitemap",
        "django.contrib.staticfiles.views.serve",
        "django.contrib.syndication.views.Feed.__call__",
        "django.views.generic.base.RedirectView",
        "django.views.i18n.set_language",
        "django.views.static.serve",
        "django_otp.plugins.otp_totp.admin.TOTPDeviceAdmin.config_view",
        "django_otp.plugins.otp_totp.admin.TOTPDeviceAdmin.qrcode_view",
    }
)
#: The admin's views of a model, and what must be allowed for each to change anything.
_ADMIN_PERMISSIONS: Final = {
    "add_view": ("has_add_permission",),
    "change_view": ("has_change_permission",),
    "delete_view": ("has_delete_permission",),
    "changelist_view": ("has_change_permission", "has_delete_permission"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Handler:
    """
    What answers one method. ``function`` is the outermost callable; ``owner`` is the class whose instance it is called
    on, if any, and ``definer`` the class that defines it. ``view`` is the route's view, ``instance`` the object whose
    method that is (an admin).
    """

    method: str
    function: Any
    view: Callable[..., Any]
    owner: type | None = None
    definer: type | None = None
    instance: object = None

    @property
    def place(self) -> str:
        """Where the view is defined: its class, or its function."""
        if self.owner is not None and self.instance is None and self.owner.__qualname__ != "WrappedAPIView":
            return dotted(self.owner)
        return dotted(function_in(self.function) or self.function)

    @property
    def shown(self) -> str:
        """The same for people: of an admin its own class, not the one that it inherits the view from."""
        if self.instance is None or self.owner is None:
            return self.place
        return f"{dotted(self.owner)}.{self.place.rpartition('.')[2]}"


def handlers_of(view: Callable[..., Any]) -> list[Handler]:
    """The handlers of those :data:`CHANGING` methods that ``view`` answers; all of them where that cannot be known."""
    wrappers = layers(view)
    if _HARMLESS & {dotted(layer) for layer in wrappers}:
        return []
    cls = _attribute(wrappers, "cls", "view_class")
    found = _of_class(view, cls, wrappers) if isinstance(cls, type) else _of_function(view, wrappers)
    allowed = _allowed(wrappers)
    return [handler for handler in found if allowed is None or handler.method in allowed]


def _of_function(view: Callable[..., Any], wrappers: list[Any]) -> list[Handler]:
    bound = next((layer for layer in wrappers if isinstance(layer, MethodType)), None)
    if bound is None:
        return [Handler(method=method, function=view, view=view) for method in CHANGING]
    instance, name = bound.__self__, bound.__name__
    owner = instance if isinstance(instance, type) else type(instance)
    is_admin = hasattr(instance, "admin_site") and name in _ADMIN_PERMISSIONS
    if is_admin and all(_is_plain_no(getattr(owner, one)) for one in _ADMIN_PERMISSIONS[name]):
        return []
    # What Django's own admin does, it does for POST; what a project adds may ask for anything.
    is_djangos = dotted(function_in(bound)).startswith("django.contrib.")
    definer = next((base for base, _ in each_definition(owner, name)), owner)
    return [
        Handler(method=method, function=view, view=view, owner=owner, definer=definer, instance=instance)
        for method in (CHANGING[:1] if is_admin or is_djangos else CHANGING)
    ]


def _of_class(view: Callable[..., Any], cls: type, wrappers: list[Any]) -> list[Handler]:
    if _is_harmless_class(cls):
        return []
    given: dict[str, Any] = _attribute(wrappers, "view_initkwargs", "initkwargs") or {}
    names = {str(name).upper() for name in given.get("http_method_names", getattr(cls, "http_method_names", CHANGING))}
    allowed = _allowed(layer for _, dispatch in each_definition(cls, "dispatch") for layer in layers(dispatch))
    actions: dict[str, str] | None = _attribute(wrappers, "actions")
    found = []
    for method in CHANGING:
        if method not in names or (allowed is not None and method not in allowed):
            continue
        definer, function = _definition(cls, method.lower(), actions)
        if function is not None:
            found.append(Handler(method=method, function=function, view=view, owner=cls, definer=definer))
    return found


def _definition(cls: type, method: str, actions: dict[str, str] | None) -> tuple[type | None, Any]:
    name = method if actions is None else actions.get(method)
    found = next(each_definition(cls, name), None) if name is not None else None
    if found is not None:
        return found
    return _own_dispatch(cls) if actions is None else (None, None)


def _own_dispatch(cls: type) -> tuple[type | None, Any]:
    """The dispatch of a class that does not go on to the handlers: it answers every method itself."""
    for base, dispatch in each_definition(cls, "dispatch"):
        function = function_in(dispatch)
        if dotted(function).startswith(("django.", "rest_framework.")):
            continue
        nodes = (node for statement in body_of(function) for node in ast.walk(statement))
        if not any(isinstance(node, ast.Name) and node.id == "super" for node in nodes):
            return base, dispatch
    return None, None


def _allowed(wrappers: Iterable[Any]) -> set[str] | None:
    """What ``require_POST`` and its siblings among ``wrappers`` let through; None where there is none."""
    allowed: set[str] | None = None
    for layer in wrappers:
        methods = closure_of(layer).get("request_method_list")
        if methods is not None and layer.__globals__.get("__name__") == "django.views.decorators.http":
            allowed = set(methods) if allowed is None else allowed & set(methods)
    return allowed


def _is_harmless_class(cls: type) -> bool:
    """Whether ``cls`` is one of those that change nothing, or adds to one only data ("url", "pattern_name")."""
    for base in cls.__mro__:
        if dotted(base) in _HARMLESS:
            return True
        if not base.__module__.startswith("django.") and any(
            hasattr(value, "__get__") for value in vars(base).values()
        ):
            return False
    return False


def _is_plain_no(method: Any) -> bool:
    """Whether ``method`` does nothing but ``return False``."""
    statements = [one for one in body_of(function_in(method)) if not isinstance(one, ast.Expr)]
    match statements:
        case [ast.Return(value=ast.Constant(value=False))]:
            return True
    return False


def _attribute(wrappers: list[Any], *names: str) -> Any:
    own = (getattr(layer, "__dict__", {}) for layer in wrappers if not isinstance(layer, type))
    return next((attributes[name] for attributes in own for name in names if name in attributes), None)
