r"""
The query language: from a text to conditions, and back.

::

    query      terms with blanks between them; all must hold
    term       ["-"] (word | quoted | field ":" value {"," value})      "-" excludes; of several values one must hold
    word       no blank, colon or quote in it: looked for in every value of an event, like quoted text
    value      a word, which may have colons, or quoted
    quoted     "…", in which \" and \\ stand for " and \
    field      one of ``fields.FIELDS``, or metadata.name, metadata.name.name; a name may be quoted

Field names and words of ours (actions, outcomes, …) may be written in either case.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from auditkit_django.exceptions import MalformedError, QueryError
from auditkit_django.query.fields import ALIASES, FIELDS, MAX_TEXT, UNUSABLE, closest_field

MAX_CONDITIONS: Final = 50
"""Terms of a query, each counted once for each of its values."""

_FIELD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: A name in a path that needs no quotes, and one in quotes.
_NAME: Final = re.compile(r'[^\s.,:"]+')
_QUOTED: Final = re.compile(r'"(?:\\.|[^"\\])*"', re.DOTALL)
_STEP: Final = re.compile(rf"\.({_QUOTED.pattern}|{_NAME.pattern})", re.DOTALL)
_METADATA: Final = re.compile(rf"metadata((?:{_STEP.pattern})+):", re.DOTALL | re.IGNORECASE)
_ESCAPED: Final = re.compile(r'\\(["\\])')
#: A backslash that would be read as the first half of an escape.
_TO_ESCAPE: Final = re.compile(r'"|\\(?=["\\]|\Z)')
#: What a word to look for, and what a value, has only in quotes.
_ENDS_WORD: Final = re.compile(r'[\s:"]')
_ENDS_VALUE: Final = re.compile(r'[\s,"]')


@dataclass(frozen=True, slots=True)
class Condition:
    """
    One term. ``field`` is a name in ``fields.FIELDS`` or ``metadata`` with its ``path``; ``values`` are as that field reads
    them, one of them must hold. ``position`` is the index of its first character.
    """

    field: str
    values: tuple[str, ...]
    is_negated: bool = False
    position: int = dataclasses.field(default=0, compare=False)
    path: tuple[str, ...] = ()

    def __str__(self) -> str:
        sign = "-" if self.is_negated else ""
        if self.field == "text" and len(self.values) == 1:
            return sign + _free(self.values[0])
        name = ".".join([self.field, *(part if _NAME.fullmatch(part) else _quoted(part) for part in self.path)])
        return f"{sign}{name}:{','.join(map(_plain, self.values))}"


class Query(tuple[Condition, ...]):
    """The conditions of a query, in its order; all must hold. ``str()`` is a text that parses to the same ones."""

    __slots__ = ()

    def __str__(self) -> str:
        return " ".join(map(str, self))


def parse(text: str) -> Query:
    """
    The conditions that ``text`` asks for; none where it is blank.

    Raises:
        QueryError: It is longer than ``MAX_TEXT`` characters, has more than ``MAX_CONDITIONS`` conditions, or something in it
            cannot be meant; ``position`` says where.
    """
    if len(text) > MAX_TEXT:
        raise _error(f"got {len(text)} characters", f"at most {MAX_TEXT}", MAX_TEXT)
    if unusable := UNUSABLE.search(text):
        raise _error(f"got U+{ord(unusable[0]):04X}", "text", unusable.start())
    found: list[Condition] = []
    count = 0
    for condition in _Reader(text).conditions():
        count += len(condition.values)
        if count > MAX_CONDITIONS:
            raise _error(f"got more than {MAX_CONDITIONS} conditions", "fewer", condition.position)
        found.append(condition)
    return Query(found)


class _Reader:
    """Reads one text from left to right; ``at`` is the index of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def conditions(self) -> Iterator[Condition]:
        while True:
            while self.next.isspace():
                self.at += 1
            if not self.next:
                return
            yield self._term()

    @property
    def next(self) -> str:
        """The next character; empty at the end."""
        return self.text[self.at : self.at + 1]

    @property
    def _is_at_blank(self) -> bool:
        return not self.next or self.next.isspace()

    def _term(self) -> Condition:
        start = self.at
        is_negated = self.next == "-"
        if is_negated:
            self.at += 1
            if self._is_at_blank or self.next == "-":
                raise _error('got a "-" alone', "what it excludes right behind it", start)
        name, path = self._field()
        if not name:
            return Condition("text", (self._free_text(),), is_negated, start)
        return Condition(name, self._values(name), is_negated, start, path)

    def _field(self) -> tuple[str, tuple[str, ...]]:
        """The field whose values come next, with its path; an empty name where there is none."""
        start = self.at
        if found := _METADATA.match(self.text, start):
            self.at = found.end()
            return "metadata", tuple(_unquoted(step[1]) for step in _STEP.finditer(found[1]))
        found = _FIELD.match(self.text, start)
        if not found or self.text[found.end() : found.end() + 1] != ":":
            return "", ()
        name = found[0].lower()
        name = ALIASES.get(name, name)
        if name not in FIELDS:
            wanted = f"{closest_field(name)}; to look for the text, put it in quotes"
            raise _error(f'got the field "{found[0][:40]}"', wanted, start)
        self.at = found.end() + 1
        return name, ()

    def _free_text(self) -> str:
        start = self.at
        if self.next == '"':
            value = self._quoted()
            if not self._is_at_blank:
                raise _error(f"{self._got()} behind the quotes", "a blank", self.at)
        else:
            value = self._until(str.isspace)
            if ":" in value:
                wanted = "quotes around it, or a field such as action, actor or metadata.role in front"
                raise _error(f'got a ":" in {value[:40]!r}', wanted, start + value.index(":"))
        return self._read("text", value, start)

    def _values(self, name: str) -> tuple[str, ...]:
        found: list[str] = []
        while True:
            start = self.at
            if self.next == '"':
                value = self._quoted()
            elif not (value := self._until(lambda one: one == "," or one.isspace())):
                raise _error(self._got(), f"a value of {name}", start)
            if not value and name != "metadata":
                raise _error("got an empty text", f"a value of {name}", start)
            found.append(value if name == "metadata" else self._read(name, value, start))
            if name != "metadata" and FIELDS[name].is_single and self.next == ",":
                raise _error('got a ","', f"one value of {name}", self.at)
            if self._is_at_blank:
                return tuple(found)
            if self.next != ",":
                raise _error(f"{self._got()} behind the quotes", "a comma or a blank", self.at)
            self.at += 1

    def _until(self, is_end: Callable[[str], bool]) -> str:
        """The characters up to the first that ends a word."""
        start = self.at
        while self.next and not is_end(self.next):
            if self.next == '"':
                raise _error("got a quote within a word", "quotes around all of it", self.at)
            self.at += 1
        return self.text[start : self.at]

    def _quoted(self) -> str:
        found = _QUOTED.match(self.text, self.at)
        if not found:
            raise _error("got a quote that is not closed", 'a " behind the text', self.at)
        self.at = found.end()
        return _unquoted(found[0])

    def _read(self, name: str, value: str, position: int) -> str:
        try:
            return FIELDS[name].read(value)
        except MalformedError as exc:
            raise QueryError(f"query: at character {position + 1}, {exc}", position=position) from exc

    def _got(self) -> str:
        return f"got {self.next!r}" if not self._is_at_blank else "got nothing"


def _error(got: str, wanted: str, position: int) -> QueryError:
    return QueryError(f"query: at character {position + 1}, {got}, wanted {wanted}", position=position)


def _free(value: str) -> str:
    """A text to look for, in quotes unless it would be read as a word."""
    return value if value[0] != "-" and not _ENDS_WORD.search(value) else _quoted(value)


def _plain(value: str) -> str:
    return value if value and not _ENDS_VALUE.search(value) else _quoted(value)


def _quoted(value: str) -> str:
    return '"' + _TO_ESCAPE.sub(lambda found: "\\" + found[0], value) + '"'


def _unquoted(text: str) -> str:
    return _ESCAPED.sub(r"\1", text[1:-1]) if text[0] == '"' else text
