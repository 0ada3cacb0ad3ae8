"""
A webhook: each checkpoint as JSON, POSTed to a URL and signed as Standard Webhooks says (standardwebhooks.com)::

    webhook-id: ckpt_<log uuid>_<size>
    webhook-timestamp: <Unix seconds>
    webhook-signature: v1,<base64 of HMAC-SHA256(secret, "<id>.<timestamp>.<body>")>

The id is the same whenever the same checkpoint is sent again: receivers know it by that.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Sequence
from typing import Final

from auditkit_django.exceptions import PublishError
from auditkit_django.publishing.http import Endpoint
from auditkit_django.publishing.port import Receipt, SealedNote

_PREFIX: Final = "whsec_"
_SECRET_BYTES: Final = range(24, 65)


class WebhookPublisher:
    """
    POSTs the newest checkpoint of each log to ``url`` (every one, with ``keeps_all``).

    ``secret`` is ``whsec_`` and base64 of 24 to 64 bytes; several, while it is changed: each signs.
    """

    def __init__(
        self,
        *,
        url: str,
        secret: str | Sequence[str],
        keeps_all: bool = False,
        interval_seconds: float = 0.0,
        timeout_seconds: float = 10.0,
        allow_http: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.keeps_all, self.interval_seconds = keeps_all, interval_seconds
        self._endpoint = Endpoint(url, timeout_seconds=timeout_seconds, allow_http=allow_http)
        self._secrets = [_secret(one) for one in ([secret] if isinstance(secret, str) else secret)]
        if not self._secrets:
            raise ValueError("secret: got none, wanted one at least")
        self._clock = clock

    def publish(self, sealed: SealedNote) -> Receipt:
        """
        The host that took it.

        Raises:
            PublishError: It answered another status than 2xx, or did not answer.
        """
        body = json.dumps(_payload(sealed), ensure_ascii=False, separators=(",", ":")).encode()
        id, now = f"ckpt_{sealed.log_id}_{sealed.size}", int(self._clock())
        signed = f"{id}.{now}.".encode() + body
        headers = {
            "Content-Type": "application/json",
            "webhook-id": id,
            "webhook-timestamp": str(now),
            "webhook-signature": " ".join(_signature(secret, signed) for secret in self._secrets),
        }
        status = self._endpoint.post(body, headers=headers).status
        if not 200 <= status < 300:
            raise PublishError(f"webhook: {self._endpoint.host} answered {status}, wanted 2xx")
        return Receipt(text=f"{self._endpoint.host} {id}")


def _payload(sealed: SealedNote) -> dict[str, object]:
    return {
        "type": "audit.checkpoint.sealed",
        "timestamp": sealed.sealed_at.isoformat(),
        "data": {
            "tenant": sealed.tenant,
            "origin": sealed.origin,
            "size": sealed.size,
            "root": base64.b64encode(sealed.root).decode(),
            "note": sealed.note,
        },
    }


def _secret(text: str) -> bytes:
    wanted = "wanted whsec_ and base64 of 24 to 64 bytes"
    try:
        secret = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except (ValueError, AttributeError) as exc:
        raise ValueError(f"secret: got no base64, {wanted}") from exc
    if not text.startswith(_PREFIX) or len(secret) not in _SECRET_BYTES:
        raise ValueError(f"secret: got {len(secret)} bytes, {wanted}")
    return secret


def _signature(secret: bytes, signed: bytes) -> str:
    return f"v1,{base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()}"
