"""
One HTTP request to somebody else's server: encrypted, bounded in time and size, and never redirected.

Whether private addresses may be reached is the operator's choice: publishers are named in the settings, not by users.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import httpx

from auditkit_django.exceptions import PublishError

MAX_ANSWER_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; ``body`` whole."""

    status: int
    body: bytes


class Endpoint:
    """
    A URL to POST to. ``host`` names it in messages: the rest of the URL may hold a secret.

    ``timeout_seconds`` is for connecting, and for the whole answer. ``allow_http`` lets a request go unencrypted to other
    hosts than this machine.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 10.0, allow_http: bool = False) -> None:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        self.host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not self.host:
            raise ValueError("url: got none that begins with https:// and a host, wanted one")
        if parts.scheme == "http" and not allow_http and not _is_loopback(self.host):
            raise ValueError(f"url: got http:// and {self.host}, wanted https:// (or allow_http)")
        if not 0 < timeout_seconds <= 30:
            raise ValueError(f"timeout_seconds: got {timeout_seconds!r}, wanted more than 0 and at most 30")
        self._url, self._timeout = url, timeout_seconds
        # No connection outlives its answer; what is kept from one log to the next is the TLS context.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(timeout=timeout_seconds, follow_redirects=False, limits=limits)

    def post(self, body: bytes, *, headers: Mapping[str, str], max_bytes: int = MAX_ANSWER_BYTES) -> Answer:
        """
        The answer to ``body``, whatever its status.

        Raises:
            PublishError: No answer, none in time, or one over ``max_bytes``.
        """
        deadline = time.monotonic() + self._timeout
        sent = {"User-Agent": "auditkit-django", "Accept-Encoding": "identity", **headers}
        try:
            with self._client.stream("POST", self._url, content=body, headers=sent) as response:
                found = b""
                for chunk in response.iter_raw():
                    found += chunk
                    if len(found) > max_bytes:
                        raise PublishError(f"{self.host}: answered more than {max_bytes} bytes")
                    if time.monotonic() > deadline:
                        raise PublishError(f"{self.host}: did not finish its answer in {self._timeout:g} s")
                return Answer(status=response.status_code, body=found)
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError) as exc:
            # Not its text, which may hold the URL.
            raise PublishError(f"{self.host}: no answer ({type(exc).__name__})") from exc


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
