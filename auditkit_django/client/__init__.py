"""
The HTTP client for apps that are not the Django process which keeps the log.

``from auditkit_django.client import AuditKit``. It needs httpx and nothing else: neither Django nor any other room of
this package is imported. Names are resolved on first use (PEP 562).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditkit_django.client.asynchronous import AsyncAuditKit as AsyncAuditKit
    from auditkit_django.client.errors import ClientError as ClientError
    from auditkit_django.client.errors import ClosedError as ClosedError
    from auditkit_django.client.errors import InvalidEventError as InvalidEventError
    from auditkit_django.client.errors import NoAnswerError as NoAnswerError
    from auditkit_django.client.errors import QueueFullError as QueueFullError
    from auditkit_django.client.errors import RefusedError as RefusedError
    from auditkit_django.client.errors import SettingsError as SettingsError
    from auditkit_django.client.outbox import Stats as Stats
    from auditkit_django.client.reading import Page as Page
    from auditkit_django.client.sync import AuditKit as AuditKit

__all__ = [
    "AsyncAuditKit",
    "AuditKit",
    "ClientError",
    "ClosedError",
    "InvalidEventError",
    "NoAnswerError",
    "Page",
    "QueueFullError",
    "RefusedError",
    "SettingsError",
    "Stats",
]

_LAZY = {
    "AsyncAuditKit": "asynchronous",
    "AuditKit": "sync",
    "ClientError": "errors",
    "ClosedError": "errors",
    "InvalidEventError": "errors",
    "NoAnswerError": "errors",
    "Page": "reading",
    "QueueFullError": "errors",
    "RefusedError": "errors",
    "SettingsError": "errors",
    "Stats": "outbox",
}


def __getattr__(name: str) -> object:
    try:
        module = _LAZY[name]
    except KeyError:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
