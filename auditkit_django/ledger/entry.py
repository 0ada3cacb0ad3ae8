"""
Entries: the exact bytes that stand for an event in a log.

An entry is ASCII JSON, keys sorted, no white space, with exactly these members::

    action    registered name, object.past_fact       prev      base64 of the previous leaf hash; zeros at seq 0
    at        occurred at: the caller's claim         rec       recorded at: the server's clock
    category  from the registry                       sd        field name -> digest of its disclosure (RFC 9901)
    id        UUID of the event, lower case           seq       leaf index, from 0
    log       origin of the log                       severity  one of SEVERITIES
    outcome   one of OUTCOMES                         time      appended at; never falls from one seq to the next
                                                      v         VERSION

Times are ``YYYY-MM-DDTHH:MM:SS.ffffffZ``. No member is optional and none is null; ``sd`` may be empty. Every text comes
from an alphabet that JSON does not escape, so there is one way to write an entry, which is that of RFC 8785, and one
regular expression (``_ENTRY``) holds all of it.
"""

from __future__ import annotations

import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import NamedTuple

from auditkit_django.ledger import merkle, strict_json
from auditkit_django.ledger.errors import MalformedError, excerpt

VERSION = "auditkit-django/entry/1"
#: The fields that an entry may hold digests of, sorted.
FIELDS = ("actor", "changes", "context", "metadata", "on_behalf_of", "targets")
OUTCOMES = frozenset({"success", "failure", "denied"})
SEVERITIES = frozenset({"info", "low", "medium", "high", "critical"})
#: ``prev`` at seq 0, where there is no entry before.
ZERO_HASH = bytes(32)
#: tlog-tiles (C2SP) gives the length of an entry 16 bits.
MAX_ENTRY_BYTES = 65535
#: An action's name, 3 to 96 characters; to be used with ``fullmatch``.
ACTION_PATTERN = re.compile(r"(?![a-z0-9_.]{97})[a-z][a-z0-9_]*(?:\.[a-z][a-z0-9_]*){1,5}")


class Entry(NamedTuple):
    """
    The members of an entry but ``v``; ``prev`` is 32 bytes, times are texts of ``format_time``. A tuple, because a verification
    makes one for each entry.
    """

    log: str
    seq: int
    prev: bytes
    id: str
    time: str
    at: str
    rec: str
    action: str
    category: str
    severity: str
    outcome: str
    sd: Mapping[str, str]


def format_time(moment: datetime) -> str:
    """
    ``moment`` in UTC as ``YYYY-MM-DDTHH:MM:SS.ffffffZ``; always six decimals.

    Raises:
        MalformedError: The moment is naive, or beyond the years 1 to 9999 in UTC.
    """
    if moment.tzinfo is not UTC:
        if moment.utcoffset() is None:
            raise MalformedError(f"time: got {moment}, wanted one with a time zone")
        try:
            moment = moment.astimezone(UTC)
        except OverflowError as exc:
            raise MalformedError(f"time: got {moment}, wanted the years 1 to 9999 in UTC") from exc
    return moment.isoformat("T", "microseconds")[:26] + "Z"


def parse_time(text: str) -> datetime:
    """
    The moment, in UTC, that ``text`` of the form ``YYYY-MM-DDTHH:MM:SS.ffffffZ`` names.

    Raises:
        MalformedError: Another form, or no such moment.
    """
    _require(_TIME.fullmatch(text) is not None, "time", text, _WANTED_TIME)
    return _moment("time", text)


def encode(entry: Entry) -> bytes:
    """
    The bytes of ``entry``.

    Raises:
        MalformedError: A member has the wrong type or form; names it, what was got and what was wanted.
    """
    _require(type(entry.prev) is bytes and len(entry.prev) == merkle.HASH_BYTES, "prev", entry.prev, "32 bytes")
    prev_b64 = b2a_base64(entry.prev, newline=False).decode()
    texts = {member: getattr(entry, member) for member in _TEXTS if member != "prev"}
    _check(texts | {"prev": prev_b64, "seq": entry.seq, "sd": entry.sd})
    pairs = [f'"{name}":"{entry.sd[name]}"' for name in sorted(entry.sd)]
    return assemble(**texts, seq=entry.seq, prev_b64=prev_b64, sd_json="{" + ",".join(pairs) + "}")


def assemble(
    *,
    log: str,
    seq: int,
    prev_b64: str,
    id: str,
    time: str,
    at: str,
    rec: str,
    action: str,
    category: str,
    severity: str,
    outcome: str,
    sd_json: str,
) -> bytes:
    """
    The bytes of an entry from members that the caller has validated, by concatenation alone.

    The fast way of the append. Nothing is escaped, because every member comes from a closed alphabet; ``prev_b64`` is
    the padded base64 of 32 bytes, ``sd_json`` the finished object text with its names in sorted order.
    """
    return (
        f'{{"action":"{action}","at":"{at}","category":"{category}","id":"{id}","log":"{log}","outcome":"{outcome}",'
        f'"prev":"{prev_b64}","rec":"{rec}","sd":{sd_json},"seq":{seq},"severity":"{severity}","time":"{time}",'
        f'"v":"{VERSION}"}}'
    ).encode("ascii")


