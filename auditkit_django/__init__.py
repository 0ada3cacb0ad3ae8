"""
Tamper-evident audit log for multi-tenant Django.

``from auditkit_django import auditlog, audited`` works in any module, settings included: the names are resolved
on first use (PEP 562), so that importing this package imports nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditkit_django import auditlog as auditlog
    from auditkit_django.hooks.decorators import audited as audited
    from auditkit_django.hooks.tracking.decorator import track as track

__version__ = "0.1.0"
__all__ = ["__version__", "audited", "auditlog", "track"]

_LAZY = {
    "auditlog": ("auditkit_django.auditlog", None),
    "audited": ("auditkit_django.hooks.decorators", "audited"),
    "track": ("auditkit_django.hooks.tracking.decorator", "track"),
}


def __getattr__(name: str) -> object:
    try:
        module_name, attribute = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    module = import_module(module_name)
    return module if attribute is None else getattr(module, attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
