"""Every option of a client, checked once: :class:`Settings`. Docs: ``docs/client.md``."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, TypedDict, Unpack
from urllib.parse import urlsplit

from auditkit_django.client.errors import SettingsError, excerpt

MIB: Final = 1024 * 1024
#: The server's limits for one request.
MAX_BATCH_EVENTS: Final = 1000
MAX_BATCH_BYTES: Final = 8 * MIB
#: One event as JSON.
MAX_EVENT_BYTES: Final = MIB

OnFull = Literal["raise", "block", "drop"]
OnRefused = Callable[[dict[str, Any], dict[str, Any]], object]


class Options(TypedDict, total=False):
    """The options of :class:`Settings` as a client takes them."""

    batch_events: int
    batch_bytes: int
    linger_seconds: float
    max_events: int
    max_bytes: int
    on_full: OnFull
    block_seconds: float
    spool: str | os.PathLike[str] | None
    max_spool_bytes: int
    fsync: bool
    retry_seconds: float
    max_retry_seconds: float
    max_retry_after_seconds: float
    timeout_seconds: float
    connect_timeout_seconds: float
    exit_timeout_seconds: float
    compress: bool
    allow_http: bool
    on_refused: OnRefused | None
    pause: Callable[[float], object] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    How a client reaches the server, and what it does meanwhile. Seconds and bytes as the names say.

    ``pause`` takes the place of waiting between attempts: for tests.

    Raises:
        SettingsError: Something is missing or cannot be meant. The key is never shown.
    """

    api_key: str = field(repr=False)
    base_url: str
    tenant: str | None = None
    batch_events: int = 500
    batch_bytes: int = MIB
    linger_seconds: float = 0.5
    max_events: int = 10_000
    max_bytes: int = 64 * MIB
    on_full: OnFull = "raise"
    block_seconds: float = 1.0
    spool: str | os.PathLike[str] | None = None
    max_spool_bytes: int = 1024 * MIB
    fsync: bool = False
    retry_seconds: float = 0.5
    max_retry_seconds: float = 60.0
    max_retry_after_seconds: float = 600.0
    timeout_seconds: float = 30.0
    connect_timeout_seconds: float = 5.0
    exit_timeout_seconds: float = 5.0
    compress: bool = True
    allow_http: bool = False
    on_refused: OnRefused | None = None
    pause: Callable[[float], object] | None = None

    def __post_init__(self) -> None:
        _check_key(self.api_key)
        _check_url(self.base_url, allow_http=self.allow_http)
        _within("batch_events", self.batch_events, 1, MAX_BATCH_EVENTS)
        _within("batch_bytes", self.batch_bytes, 1, MAX_BATCH_BYTES - MAX_EVENT_BYTES)
        for name in ("max_events", "max_bytes", "max_spool_bytes"):
            _within(name, getattr(self, name), 1, 2**62)
        for name in ("linger_seconds", "block_seconds", "exit_timeout_seconds", "max_retry_after_seconds"):
            _within(name, getattr(self, name), 0, 86_400)
        for name in ("retry_seconds", "max_retry_seconds", "timeout_seconds", "connect_timeout_seconds"):
            _within(name, getattr(self, name), 0.001, 86_400)
        if self.on_full not in ("raise", "block", "drop"):
            raise SettingsError(f'on_full: got {self.on_full!r}, wanted "raise", "block" or "drop"')
        if self.spool is not None and not str(self.spool):
            raise SettingsError("spool: got an empty path, wanted a directory")

    @property
    def spool_folder(self) -> Path | None:
        """The directory of the spool, where there is one."""
        return None if self.spool is None else Path(self.spool)


def settings_from(
    api_key: str | None, base_url: str | None, *, tenant: object = None, **options: Unpack[Options]
) -> Settings:
    """
    Settings from arguments, and for key and URL else from ``AUDITKIT_API_KEY`` and ``AUDITKIT_BASE_URL``.

    Raises:
        SettingsError: One of the two is nowhere, or something given cannot be meant.
        TypeError: An option that there is not.
    """
    unknown = sorted(options.keys() - {one.name for one in fields(Settings)})
    if unknown:
        raise TypeError(f"got {', '.join(unknown)}, wanted options of docs/client.md")
    found = {
        "api_key": api_key if api_key is not None else os.environ.get("AUDITKIT_API_KEY"),
        "base_url": base_url if base_url is not None else os.environ.get("AUDITKIT_BASE_URL"),
    }
    missing = [name for name, value in found.items() if not value]
    if missing:
        wanted = " and ".join(f"{name} (or AUDITKIT_{name.upper()} in the environment)" for name in missing)
        raise SettingsError(f"got neither argument nor variable, wanted {wanted}")
    return Settings(
        api_key=str(found["api_key"]),
        base_url=str(found["base_url"]).rstrip("/"),
        tenant=None if tenant is None else str(tenant),
        **options,
    )


def _check_key(key: str) -> None:
    # Nothing of it is shown: what is wrong with a key is mostly that it is another secret.
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError("api_key: got one with characters that no key has (white space?), wanted ak_…")


def _check_url(url: str, *, allow_http: bool) -> None:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise SettingsError(f"base_url: got {excerpt(url)}, wanted https://, a host and the path of the API")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise SettingsError("base_url: got one with a user, query or fragment, wanted https://, a host and a path")
    if parts.scheme == "http" and not allow_http and not _is_loopback(parts.hostname):
        raise SettingsError(f"base_url: got http:// and {parts.hostname}, wanted https:// (or allow_http=True)")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _within(name: str, got: float, least: float, most: float) -> None:
    if isinstance(got, bool) or not isinstance(got, int | float) or not least <= got <= most:
        raise SettingsError(f"{name}: got {got!r}, wanted a number from {least} to {most}")