def parse(data: bytes) -> Entry:
    """
    The entry that ``data`` stands for; only bytes that ``encode`` writes are taken.

    Raises:
        MalformedError: Anything else; names the member, what was got and what was wanted.
    """
    if len(data) > MAX_ENTRY_BYTES:
        _require(False, "entry", f"{len(data)} bytes", f"at most {MAX_ENTRY_BYTES}")
    # Matching the one allowed form, not reading any JSON and writing it again, rules out two readings of one hash.
    match = _ENTRY.fullmatch(data.decode("ascii", "replace"))
    if match is None:
        raise _refusal(data)
    action, at, category, id_, log, outcome, prev, rec, *digests, seq, severity, time = match.groups()
    # The form has seen to the time of day: what may still not exist is the day.
    for member, text in (("at", at), ("rec", rec), ("time", time)):
        if not _is_day(text[:10]):
            _moment(member, text)
    number = int(seq)
    if number >= _SEQ_LIMIT:
        _require(False, "seq", number, _WANTED_SEQ)
    sd = {name: digest for name, digest in zip(FIELDS, digests) if digest is not None}  # noqa: B905
    return Entry(log, number, a2b_base64(prev), id_, time, at, rec, action, category, severity, outcome, sd)


def leaf_hash(data: bytes) -> bytes:
    """The leaf hash of an entry's bytes, 32 bytes: also ``prev`` of the next entry (RFC 9162, section 2.1.1)."""
    return merkle.leaf_hash(data)


def _refusal(data: bytes) -> MalformedError:
    """Why ``_ENTRY`` does not match: the first member that is wrong, or else how they are written."""
    try:
        members = strict_json.decode(data.decode("ascii"))
        if not isinstance(members, dict):
            raise MalformedError(f"entry: got {excerpt(members)}, wanted a JSON object")
        odd = sorted(members.keys() ^ {"v", "seq", "sd", *_TEXTS})
        _require(not odd, "members", odd, "none missing and none unknown")
        _require(members["v"] == VERSION, "v", members["v"], VERSION)
        _check(members)
    except UnicodeDecodeError as exc:
        return MalformedError(f"entry: got byte {data[exc.start]:#x} at {exc.start}, wanted ASCII")
    except MalformedError as exc:
        return exc
    return MalformedError(f"entry: got {excerpt(data)}, wanted sorted keys, no white space and no escapes")


def _check(members: Mapping[str, object]) -> None:
    """Refuse the first of ``members`` (values as in the JSON, without ``v``) that has the wrong type or form."""
    for member, (form, wanted) in _TEXTS.items():
        text = members[member]
        _require(type(text) is str and re.fullmatch(form, text) is not None, member, text, wanted)
    for member in ("at", "rec", "time"):
        _moment(member, str(members[member]))
    seq, sd = members["seq"], members["sd"]
    _require(type(seq) is int and 0 <= seq < _SEQ_LIMIT, "seq", seq, _WANTED_SEQ)
    if not isinstance(sd, Mapping):
        raise MalformedError(f"sd: got {excerpt(sd)}, wanted an object")
    for name, digest in sd.items():
        _require(type(name) is str and name in FIELDS, "sd", name, f"one of {', '.join(FIELDS)}")
        is_digest = type(digest) is str and re.fullmatch(_DIGEST, digest) is not None
        _require(is_digest, f"sd.{name}", digest, "base64url of 32 bytes without padding")


@lru_cache(maxsize=4096)
def _is_day(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True


def _moment(member: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as exc:
        # The form leaves only days that the month lacks and the year 0.
        raise MalformedError(f"{member}: got {text}, wanted a day that exists") from exc


def _require(holds: bool, member: str, got: object, wanted: str) -> None:
    if not holds:
        raise MalformedError(f"{member}: got {excerpt(got)}, wanted {wanted}")


_SEQ_LIMIT = 2**53
_WANTED_SEQ = "an integer from 0 to 2**53 - 1"
_WANTED_TIME = "YYYY-MM-DDTHH:MM:SS.ffffffZ"
_TIME = re.compile(
    r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12][0-9]|3[01])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]\.[0-9]{6}Z"
)
# The last character carries only some bits of the 32 bytes: any other would be a second form of the same hash.
_HASH = r"[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]="
_DIGEST = r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"
_TEXTS = {
    "action": (ACTION_PATTERN.pattern, "two to six lower-case words joined by dots, at most 96 characters"),
    "at": (_TIME.pattern, _WANTED_TIME),
    "category": (r"[a-z][a-z0-9_]{0,31}", "a lower-case word of at most 32 characters"),
    "id": (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "a UUID in lower case"),
    "log": (r"[!#-*,-\[\]-~]{1,255}", "1 to 255 printable ASCII characters without space, quote, plus and backslash"),
    "outcome": ("|".join(sorted(OUTCOMES)), f"one of {', '.join(sorted(OUTCOMES))}"),
    "prev": (_HASH, "base64 of 32 bytes"),
    "rec": (_TIME.pattern, _WANTED_TIME),
    "severity": ("|".join(sorted(SEVERITIES)), f"one of {', '.join(sorted(SEVERITIES))}"),
    "time": (_TIME.pattern, _WANTED_TIME),
}


def _entry_pattern() -> re.Pattern[str]:
    forms = {member: f'"({form})"' for member, (form, _) in _TEXTS.items()}
    # After each digest a comma with another name behind it, or the end.
    pairs = "".join(f'(?:"{name}":"({_DIGEST})"(?:,(?=")|(?=\\}})))?' for name in FIELDS)
    forms |= {"sd": rf"\{{{pairs}\}}", "seq": "(0|[1-9][0-9]{0,15})", "v": f'"{re.escape(VERSION)}"'}
    return re.compile(r"\{" + ",".join(f'"{member}":{forms[member]}' for member in sorted(forms)) + r"\}")


_ENTRY = _entry_pattern()
