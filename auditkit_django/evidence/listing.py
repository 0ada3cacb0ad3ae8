"""Exports without proof: events as they are listed, by when they occurred, with those that have no entry yet."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from tempfile import TemporaryFile
from typing import Any, Final

from django.utils import timezone

from auditkit_django.evidence import copies
from auditkit_django.evidence.layouts import blocks
from auditkit_django.evidence.order import Export, Order
from auditkit_django.evidence.tables import csv_lines, json_lines, jsonl_lines
from auditkit_django.ledger.entry import format_time
from auditkit_django.query.filters import EventFilter
from auditkit_django.query.pages import ListedEvent, each_event
from auditkit_django.recording.record import record

_LAYOUTS: Final[dict[str, Callable[[Iterable[ListedEvent]], Iterator[str]]]] = {
    "csv": csv_lines,
    "json": json_lines,
    "jsonl": jsonl_lines,
}
_COPIES: Final = ("parquet", "xlsx")
_BLOCK: Final = 1024 * 1024
#: What stands for a field that is withheld, where None does not.
_EMPTY: Final[dict[str, Any]] = {"changes": [], "context": {}, "metadata": {}, "targets": []}


def listing(order: Order, *, using: str) -> Export:
    """
    The file that ``order`` asks for; the export is recorded first.

    Raises:
        ImproperlyConfigured: The library of a copy is not installed.
    """
    if order.format in _COPIES:
        copies.require(order.format)
    record(action="audit.log.exported", tenant=order.tenant, metadata=order.described(), using=using)
    found = Export(order=order, blocks=iter(()))
    found.blocks = _copied(found) if order.format in _COPIES else blocks(_LAYOUTS[order.format](_events(found)))
    return found


def _copied(found: Export) -> Iterator[bytes]:
    """The blocks of a copy, which its library writes at its own pace."""
    order, said = found.order, _said(found.order)
    with TemporaryFile() as file:
        if order.format == "xlsx":
            copies.write_xlsx(_events(found), file, title=order.tenant, said=said)
        else:
            copies.write_parquet(_events(found), file, said=said)
        file.seek(0)
        while block := file.read(_BLOCK):
            yield block


def _said(order: Order) -> dict[str, str]:
    """What a copy states of itself, by label."""
    window = f"{order.start or 'the beginning'} to {order.end or 'now'}, by time of occurrence"
    words = ", ".join(f"{name} {value}" for name, value in order.chosen.described().items())
    return {
        "Tenant": order.tenant,
        "Window": window,
        "Filter": words or "none",
        "Withheld": ", ".join(order.withheld) or "nothing",
        "Exported at": format_time(timezone.now()),
    }


def _events(found: Export) -> Iterator[ListedEvent]:
    order = found.order
    hidden: dict[str, Any] = {name: _EMPTY.get(name) for name in order.withheld}
    for event in each_event(order.tenant, _narrowed(order)):
        found.events += 1
        yield replace(event, **hidden) if hidden else event


def _narrowed(order: Order) -> EventFilter:
    """The filter, within the window."""
    starts = [one for one in (order.start, order.chosen.start) if one is not None]
    ends = [one for one in (order.end, order.chosen.end) if one is not None]
    return replace(order.chosen, start=max(starts, default=None), end=min(ends, default=None))
