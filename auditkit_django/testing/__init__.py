"""
For the tests of hosts: see what is recorded, say what should be, append at once, lift the guards.

The names are resolved on first use (PEP 562): pytest loads the plugin in this package before Django is set up.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditkit_django.testing.asserting import assert_events as assert_events
    from auditkit_django.testing.capturing import Capture as Capture
    from auditkit_django.testing.capturing import capture_events as capture_events
    from auditkit_django.testing.database import append_now as append_now
    from auditkit_django.testing.database import guards_lifted as guards_lifted
    from auditkit_django.testing.expecting import event as event
    from auditkit_django.testing.making import make_event as make_event

__all__ = ["Capture", "append_now", "assert_events", "capture_events", "event", "guards_lifted", "make_event"]

_MODULES = {
    "Capture": "capturing",
    "append_now": "database",
    "assert_events": "asserting",
    "capture_events": "capturing",
    "event": "expecting",
    "guards_lifted": "database",
    "make_event": "making",
}


def __getattr__(name: str) -> object:
    try:
        module = import_module(f"{__name__}.{_MODULES[name]}")
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
