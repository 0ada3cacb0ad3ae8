"""Base64 read without leniency: one value has one form."""

from __future__ import annotations

from base64 import b64decode, b64encode

from auditkit_django.ledger.errors import MalformedError, excerpt


def decode(text: str, what: str, *, length: int | None = None) -> bytes:
    """
    The bytes of canonical base64 (RFC 4648, section 4, with padding); ``length`` of them where that is given.

    Raises:
        MalformedError: It is none, has left-over bits, or another length; ``what`` names it in the message.
    """
    try:
        data = b64decode(text, validate=True)
    except ValueError as exc:
        raise MalformedError(f"{what}: got {excerpt(text)}, wanted base64") from exc
    # Python's decoder passes over left-over bits: compare.
    if b64encode(data).decode() != text:
        raise MalformedError(f"{what}: got {excerpt(text)}, wanted canonical base64")
    if length is not None and len(data) != length:
        raise MalformedError(f"{what}: got {len(data)} bytes, wanted {length}")
    return data
