"""The report: each route that changes data, and whether it is audited, by what, or why not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from auditkit_django.hooks.coverage import ignoring
from auditkit_django.hooks.coverage.evidence import Evidence, declared
from auditkit_django.hooks.coverage.reaching import Search
from auditkit_django.hooks.coverage.routes import Route, all_routes
from auditkit_django.hooks.coverage.views import Handler, handlers_of

Status = Literal["audited", "ignored", "missing"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """
    One route that changes data. ``evidence`` has what records each method, None for what nothing does; ``reason`` is
    that of the ignore list, "" where the route is not in it.
    """

    route: Route
    view: str
    evidence: Mapping[str, Evidence | None]
    reason: str

    @property
    def missing(self) -> tuple[str, ...]:
        """The methods that nothing records."""
        return tuple(method for method, evidence in self.evidence.items() if evidence is None)

    @property
    def status(self) -> Status:
        """A route is audited if all of its methods are."""
        if self.reason:
            return "ignored"
        return "missing" if self.missing else "audited"


@dataclass(frozen=True, kw_only=True)
class Report:
    """All rows, in the order of the URLconf."""

    rows: Sequence[Row]

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many routes there are of each status."""
        statuses = [row.status for row in self.rows]
        return {
            "audited": statuses.count("audited"),
            "ignored": statuses.count("ignored"),
            "missing": statuses.count("missing"),
        }

    @property
    def percent(self) -> float:
        """Audited routes of those that are not ignored; 100 where there are none."""
        wanted = self.counts["audited"] + self.counts["missing"]
        return 100 * self.counts["audited"] / wanted if wanted else 100.0


def report(urlconf: str | None = None) -> Report:
    """
    The report on the routes of ``urlconf`` (default: ``ROOT_URLCONF``).

    Raises:
        ImproperlyConfigured: ``COVERAGE_IGNORE`` has an entry without a reason, or one that matches nothing.
    """
    entries = ignoring.ignored()
    found = [(route, handlers) for route in all_routes(urlconf) if (handlers := handlers_of(route.view))]
    ignoring.check_all_used(entries, (route for route, _handlers in found))
    return Report(
        rows=[_row(route, handlers, ignoring.reason_of(route.path, route.name, entries)) for route, handlers in found]
    )


def _row(route: Route, handlers: Sequence[Handler], reason: str) -> Row:
    read: dict[int, Evidence | None] = {}
    evidence: dict[str, Evidence | None] = {}
    for handler in handlers:
        found = declared(handler)
        if found is None:
            # A function view answers all methods alike, and is read once.
            key = id(handler.function)
            found = read[key] if key in read else read.setdefault(key, Search(handler).found)
        evidence[handler.method] = found
    return Row(route=route, view=handlers[0].shown, evidence=evidence, reason=reason)
