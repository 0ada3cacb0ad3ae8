"""
Timestamps (RFC 3161): an authority signs that the note existed at a time.

The response is checked against pinned root certificates before it is kept, and kept whole: ``openssl ts -verify`` takes it as
it is (:func:`cosigned.timestamps`).
"""

from __future__ import annotations

import os
from base64 import b64encode
from pathlib import Path
from typing import Final

from cryptography.x509 import Certificate, load_pem_x509_certificates
from rfc3161_client import (
    HashAlgorithm,
    TimeStampRequest,
    TimestampRequestBuilder,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from auditkit_django.exceptions import PublishError
from auditkit_django.publishing.http import Endpoint
from auditkit_django.publishing.port import Receipt, SealedNote

_HOUR_SECONDS: Final = 3600.0


class TimestampPublisher:
    """
    Has the newest note of each log timestamped by the authority at ``url``, once in ``interval_seconds`` (an hour).

    ``roots`` is a PEM file with the certificates that are trusted: the authority's root, and intermediate ones that it does not
    send along. The authority may be reached without TLS, as most are: it learns a digest, and what it answers is signed.
    """

    keeps_all = False

    def __init__(
        self,
        *,
        url: str,
        roots: str | os.PathLike[str],
        interval_seconds: float = _HOUR_SECONDS,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.interval_seconds = interval_seconds
        self._endpoint = Endpoint(url, timeout_seconds=timeout_seconds, allow_http=True)
        try:
            self._certificates = load_pem_x509_certificates(Path(roots).read_bytes())
        except (OSError, ValueError) as exc:
            raise ValueError(f"roots: got {str(roots)!r}, wanted a PEM file with certificates: {exc}") from exc
        if not any(_is_root(one) for one in self._certificates):
            raise ValueError(f"roots: got no root certificate in {str(roots)!r}, wanted one at least")

    def publish(self, sealed: SealedNote) -> Receipt:
        """
        The base64 of the timestamp response over the note's bytes.

        Raises:
            PublishError: The authority did not answer, or with what is no timestamp of this note by a trusted key.
        """
        note = sealed.note.encode()
        request = TimestampRequestBuilder(data=note, hash_algorithm=HashAlgorithm.SHA256).build()
        headers = {"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"}
        answer = self._endpoint.post(request.as_bytes(), headers=headers)
        host = self._endpoint.host
        if answer.status != 200:
            raise PublishError(f"timestamp: {host} answered {answer.status}, wanted 200")
        self._check(answer.body, request, note)
        return Receipt(kind="timestamp", text=b64encode(answer.body).decode())

    def _check(self, body: bytes, request: TimeStampRequest, note: bytes) -> None:
        builder = VerifierBuilder.from_request(request)
        for one in self._certificates:
            is_root = _is_root(one)
            builder = builder.add_root_certificate(one) if is_root else builder.add_intermediate_certificate(one)
        try:
            builder.build().verify_message(decode_timestamp_response(body), note)
        except (VerificationError, ValueError) as exc:
            raise PublishError(f"timestamp: what {self._endpoint.host} answered does not hold: {exc}") from exc


def _is_root(certificate: Certificate) -> bool:
    return certificate.issuer == certificate.subject
