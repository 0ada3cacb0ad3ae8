"""
Values made safe before any SQL: secrets redacted, text repaired, sizes limited (S1), each with a mark.

After this no user's string can break the caller's transaction or the appender: the result holds only JSON values,
NUL and lone surrogates are U+FFFD, numbers survive every JSON reader. What was changed is noted by path.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Final
from uuid import UUID

from django.db.models import Model
from django.utils.functional import Promise

from auditkit_django.conf import settings
from auditkit_django.drafts import MAX_DEPTH, MAX_KEY, MAX_KEYS, MAX_SAFE_INTEGER, MAX_STRING
from auditkit_django.exceptions import MalformedError
from auditkit_django.recording.redaction import REDACTED, Rules, is_known_plain, is_secret_name, redact, rules

REPLACEMENT: Final = "�"
_UNSAFE: Final = re.compile("[\x00\ud800-\udfff]")
_MAX_NOTES: Final = 20
#: More items than this cannot fit into any event: lists of lists are cut before they are walked.
_MAX_ITEMS: Final = 8192
#: More text than this cannot fit either: what comes after it is not searched for secrets but left out.
_MAX_TEXT: Final = 64 * 1024
_SHORT_TEXT: Final = 64
#: A secret that the limit would cut in two is still found whole.
_OVERLAP: Final = 4096


class Notes:
    """What cleaning changed, by path: ``redacted``, ``repaired``, ``truncated``."""

    __slots__ = ("found", "items", "keys", "oversize", "rules", "text")

    def __init__(self) -> None:
        self.rules = rules()
        self.oversize = settings.OVERSIZE
        self.found: dict[str, list[str]] = {}
        self.keys = 0
        self.items = 0
        self.text = 0

    def add(self, kind: str, path: str) -> None:
        """Note that the value at ``path`` was changed; the first few of each kind are kept."""
        paths = self.found.setdefault(kind, [])
        if len(paths) < _MAX_NOTES:
            paths.append(path[:200])

    def truncated(self, path: str, got: str, wanted: str) -> None:
        """Note a cut, or refuse the value where ``OVERSIZE`` says so."""
        if self.oversize == "reject":
            raise MalformedError(f"{path}: got {got}, wanted {wanted}")
        self.add("truncated", path)


def clean_text(text: str, *, path: str, notes: Notes, limit: int = MAX_STRING) -> str:
    """``text`` cut to ``limit`` characters, repaired and redacted."""
    if len(text) <= _SHORT_TEXT and is_known_plain(text, notes.rules):
        notes.text += len(text)
        return text
    notes.text += min(len(text), limit)
    if notes.text > _MAX_TEXT and len(text) > _SHORT_TEXT:
        notes.truncated(path, f"more than {_MAX_TEXT} characters in all", f"at most {_MAX_TEXT}")
        return "[truncated]"
    if len(text) > limit:
        notes.truncated(path, f"{len(text)} characters", f"at most {limit}")
        text = text[: limit + _OVERLAP]
    if not (text.isascii() and "\0" not in text) and _UNSAFE.search(text):
        notes.add("repaired", path)
        text = _UNSAFE.sub(REPLACEMENT, text)
    safe = redact(text, notes.rules)
    if safe is not text and safe != text:
        notes.add("redacted", path)
    return safe[:limit]


def clean(value: object, *, path: str, notes: Notes, depth: int = 0) -> object:
    """
    ``value`` as a safe JSON value.

    Raises:
        MalformedError: A type that has no JSON form, or (``OVERSIZE = "reject"``) a value over the limits.
    """
    kind = type(value)
    if kind is str:
        return clean_text(value, path=path, notes=notes)  # type: ignore[arg-type]
    if value is None or kind is bool:
        return value
    if kind is int:
        return _clean_integer(value, path=path, notes=notes)  # type: ignore[arg-type]
    if kind is float:
        return value if math.isfinite(value) else str(value)  # type: ignore[arg-type]
    if depth >= MAX_DEPTH and isinstance(value, (Mapping, list, tuple, set, frozenset)):
        notes.truncated(path, f"nesting deeper than {MAX_DEPTH}", f"at most {MAX_DEPTH} levels")
        return "[truncated]"
    if isinstance(value, Mapping):
        return _clean_mapping(value, path=path, notes=notes, depth=depth)
    if isinstance(value, (list, tuple, set, frozenset)):
        return _clean_items(value, path=path, notes=notes, depth=depth)
    return _clean_scalar(value, path=path, notes=notes)


def _clean_integer(value: int, *, path: str, notes: Notes) -> object:
    if -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        return value
    if value.bit_length() > 1024:
        notes.truncated(path, f"an integer of {value.bit_length()} bits", "at most 1024")
        return "[truncated]"
    return str(value)


def _clean_mapping(value: Mapping[object, object], *, path: str, notes: Notes, depth: int) -> dict[str, object]:
    cleaned: dict[str, object] = {}
    for key, item in value.items():
        notes.keys += 1
        if notes.keys > MAX_KEYS:
            notes.truncated(path, f"more than {MAX_KEYS} keys", f"at most {MAX_KEYS}")
            break
        name = _clean_key(key, path=path, notes=notes)
        where = f"{path}.{name}"
        if is_secret_name(name, notes.rules) and item is not None and type(item) is not bool:
            notes.add("redacted", where)
            cleaned[name] = REDACTED
        else:
            cleaned[name] = clean(item, path=where, notes=notes, depth=depth + 1)
    return cleaned


def _clean_key(key: object, *, path: str, notes: Notes) -> str:
    if type(key) is str:
        name = key
    elif isinstance(key, int) and not isinstance(key, (bool, Enum)):
        name = str(_clean_integer(key, path=f"{path} (a key)", notes=notes))
    elif isinstance(key, (str, int, UUID, Promise)) and not isinstance(key, bool):
        name = str(key.value) if isinstance(key, Enum) else str(key)
    else:
        raise MalformedError(f"{path}: got a key of type {type(key).__name__}, wanted text")
    return clean_name(name, path=f"{path} (a key)", notes=notes)


def clean_name(name: str, *, path: str, notes: Notes) -> str:
    """``name``, of a member or a field, cut to 128 characters, repaired and redacted."""
    if not _is_plain_key(name, notes.rules):
        return clean_text(name, path=path, notes=notes, limit=MAX_KEY)
    return name


@lru_cache(maxsize=4096)
def _is_plain_key(name: str, by: Rules) -> bool:
    # Cached: a host's code has few key names.
    return len(name) <= MAX_KEY and not _UNSAFE.search(name) and redact(name, by) == name


def _clean_items(value: Iterable[object], *, path: str, notes: Notes, depth: int) -> list[object]:
    items = sorted(value, key=repr) if isinstance(value, (set, frozenset)) else list(value)
    if len(items) > MAX_KEYS:
        notes.truncated(path, f"{len(items)} items", f"at most {MAX_KEYS}")
        items = items[:MAX_KEYS]
    notes.items += len(items)
    if notes.items > _MAX_ITEMS:
        notes.truncated(path, f"more than {_MAX_ITEMS} items in all", f"at most {_MAX_ITEMS}")
        return []
    return [clean(item, path=f"{path}[{index}]", notes=notes, depth=depth + 1) for index, item in enumerate(items)]


def _clean_scalar(value: object, *, path: str, notes: Notes) -> object:
    if isinstance(value, Enum):
        return clean(value.value, path=path, notes=notes)
    if isinstance(value, (str, UUID, Decimal, Promise)):
        return clean_text(str(value), path=path, notes=notes)
    if isinstance(value, int):
        return clean(int(value), path=path, notes=notes)
    if isinstance(value, float):
        return clean(float(value), path=path, notes=notes)
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, timedelta):
        return f"{value.total_seconds()}s"
    if isinstance(value, Model):
        return str(value.pk)
    raise MalformedError(
        f"{path}: got {type(value).__name__}, wanted text, a number, a boolean, a date, a UUID, None, a list or a dict of these"
    )
