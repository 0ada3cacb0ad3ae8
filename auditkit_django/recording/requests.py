"""
Facts of a request, read when an event is recorded and not when the request starts.

Nothing here reads the body or the query string.
"""

from __future__ import annotations

import hashlib
import ipaddress
import re
import uuid
from functools import lru_cache
from typing import TYPE_CHECKING

from auditkit_django.conf import settings
from auditkit_django.recording.redaction import REDACTED, Rules, is_secret_name, redact, rules

if TYPE_CHECKING:
    from django.http import HttpRequest

#: (URL name, parameter) of secrets in URLs under names that do not say so (the key of an invitation); packs add theirs.
SECRET_PARAMETERS: set[tuple[str, str]] = set()

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_LONGEST = 4096
_KEPT = 512


def facts(request: HttpRequest, request_id: str) -> dict[str, object]:
    """
    ``ip``, ``user_agent``, ``request_id``, ``method``, ``path`` and ``session`` of ``request``, where known.

    Each is clean: made here, checked, or redacted.
    """
    found: dict[str, object] = {
        "source": "web",
        "ip": client_ip(request),
        "user_agent": _user_agent(request.META.get("HTTP_USER_AGENT", ""), rules()) or None,
        "request_id": request_id,
        "method": request.method,
        "path": _cut(safe_path(request)),
        "session": session_digest(request),
    }
    return {name: value for name, value in found.items() if value is not None}


@lru_cache(maxsize=1024)
def _user_agent(text: str, by: Rules) -> str:
    # Cached: a few hundred browsers send nearly all requests.
    return redact(text[:_LONGEST], by)[:_KEPT]


def _cut(text: str) -> str:
    # Redacted before it is cut: half a secret is not recognised as one.
    return redact(text[:_LONGEST])[:_KEPT]


def client_ip(request: HttpRequest) -> str | None:
    """
    The address of the client: ``REMOTE_ADDR``, or counted from the right of ``X-Forwarded-For``.

    With ``TRUSTED_PROXY_COUNT = n`` the n-th address from the right was written by a proxy of yours; what stands left
    of it is the client's own claim and is never believed (S31).
    """
    remote = request.META.get("REMOTE_ADDR", "")
    hops = settings.TRUSTED_PROXY_COUNT
    if hops > 0:
        forwarded = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
        if len(forwarded) >= hops:
            return _address(forwarded[-hops]) or _address(remote)
    return _address(remote)


@lru_cache(maxsize=1024)
def _address(text: str) -> str | None:
    host = text[1:].partition("]")[0] if text.startswith("[") else text
    if host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        return None


def request_id_of(request: HttpRequest) -> str:
    """The caller's ``X-Request-ID`` where it is well-formed (S33), else a new random one."""
    given = request.META.get("HTTP_X_REQUEST_ID", "")
    return given if _REQUEST_ID.fullmatch(given) else uuid.uuid4().hex


def safe_path(request: HttpRequest) -> str:
    """The path without query string; URL parameters with secret names (reset tokens) are redacted."""
    path = request.path
    match = getattr(request, "resolver_match", None)
    if match is not None:
        for name, value in (match.kwargs or {}).items():
            if value and (is_secret_name(name) or (match.url_name, name) in SECRET_PARAMETERS):
                path = path.replace(str(value), REDACTED)
    return path


def session_digest(request: HttpRequest) -> str | None:
    """The first 128 bits of SHA-256 of the session key, in hex: tells sessions apart and is never the key."""
    key = getattr(getattr(request, "session", None), "session_key", None)
    return hashlib.sha256(key.encode()).hexdigest()[:32] if key else None
