"""Requests to the server: encrypted, bounded in time and size, never redirected, with the key in a header and nowhere else."""

from __future__ import annotations

# What httpx and a first connection would import in the sender's thread is imported here: a fork in the middle of an import
# leaves its child with half a module.
import encodings.idna
import gzip
import os
import threading
import time
from typing import Any, Final

import certifi
import httpcore
import httpx

from auditkit_django.client.answers import Answer
from auditkit_django.client.errors import NoAnswerError
from auditkit_django.client.settings import Settings

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
#: To ask where the certificates are imports what reads resources of packages.
_LOADED: Final = (encodings.idna, certifi.where(), httpcore)
#: Less is not worth it: it fits into one packet.
_LEAST_COMPRESSED: Final = 1400
#: What httpx raises where there is no whole answer.
FAILURES: Final = (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError)

#: Held while a client is made, and by who forks: OpenSSL has locks of its own while it makes a TLS context, and in a child
#: that was forked just then nobody would ever let go of them.
_making = threading.RLock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)


def make_client(settings: Settings) -> httpx.Client:
    """A client with the server's address and the key."""
    with _making:
        return httpx.Client(**_options(settings))


def make_async_client(settings: Settings) -> httpx.AsyncClient:
    """The same for async code."""
    with _making:
        return httpx.AsyncClient(**_options(settings))


def _options(settings: Settings) -> dict[str, Any]:
    return {
        "base_url": f"{settings.base_url}/v1/",
        "headers": {"Authorization": f"Bearer {settings.api_key}", "User-Agent": "auditkit-django-client"},
        "timeout": httpx.Timeout(settings.timeout_seconds, connect=settings.connect_timeout_seconds),
        "follow_redirects": False,
    }


class Connection:
    """
    A lazily made ``httpx.Client``, one per process.

    A fork's child must not speak on its parent's connections, nor close them: a lock of theirs may be held for ever.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._client: httpx.Client | None = None
        self._abandoned: list[httpx.Client] = []
        self._pid = os.getpid()

    @property
    def client(self) -> httpx.Client:
        """The client of this process."""
        if self._pid != os.getpid():
            self._abandoned += [self._client] if self._client is not None else []
            self._client, self._pid = None, os.getpid()
        if self._client is None:
            self._client = make_client(self._settings)
        return self._client

    def post_events(self, lines: list[bytes]) -> Answer:
        """
        The answer to a batch, whatever its status.

        Raises:
            NoAnswerError: No connection, no answer in time, a cut one, or one over 4 MiB.
        """
        body, headers = b"[" + b",".join(lines) + b"]", {"Content-Type": "application/json"}
        if self._settings.compress and len(body) > _LEAST_COMPRESSED:
            body, headers["Content-Encoding"] = gzip.compress(body, compresslevel=1), "gzip"
        deadline = time.monotonic() + self._settings.timeout_seconds
        params = {"mode": "best_effort"}
        try:
            with self.client.stream("POST", "events", params=params, content=body, headers=headers) as response:
                found = bytearray()
                for chunk in response.iter_bytes():
                    found += chunk
                    # A server that sends a byte now and then breaks no timeout of a read.
                    if len(found) > MAX_ANSWER_BYTES or time.monotonic() > deadline:
                        raise NoAnswerError(f"got {len(found)} bytes and more, wanted an answer that ends")
                return Answer(
                    status=response.status_code,
                    body=bytes(found),
                    retry_after=response.headers.get("retry-after"),
                )
        except FAILURES as exc:
            raise no_answer(exc) from exc

    def close(self) -> None:
        """Close the connections of this process."""
        if self._client is not None and self._pid == os.getpid():
            self._client.close()
            self._client = None


def no_answer(exc: Exception) -> NoAnswerError:
    """The error that stands for one of :data:`FAILURES`; its text may be the server's, and is short."""
    return NoAnswerError(f"no answer: {type(exc).__name__} ({str(exc)[:200]})")
