"""
Disclosures: salted digests, and the strings that open them (RFC 9901, object properties).

An entry holds the digest of a field and never its value. What opens the digest is kept beside the entry and can be
erased or withheld without breaking it::

    array text    ["<salt>","<name>",<value>]          JSON; what we store
    disclosure    base64url(UTF-8 of the array text)   without padding; what RFC 9901 libraries read
    digest        base64url(SHA-256(disclosure))       without padding, 43 characters; what the entry holds

A digest covers the exact array text, so the text is kept verbatim and is never written a second time. All disclosures
of an event are stored as one JSON object text, members sorted by name, array texts verbatim::

    {"actor":["<salt>","actor",{"id":"7","type":"user"}],
    "context":["<salt>","context",{"ip":"192.0.2.7"}]}

Members stand on lines of their own: an array text never holds a raw newline, so the text is split again without
reading the values, which is most of what verifying a million events costs.
"""

from __future__ import annotations

import json
import re
from base64 import urlsafe_b64decode
from binascii import b2a_base64
from dataclasses import dataclass
from hashlib import sha256
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]
from typing import TYPE_CHECKING

from auditkit_django.ledger import strict_json
from auditkit_django.ledger.errors import MalformedError, excerpt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

#: Between the members of an event's object text.
SEPARATOR = ",\n"
_BEFORE_NAME = SEPARATOR + '"'
#: 128 bits, the size that RFC 9901, section 9.3 recommends: a short value behind a digest cannot be guessed.
SALT_BYTES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """What a disclosure opens: ``value`` is the JSON value of the field ``name``."""

    salt: str
    name: str
    value: object


def encode_value(value: object) -> str:
    """
    The JSON text of ``value``: keys sorted, no white space, not ASCII-escaped.

    Keys must be text: JSON would turn ``1`` and ``"1"`` into one name twice.

    Raises:
        MalformedError: NaN, an infinity, a cycle, nesting beyond the interpreter's limit, or a type JSON lacks.
    """
    try:
        return _encode(value)
    except (TypeError, ValueError, RecursionError) as exc:
        raise MalformedError(f"value: got one that JSON cannot hold ({excerpt(exc)}), wanted JSON") from exc


def make(name: str, value: object, *, salt: bytes) -> str:
    """
    The array text ``["<salt>","<name>",<value>]``; ``salt`` is 16 fresh random bytes and used once.

    Raises:
        MalformedError: The salt has another length, or the value is not JSON or holds a lone surrogate.
    """
    if len(salt) != SALT_BYTES:
        raise MalformedError(f"salt: got {len(salt)} bytes, wanted {SALT_BYTES}")
    text = encode_value([_base64url(salt), name, value])
    _utf8(text)
    return text


def from_json(text: str) -> str:
    """
    The disclosure (RFC 9901, section 4.2.1) of an array text: its UTF-8 in base64url without padding.

    Raises:
        MalformedError: The text holds a lone surrogate and so has no UTF-8.
    """
    return _base64url(_utf8(text))


def digest(disclosure: str) -> str:
    """
    The digest of a disclosure: SHA-256 in base64url without padding, 43 characters (RFC 9901, section 4.2.3).

    Raises:
        MalformedError: The disclosure is not ASCII.
    """
    try:
        data = disclosure.encode("ascii")
    except UnicodeEncodeError as exc:
        raise MalformedError(f"disclosure: got {excerpt(disclosure)}, wanted base64url") from exc
    return _base64url(sha256(data).digest())


def digest_of_json(text: str) -> str:
    """
    The digest of an array text, 43 characters: ``digest(from_json(text))`` without the text in between.

    Raises:
        MalformedError: The text holds a lone surrogate and so has no UTF-8.
    """
    # Written out, because recording and verification call it for each field of each event.
    try:
        data = b2a_base64(text.encode(), newline=False).translate(_TO_URLSAFE, b"=")
    except UnicodeEncodeError as exc:
        raise _lone_surrogate(exc) from exc
    return b2a_base64(sha256(data).digest(), newline=False).translate(_TO_URLSAFE, b"=").decode()


def parse(disclosure: str) -> Disclosure:
    """
    What ``disclosure`` opens (RFC 9901, section 4.2.1); white space inside its JSON is allowed, as there.

    Raises:
        MalformedError: Not canonical base64url without padding, not UTF-8, not an array of a text salt, a text name
            and a value, a name used twice in an object, a number without a finite value, or a lone surrogate.
    """
    try:
        data = urlsafe_b64decode(disclosure + "=" * (-len(disclosure) % 4))
        # Python's decoder skips foreign characters and left-over bits: compare, so that one value has one form.
        if _base64url(data) != disclosure:
            raise ValueError("not canonical base64url")
        text = data.decode("utf-8")
    except ValueError as exc:
        raise MalformedError(f"disclosure: got {excerpt(disclosure)}, wanted base64url of UTF-8") from exc
    array = strict_json.decode(text)
    if type(array) is not list or len(array) != 3 or type(array[0]) is not str or type(array[1]) is not str:
        raise MalformedError(f"disclosure: got {excerpt(text)}, wanted [salt, name, value]")
    _refuse_surrogates(text, array)
    return Disclosure(salt=array[0], name=array[1], value=array[2])


