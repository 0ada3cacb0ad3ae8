"""
Ed25519 signatures (RFC 8032): checked by ``cryptography`` where it is installed, else here, in plain Python.

An auditor's machine need not have more than Python; a bundle takes a handful of verifications, milliseconds each. The
signer's side is never here: it needs constant time, which Python has not.

Both ways accept exactly the same signatures: S below the group's order (RFC 8032, section 5.1.7), without cofactor, as
OpenSSL and Go do. Keys are checked before they are trusted (:func:`check_key`): of small-order points ``cryptography``
accepts all, and under the neutral point a signature of zeros holds for any message.
"""

from __future__ import annotations

from hashlib import sha512
from typing import Final

from auditkit_django.ledger.errors import MalformedError, excerpt

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_P: Final = 2**255 - 19
_ORDER: Final = 2**252 + 27742317777372353535851937790883648493
_D: Final = -121665 * pow(121666, -1, _P) % _P
_ROOT_OF_MINUS_ONE: Final = pow(2, (_P - 1) // 4, _P)

#: A point (X : Y : Z : T) of the twisted Edwards curve in extended coordinates, x = X/Z, y = Y/Z, xy = T/Z.
_Point = tuple[int, int, int, int]
_NEUTRAL: Final[_Point] = (0, 1, 1, 0)


def verify(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``signature`` (64 bytes) of ``message`` holds under ``public`` (32 bytes)."""
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError:
        return verify_here(public, signature, message)
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def verify_here(public: bytes, signature: bytes, message: bytes) -> bool:
    """:func:`verify` without ``cryptography``: [S]B = R + [k]A, compared as encoded (RFC 8032, section 5.1.7)."""
    if len(public) != KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    key = _decode(public)
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or scalar >= _ORDER:
        return False
    digest = int.from_bytes(sha512(signature[:32] + public + message).digest(), "little") % _ORDER
    # R = [S]B - [k]A, and its encoding must be the one that was signed with.
    found = _add(_multiply(scalar, _BASE), _multiply(_ORDER - digest, key))
    return _encode(found) == signature[:32]


def check_key(public: bytes) -> None:
    """
    Check that ``public`` is a key that can stand for somebody: 32 bytes, a canonical point, not of small order.

    Raises:
        MalformedError: It is not.
    """
    if type(public) is not bytes or len(public) != KEY_BYTES:
        raise MalformedError(f"key: got {excerpt(public)}, wanted {KEY_BYTES} bytes")
    point = _decode(public)
    if point is None or _encode(point) != public:
        raise MalformedError("key: got bytes that are no canonical point of the curve, wanted an Ed25519 public key")
    if _is_neutral(_multiply(8, point)):
        raise MalformedError(
            "key: got a point of small order, under which anybody's signature holds; wanted a real key"
        )


def _decode(data: bytes) -> _Point | None:
    y = int.from_bytes(data, "little")
    sign, y = y >> 255, y & (2**255 - 1)
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT_OF_MINUS_ONE % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = _P - x
    return (x, y, 1, x * y % _P)


def _encode(point: _Point) -> bytes:
    x, y, z, _t = point
    inverse = pow(z, -1, _P)
    x, y = x * inverse % _P, y * inverse % _P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def _add(one: _Point, other: _Point) -> _Point:
    # RFC 8032, section 5.1.4.
    a = (one[1] - one[0]) * (other[1] - other[0]) % _P
    b = (one[1] + one[0]) * (other[1] + other[0]) % _P
    c = 2 * one[3] * other[3] * _D % _P
    d = 2 * one[2] * other[2] % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _multiply(scalar: int, point: _Point) -> _Point:
    result = _NEUTRAL
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


def _is_neutral(point: _Point) -> bool:
    return point[0] % _P == 0 and (point[1] - point[2]) % _P == 0


_base = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little"))
assert _base is not None
_BASE: Final[_Point] = _base
