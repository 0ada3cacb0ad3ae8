"""Rows read for their old values: whole instances where a sink wants them, else shells with the columns it needs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from django.db.models import F, Lookup, Model, QuerySet
from django.db.models.base import ModelState

from auditkit_django.hooks.tracking.watching import active_watches_of

if TYPE_CHECKING:
    _Lookup = Lookup[Any]
else:
    # Subscriptable only with django-stubs-ext at run time.
    _Lookup = Lookup

CHUNK = 5000
"""Rows that are read, changed and told together. An update alone is one statement, and holds all rows it changes."""


def with_keys(rows: QuerySet[Any], keys: Sequence[Any]) -> QuerySet[Any]:
    """Those of ``rows`` that have one of ``keys``."""
    key: Any = rows.model._meta.pk
    return rows.filter(pk__in=keys) if len(rows.model._meta.pk_fields) > 1 else rows.filter(_Among(F(key.name), keys))


class _Among(_Lookup):
    """
    Whether a key is in a list that is one parameter to the database: of a list of thousands each, which ``IN`` sends, most of
    an update's time is spent in reading the statement.
    """

    prepare_rhs = False
    lookup_name = "among"

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        """``key = ANY(list)`` on PostgreSQL, ``key IN (…)`` elsewhere."""
        left, parameters = self.process_lhs(compiler, connection)
        field: Any = self.lhs.output_field
        keys = [field.get_db_prep_value(key, connection) for key in self.rhs]
        if connection.vendor == "postgresql":
            return f"{left} = ANY(%s)", [*parameters, keys]
        if connection.vendor == "sqlite" and all(isinstance(key, int | str) for key in keys):
            # SQLite limits the number of parameters.
            return f"{left} IN (SELECT value FROM json_each(%s))", [*parameters, json.dumps(keys)]
        return f"{left} IN ({', '.join(['%s'] * len(keys))})", [*parameters, *keys]


def locked(rows: QuerySet[Any], fields: Iterable[str], *, using: str, limit: int | None = None) -> list[Any]:
    """
    The rows of ``rows`` (of one table) with ``fields`` at least, in the order of their keys, locked until the transaction ends.

    A shell is an instance as ``only()`` gives it, made without signals and several times cheaper; what it has not loaded it
    reads when asked. Of shells, ``limit`` are enough.
    """
    watches = active_watches_of(rows.model)
    rows = rows.using(using).select_for_update(of=("self",)).order_by("pk")
    if not are_shells(rows.model):
        related = sorted({path for watch in watches for path in watch.related})
        return list(rows.select_related(*related) if related else rows)
    keys = {one.attname for one in rows.model._meta.pk_fields}
    needed = {name for watch in watches for name in watch.needs or ()}
    return _shells(rows, tuple({*keys, *needed, *fields}), using=using, limit=limit)


def are_shells(model: type[Model]) -> bool:
    """Whether no sink wants whole instances of ``model``."""
    return all(watch.needs is not None for watch in active_watches_of(model))


def _shells(rows: QuerySet[Any], names: Sequence[str], *, using: str, limit: int | None) -> list[Model]:
    model: Any = rows.model
    made: list[Model] = []
    # A lock "of self" needs instances to tell whose columns these are; the table is the only one.
    rows.query.select_for_update_of = ()
    for values in rows.values_list(*names)[:limit]:
        one = model.__new__(model)
        one.__dict__.update(zip(names, values, strict=True))
        one._state = state = ModelState()
        state.db, state.adding = using, False
        made.append(one)
    return made
