"""What became of a row: its values before and after, field by field, and which of them really differ."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Literal

from django.core.exceptions import ValidationError
from django.db.models import Field, Model
from django.db.models.fields.files import FieldFile

Kind = Literal["created", "updated", "deleted"]

_MUTABLE = (dict, list, set, bytearray)


@dataclass(frozen=True, slots=True, kw_only=True)
class RowChange:
    """
    One row that was created, updated or deleted. ``old`` and ``new`` hold values by attribute name (``organization_id``),
    of watched fields only; ``old`` is empty for a created row and ``new`` for a deleted one. ``pk`` outlives the
    instance's own, which Django takes away when it deletes. ``operation`` names what was called, where it was not
    ``save()`` or ``delete()`` of the instance.
    """

    kind: Kind
    instance: Model
    pk: Any
    old: Mapping[str, Any]
    new: Mapping[str, Any]
    operation: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationChange:
    """Keys that left and joined a many-to-many relation of ``instance``."""

    instance: Model
    field: str
    removed: tuple[Any, ...] = ()
    added: tuple[Any, ...] = ()


def kept(value: Any) -> Any:
    """``value`` as it is now, whatever is done to it later."""
    if isinstance(value, _MUTABLE):
        return copy.deepcopy(value)
    return value.name if isinstance(value, FieldFile) else value


def is_expression(value: Any) -> bool:
    """Whether only the database knows the value: ``F("total") + 1``, a database default."""
    return hasattr(value, "resolve_expression")


def read(instance: Model, names: Iterable[str]) -> dict[str, Any]:
    """The values of the fields that are loaded, by attribute name."""
    loaded = instance.__dict__
    return {name: kept(loaded[name]) for name in names if name in loaded}


def differing(old: Mapping[str, Any], new: Mapping[str, Any], fields: Mapping[str, Field[Any, Any]]) -> set[str]:
    """
    Names of the fields whose value changed. ``"5"`` given to an integer that was 5 is no change: what differs is compared
    again as the field's own type. A field whose old value is not known counts as changed.
    """
    return {name for name, value in new.items() if name not in old or not _is_same(old[name], value, fields.get(name))}


def _is_same(old: Any, new: Any, field: Field[Any, Any] | None) -> bool:
    try:
        if old == new and type(old) is type(new):
            return True
        return field is not None and bool(typed(old, field) == typed(new, field))
    except Exception:  # noqa: BLE001  (a value's own __eq__, which is the host's)
        return False


def typed(value: Any, field: Field[Any, Any]) -> Any:
    """``value`` as ``field`` would give it back; itself where the field cannot tell."""
    try:
        return field.to_python(value)
    except (ValidationError, TypeError, ValueError):
        return value


def shown(value: Any) -> Any:
    """``value`` as an event holds it: JSON values stay, files are their names, binary data its size and digest."""
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, FieldFile):
        return value.name
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return f"{len(data)} bytes, SHA-256 {sha256(data).hexdigest()}"
    return value
