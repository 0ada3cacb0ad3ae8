"""Bodies: JSON that is read strictly, from at most so many bytes, gzip or not (S2). Nothing is parsed before it is measured."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import IO, Any

from rest_framework.parsers import BaseParser
from rest_framework.renderers import JSONRenderer

from auditkit_django.api.problems import ProblemError, malformed
from auditkit_django.conf import settings
from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.strict_json import decode

_GZIP = 16 + zlib.MAX_WBITS


class StrictJSONParser(BaseParser):
    """
    JSON in UTF-8: no member twice, no NaN, no nesting that nobody can follow.

    Raises:
        ProblemError: 400 not JSON; 413 more than ``AUDITKIT["API_MAX_BODY_BYTES"]``; 415 another encoding than gzip.
    """

    media_type = "application/json"

    def parse(
        self, stream: IO[Any], media_type: str | None = None, parser_context: Mapping[str, Any] | None = None
    ) -> Any:
        headers = parser_context["request"].headers if parser_context is not None else {}
        data = _unpacked(stream, headers.get("Content-Encoding", "").strip().lower(), headers.get("Content-Length"))
        try:
            return decode(data.decode("utf-8"))
        except UnicodeDecodeError as exc:
            raise malformed(f"body: got a byte that is no UTF-8 at {exc.start}, wanted JSON in UTF-8") from exc
        except MalformedError as exc:
            raise malformed(f"body: {exc}") from exc


class PlainJSONRenderer(JSONRenderer):
    """JSON as it is, whatever a host has set for its own API."""

    compact = True
    strict = True
    ensure_ascii = False

    def get_indent(self, accepted_media_type: str, renderer_context: Mapping[str, Any]) -> None:
        return None


def _unpacked(stream: IO[Any], encoding: str, length: str | None) -> bytes:
    limit = settings.API_MAX_BODY_BYTES
    if length is not None and length.isdigit() and int(length) > limit:
        raise _too_large(limit)
    if encoding in ("", "identity"):
        data = bytes(stream.read(limit + 1))
    elif encoding == "gzip":
        data = _gunzipped(bytes(stream.read(limit + 1)), limit)
    else:
        raise ProblemError(415, "media_type", f"Content-Encoding: got {encoding[:40]!r}, wanted gzip, or none")
    if len(data) > limit:
        raise _too_large(limit)
    return data


def _gunzipped(packed: bytes, limit: int) -> bytes:
    unpacker = zlib.decompressobj(_GZIP)
    try:
        # No more than the limit is ever unpacked, however much is in it.
        data = unpacker.decompress(packed, limit + 1)
    except zlib.error as exc:
        raise malformed(f"body: got what is no gzip ({exc})") from exc
    if len(data) <= limit and not unpacker.eof:
        raise malformed("body: got gzip that is cut off")
    return data


def _too_large(limit: int) -> ProblemError:
    return ProblemError(413, "body_too_large", f"body: got more than {limit} bytes: send fewer events at once")
