"""
What an event may disclose: facts that have no column, looked for in the text of its disclosures.

Each is asked twice. LIKE leaves out nearly every row, cheaply; on what is left the values themselves are compared: on
PostgreSQL by functions of the database (``sql/disclosed.py``), on SQLite by :meth:`Fact.is_in`.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from auditkit_django.ledger.disclosure import encode_value
from auditkit_django.query import patterns
from auditkit_django.query.values import address_of, contains, is_same, loaded, member, texts_of

Sql = tuple[str, list[Any]]


class Fact(Protocol):
    """
    ``patterns``: a text that holds the fact matches one of each group. ``is_folded``: they are for the text in lower case (of
    ASCII letters alone).
    """

    kind: ClassVar[str]
    is_folded: ClassVar[bool]

    @property
    def patterns(self) -> tuple[tuple[str, ...], ...]: ...

    def postgresql(self, column: str) -> Sql:
        """SQL that compares the values, with its parameters."""

    def is_in(self, opened: Mapping[str, Any]) -> bool:
        """Whether these values, by field name, hold it."""


@dataclass(frozen=True, slots=True)
class FromNetwork:
    """It came from an address in ``network``."""

    kind: ClassVar[str] = "ip"
    is_folded: ClassVar[bool] = True
    network: str

    @property
    def patterns(self) -> tuple[tuple[str, ...], ...]:
        return (patterns.addresses(ipaddress.ip_network(self.network)),)

    def postgresql(self, column: str) -> Sql:
        return f"auditkit_django_within({column}, %s::inet)", [self.network]

    def is_in(self, opened: Mapping[str, Any]) -> bool:
        address = address_of(member(opened.get("context"), "ip"))
        return address is not None and address in ipaddress.ip_network(self.network)


@dataclass(frozen=True, slots=True)
class OfRequest:
    """It belongs to the request with that id."""

    kind: ClassVar[str] = "request_id"
    is_folded: ClassVar[bool] = False
    request_id: str

    @property
    def patterns(self) -> tuple[tuple[str, ...], ...]:
        return ((f"%{patterns.member('request_id')}{patterns.leaf(self.request_id)}%",),)

    def postgresql(self, column: str) -> Sql:
        found = f"auditkit_django_opened({column}) -> 'context' -> 2 -> 'request_id'"
        return f"{found} = %s::jsonb", [encode_value(self.request_id)]

    def is_in(self, opened: Mapping[str, Any]) -> bool:
        return is_same(member(opened.get("context"), "request_id"), self.request_id)


@dataclass(frozen=True, slots=True)
class HasMetadata:
    """Its metadata contain ``text``, a JSON object."""

    kind: ClassVar[str] = "metadata"
    is_folded: ClassVar[bool] = False
    text: str

    @property
    def patterns(self) -> tuple[tuple[str, ...], ...]:
        return tuple((pattern,) for pattern in dict.fromkeys(patterns.leaves(json.loads(self.text))))

    def postgresql(self, column: str) -> Sql:
        return f"auditkit_django_opened({column}) -> 'metadata' -> 2 @> %s::jsonb", [self.text]

    def is_in(self, opened: Mapping[str, Any]) -> bool:
        return contains(opened.get("metadata"), loaded(self.text))


@dataclass(frozen=True, slots=True)
class MetadataAt:
    """The value at ``path`` in its metadata is one of ``forms`` (JSON texts of scalars), or a list that has one of them."""

    kind: ClassVar[str] = "metadata_at"
    is_folded: ClassVar[bool] = False
    path: tuple[str, ...]
    forms: tuple[str, ...]

    @property
    def patterns(self) -> tuple[tuple[str, ...], ...]:
        start = patterns.member(self.path[-1])
        return (tuple(f"%{start}%{patterns.leaf(json.loads(form))}%" for form in self.forms),)

    def postgresql(self, column: str) -> Sql:
        found = f"auditkit_django_opened({column}) -> 'metadata' -> 2" + " -> %s::text" * len(self.path)
        forms = ", ".join(["%s"] * len(self.forms))
        return f"({found}) @> ANY(ARRAY[{forms}]::jsonb[])", [*self.path, *self.forms]

    def is_in(self, opened: Mapping[str, Any]) -> bool:
        value = opened.get("metadata")
        for name in self.path:
            if not isinstance(value, dict) or name not in value:
                return False
            value = value[name]
        found = value if isinstance(value, list) else [value]
        return any(is_same(one, loaded(form)) for one in found for form in self.forms)


@dataclass(frozen=True, slots=True)
class Mentions:
    """
    One of its values has ``term`` in it, whatever the case of its letters.

    Letters are the same where one is the other's simple upper or lower case: what is found depends on no locale.
    """

    kind: ClassVar[str] = "text"
    is_folded: ClassVar[bool] = True
    term: str

    @property
    def patterns(self) -> tuple[tuple[str, ...], ...]:
        return ((f"%{patterns.folded(self.term)}%",),)

    @property
    def expression(self) -> str:
        """A regular expression that Python and PostgreSQL read alike."""
        return "".join(map(_in_either_case, self.term))

    def postgresql(self, column: str) -> Sql:
        return f"auditkit_django_mentions({column}, %s)", [self.expression]

    def is_in(self, opened: Mapping[str, Any]) -> bool:
        search = re.compile(self.expression).search
        return any(search(text) for text in texts_of(list(opened.values())))


def _in_either_case(character: str) -> str:
    if not character.isalnum():
        return f"\\{character}" if character.isascii() and character.isprintable() else character
    forms = dict.fromkeys((character, character.lower(), character.upper(), character.title()))
    found = "".join(form for form in forms if len(form) == 1)
    return f"[{found}]" if len(found) > 1 else found
