"""
JSON read without leniency: what two readers could read in two ways is refused.

Python's ``json`` keeps the last of two members with one name (others keep the first), and takes ``NaN``,
``Infinity`` and numbers that overflow to an infinity, none of which other readers need to take. A hash over such a
text would stand for two values.
"""

from __future__ import annotations

import json
from math import isinf
from typing import NoReturn

from auditkit_django.ledger.errors import MalformedError, excerpt


def decode(text: str) -> object:
    """
    The value of the JSON ``text``.

    Raises:
        MalformedError: Not JSON, a name used twice in an object, a number without a finite value, or nesting or
            digits beyond the interpreter's limits.
    """
    try:
        return DECODER.decode(text)
    except (ValueError, RecursionError) as exc:
        raise MalformedError(f"JSON: got {excerpt(text)}, wanted one strict value ({excerpt(exc)})") from exc


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise ValueError("a name twice in one object")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if isinf(number):
        raise ValueError("a number beyond the range of a double")
    return number


def _refuse(token: str) -> NoReturn:
    raise ValueError(f"{token} is not JSON")


#: For ``raw_decode`` in a loop; raises ValueError and RecursionError.
DECODER = json.JSONDecoder(object_pairs_hook=_unique, parse_float=_finite, parse_constant=_refuse)
