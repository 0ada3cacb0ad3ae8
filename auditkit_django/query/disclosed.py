"""The condition of a queryset that a row's disclosures hold a fact, on both databases."""

from __future__ import annotations

import json
import re
from dataclasses import astuple
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from django.db.models import BooleanField, Func

from auditkit_django.query.facts import Fact, FromNetwork, HasMetadata, Mentions, MetadataAt, OfRequest, Sql
from auditkit_django.query.values import opened

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

_KINDS: Final[dict[str, Any]] = {one.kind: one for one in (FromNetwork, OfRequest, HasMetadata, MetadataAt, Mentions)}
_LETTER: Final = re.compile("[a-z]")
#: How a pattern for an address begins: the name of a member is in lower case anyway.
_MEMBER: Final = '%"ip":"'
_FUNCTION: Final = "auditkit_django_discloses"
_ASKED: Final[WeakKeyDictionary[BaseDatabaseWrapper, object]] = WeakKeyDictionary()


class Discloses(Func):
    """Whether the row's disclosures hold ``fact``. Never NULL: what is erased or changed by hand holds nothing."""

    output_field = BooleanField()
    arity = 1

    def __init__(self, fact: Fact) -> None:
        super().__init__("disclosures")
        self.fact = fact

    def as_postgresql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Sql:
        [source] = self.get_source_expressions()
        column, _params = compiler.compile(source)
        is_like, patterns = self._likeness(column, f'lower({column} COLLATE "C")')
        is_so, params = self.fact.postgresql(column)
        # CASE, so that whatever the planner thinks of their costs the cheaper one is asked first.
        return f"CASE WHEN {is_like} THEN COALESCE({is_so}, false) ELSE false END", [*patterns, *params]

    def as_sqlite(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **extra: Any) -> Sql:  # type: ignore[override]
        _let_ask(connection)
        [source] = self.get_source_expressions()
        column, _params = compiler.compile(source)
        is_like, patterns = self._likeness(column, f"lower({column})")
        said = json.dumps([self.fact.kind, *astuple(self.fact)])  # type: ignore[call-overload]
        return f"CASE WHEN {is_like} THEN {_FUNCTION}(%s, {column}) ELSE 0 END", [*patterns, said]

    def _likeness(self, text: str, folded: str) -> Sql:
        groups = self.fact.patterns

        def like(pattern: str) -> str:
            # Lower case costs as much as LIKE: what has no letters is looked for as it is.
            is_folded = self.fact.is_folded and _LETTER.search(pattern.removeprefix(_MEMBER))
            return f"{folded if is_folded else text} LIKE %s ESCAPE '\\'"

        sql = " AND ".join("(" + " OR ".join(map(like, group)) + ")" for group in groups)
        return sql or f"{text} IS NOT NULL", [pattern for group in groups for pattern in group]


def _let_ask(connection: BaseDatabaseWrapper) -> None:
    """Give this connection of SQLite the function, once: it cannot be given while a statement runs."""
    connection.ensure_connection()
    if _ASKED.get(connection) is not connection.connection:
        connection.connection.create_function(_FUNCTION, 2, _discloses, deterministic=True)
        _ASKED[connection] = connection.connection


def _discloses(said: str, disclosures: str) -> bool:
    fact = _fact(said)
    try:
        return fact.is_in(opened(disclosures))
    except (ValueError, ArithmeticError, RecursionError):
        # Changed by hand: no JSON, numbers beyond every range, or deeper than the interpreter follows.
        return False


@lru_cache(maxsize=64)
def _fact(said: str) -> Fact:
    kind, *members = json.loads(said)
    fact: Fact = _KINDS[kind](*(tuple(one) if isinstance(one, list) else one for one in members))
    return fact