def join(texts: Mapping[str, str]) -> str:
    """
    The one JSON object text that holds the array texts of an event, by field name in sorted order.

    The array texts are taken verbatim and unchecked: they come from ``make`` or ``split``.

    Raises:
        MalformedError: A name is not lower-case letters, digits and underscores.
    """
    for name in texts:
        if not _NAME.fullmatch(name):
            raise MalformedError(f"name: got {excerpt(name)}, wanted lower-case letters, digits and underscores")
    return "{" + SEPARATOR.join([f'"{name}":{texts[name]}' for name in sorted(texts)]) + "}"


def split(text: str) -> dict[str, str]:
    """
    The array texts in the object text of an event, verbatim, by field name: ready for ``digest_of_json``.

    Cuts at the lines alone and does not read the values: a digest binds the exact text, whatever it holds. Who reads
    values takes ``split_with_values``.

    Raises:
        MalformedError: Names unsorted or repeated, a member that is not an array, or text between members.
    """
    found = cut(text)
    names = list(found)
    is_whole = text[:2] == '{"' and text[-1:] == "}" and text.count(_BEFORE_NAME) == len(found) - 1
    is_made_of_arrays = all(array[:1] == "[" and array[-1:] == "]" for array in found.values())
    if text != "{}" and not (is_whole and is_made_of_arrays and names == sorted(names)):
        raise MalformedError(f"disclosures: got {excerpt(text)}, wanted sorted members that are arrays, one to a line")
    return found


def cut(text: str) -> dict[str, str]:
    """
    What :func:`split` gives, unchecked: for a text whose digests are about to be compared, which proves it whole.
    """
    return dict([line.partition('":')[::2] for line in text[2:-1].split(_BEFORE_NAME)]) if text != "{}" else {}


def split_with_values(text: str) -> dict[str, tuple[str, object]]:
    """
    The array texts in the object text of an event, verbatim, each with its value, by field name.

    Raises:
        MalformedError: As ``split``, and a value that ``parse`` refuses.
    """
    found = _members(text)
    _refuse_surrogates(text, found)
    return found


def _members(text: str) -> dict[str, tuple[str, object]]:
    found: dict[str, tuple[str, object]] = {}
    at, last = 0, ""
    try:
        while member := _MEMBER.match(text, at):
            name, start = member[1], member.end()
            array, at = strict_json.DECODER.raw_decode(text, start)
            if len(array) != 3 or array[1] != name or type(array[0]) is not str:
                raise ValueError(f"another shape or name in {name}")
            if name <= last:
                raise ValueError(f"{name} after {last}")
            if SEPARATOR in text[start:at]:
                raise ValueError(f"a line that ends inside of {name}")
            found[name] = (text[start:at], array[2])
            last = name
    except (ValueError, RecursionError) as exc:
        raise MalformedError(f"disclosures: got {excerpt(exc)}, wanted sorted disclosures") from exc
    # The scan stops at the first text that is no member: after the last one that must be the closing brace.
    if text[at:] != ("}" if found else "{}"):
        raise MalformedError(f"disclosures: got {excerpt(text[at : at + 80])} at {at}, wanted a member or the end")
    return found


def _refuse_surrogates(text: str, value: object) -> None:
    # An escape can spell half of a surrogate pair, which neither a database nor a terminal takes.
    if "\\u" in text:
        _utf8(encode_value(value))
    elif not text.isascii():
        _utf8(text)


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as exc:
        raise _lone_surrogate(exc) from exc


def _lone_surrogate(exc: UnicodeEncodeError) -> MalformedError:
    return MalformedError(f"text: got a lone surrogate at {exc.start}, wanted Unicode")


def _base64url(data: bytes) -> str:
    return b2a_base64(data, newline=False).translate(_TO_URLSAFE, b"=").decode()


_TO_URLSAFE = bytes.maketrans(b"+/", b"-_")
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))


def _make_encode() -> Callable[[object], str]:
    # JSONEncoder.encode builds CPython's C encoder anew for each call, which takes longer than a small object does.
    # Without its table of what is being encoded a cycle ends in RecursionError, which is refused as well.
    if c_make_encoder is None:
        return _ENCODER.encode
    make = c_make_encoder(None, _ENCODER.default, encode_basestring, None, ":", ",", True, False, False)
    return lambda value: "".join(make(value, 0))


_encode = _make_encode()
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_MEMBER = re.compile(r'(?:\A\{|(?<=\]),\n)"([a-z][a-z0-9_]*)":(?=\[)')
