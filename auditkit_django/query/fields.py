"""The fields of the query language: how the value of each is read, and which condition it stands for."""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from functools import reduce
from operator import or_
from typing import Final
from uuid import UUID

from django.db.models import Q

from auditkit_django import actions
from auditkit_django.drafts import MAX_SAFE_INTEGER
from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.disclosure import encode_value
from auditkit_django.ledger.entry import OUTCOMES, SEVERITIES
from auditkit_django.query.disclosed import Discloses
from auditkit_django.query.facts import FromNetwork, Mentions, MetadataAt, OfRequest
from auditkit_django.query.values import network_of

MAX_TEXT: Final = 1000
"""Characters of a text to look for, and of a query."""

_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MOMENT: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:?[0-9]{2})", re.IGNORECASE
)
_NUMBER: Final = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
#: What no database can be asked for: NUL, and halves of surrogate pairs.
UNUSABLE: Final = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """
    ``read`` gives the form of a value that ``condition`` takes, and raises MalformedError for what can be none.
    ``is_single``: two values make no sense.
    """

    read: Callable[[str], str]
    condition: Callable[[str], Q]
    is_single: bool = False


def condition_of(field: str, path: Sequence[str], values: Sequence[str]) -> Q:
    """The condition that one of ``values``, which were read, holds; ``path`` leads into metadata."""
    if field == "metadata":
        return reduce(or_, [Q(metadata_condition(path, value)) for value in values])
    return reduce(or_, [FIELDS[field].condition(value) for value in values])


def closest_field(name: str) -> str:
    """The field that ``name`` may have meant, or all of them; for messages."""
    known = [*FIELDS, *ALIASES, "metadata."]
    return f'"{found[0]}"' if (found := get_close_matches(name[:64], known, n=1)) else f"one of {', '.join(known)}"


def check_text(name: str, value: str) -> None:
    """Raise MalformedError where no database can be asked for ``value``."""
    if found := UNUSABLE.search(value):
        raise MalformedError(f"{name}: got the character U+{ord(found[0]):04X}, wanted text")


def read_action(value: str) -> str:
    """A name, or a prefix such as ``member.*``; all of them is no condition, and refused."""
    if "*" in value.removesuffix(".*") or value == ".*":
        raise MalformedError(f'action: got {value!r:.100}, wanted a name or a prefix such as "member.*"')
    return value


def action_condition(value: str) -> Q:
    """Actions of that name, today's or an older one, or that begin as the prefix says."""
    if value.endswith(".*"):
        return Q(action__startswith=value.removesuffix("*"))
    return Q(action__in=actions.names_including_aliases(value))


def party_condition(role: str, value: str) -> Q:
    """``value`` is ``type:id`` or an id; the first colon divides."""
    kind, colon, key = value.partition(":")
    return Q(**{f"{role}_type": kind, f"{role}_id": key}) if colon else Q(**{f"{role}_id": value})


def read_network(value: str) -> str:
    """An address or a network, of IPv4 or IPv6."""
    try:
        network_of(value)
    except ValueError as exc:
        raise MalformedError(f"ip: got {value!r:.60}, wanted an address or a network such as 203.0.113.0/24") from exc
    return value


def network_condition(value: str) -> Q:
    """It came from there."""
    return Q(Discloses(FromNetwork(str(network_of(value)))))


def request_condition(value: str) -> Q:
    """It belongs to that request."""
    return Q(Discloses(OfRequest(value)))


def read_text(value: str) -> str:
    """Any text that is not blank."""
    if not value.strip() or len(value) > MAX_TEXT:
        raise MalformedError(
            f"text: got {value!r:.20} ({len(value)} characters), wanted 1 to {MAX_TEXT}, not all blank"
        )
    return value


def text_condition(value: str) -> Q:
    """A value that is disclosed, or the name of the action, has ``value`` in it, whatever the case."""
    mentioned = Q(Discloses(Mentions(value)))
    # Names of actions are lower-case ASCII.
    return Q(action__contains=value.lower()) | mentioned if value.isascii() else mentioned


def metadata_condition(path: Sequence[str], value: str) -> Discloses:
    """The value at ``path`` is ``value``: as text, or as the number, truth value or null that it spells."""
    forms = [encode_value(value)]
    if value in ("true", "false", "null"):
        forms.append(value)
    elif _NUMBER.fullmatch(value) and (number := _number(value)) is not None:
        forms.append(number)
    return Discloses(MetadataAt(tuple(path), tuple(forms)))


def moment_of(value: str) -> dt.datetime:
    """
    The moment that ``value`` names: a time with its zone, or the start of a day in UTC.

    Raises:
        ValueError: It names none.
    """
    if _DAY.fullmatch(value):
        moment = dt.datetime.combine(dt.date.fromisoformat(value), dt.time.min, tzinfo=dt.UTC)
    elif _MOMENT.fullmatch(value):
        moment = dt.datetime.fromisoformat(value.upper())
    else:
        raise ValueError(value)
    if not 1 < moment.year < 9999:
        # In another time zone there may be no such day.
        raise ValueError(value)
    # PostgreSQL knows no zone that is more than 15:59 from UTC.
    return moment.astimezone(dt.UTC)


def _read_word(name: str, allowed: frozenset[str]) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value.lower() not in allowed:
            raise MalformedError(f"{name}: got {value!r:.40}, wanted one of {', '.join(sorted(allowed))}")
        return value.lower()

    return read


def _read_moment(name: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        try:
            moment_of(value)
        except ValueError as exc:
            raise MalformedError(
                f"{name}: got {value!r:.40}, wanted a day such as 2026-01-31, or a time with its zone such as"
                " 2026-01-31T12:00Z"
            ) from exc
        return value

    return read


def _read_id(value: str) -> str:
    try:
        UUID(value)
        return value
    except ValueError as exc:
        raise MalformedError(f"id: got {value!r:.60}, wanted the UUID of an event") from exc


def _number(text: str) -> str | None:
    """The JSON text of the number, as it would have been recorded; None where it would have been recorded as text."""
    number = json.loads(text)
    if isinstance(number, int) and abs(number) > MAX_SAFE_INTEGER:
        return None
    return encode_value(number or 0) if abs(number) != float("inf") else None


def _as_it_is(value: str) -> str:
    return value


def _lower(value: str) -> str:
    # Names are ASCII; the lower case of other letters may be longer.
    return value.lower() if value.isascii() else value


def _equal(column: str) -> Callable[[str], Q]:
    return lambda value: Q(**{column: value})


def _party(role: str) -> Callable[[str], Q]:
    return lambda value: party_condition(role, value)


def _time(lookup: str) -> Callable[[str], Q]:
    return lambda value: Q(**{lookup: moment_of(value)})


#: By name; ``metadata.<path>`` stands beside them.
FIELDS: Final[Mapping[str, Field]] = {
    "action": Field(read=lambda value: read_action(_lower(value)), condition=action_condition),
    "category": Field(read=_lower, condition=_equal("category")),
    "actor": Field(read=_as_it_is, condition=_party("actor")),
    "target": Field(read=_as_it_is, condition=_party("target")),
    "outcome": Field(read=_read_word("outcome", OUTCOMES), condition=_equal("outcome")),
    "severity": Field(read=_read_word("severity", SEVERITIES), condition=_equal("severity")),
    "ip": Field(read=read_network, condition=network_condition),
    "request": Field(read=_as_it_is, condition=request_condition),
    "id": Field(read=_read_id, condition=_equal("id")),
    "after": Field(read=_read_moment("after"), condition=_time("occurred_at__gte"), is_single=True),
    "before": Field(read=_read_moment("before"), condition=_time("occurred_at__lt"), is_single=True),
    "recorded_after": Field(read=_read_moment("recorded_after"), condition=_time("recorded_at__gte"), is_single=True),
    "recorded_before": Field(read=_read_moment("recorded_before"), condition=_time("recorded_at__lt"), is_single=True),
    "text": Field(read=read_text, condition=text_condition),
}
ALIASES: Final[Mapping[str, str]] = {"request_id": "request"}
