"""
The pytest plugin: the fixture ``audit_events``, and ``--auditkit-coverage``.

Loaded by pytest before Django is set up, in every project that has this package: nothing of Django is imported until a
test asks for the fixture or the option is given.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from auditkit_django.testing.capturing import Capture
    from auditkit_django.testing.observing import Endpoint, Observer, Tally

_OUTPUT: Final = "auditkit_coverage"
_MARKER: Final = "auditkit_silent"


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--auditkit-coverage`` and ``--auditkit-coverage-fail``."""
    group = parser.getgroup("auditkit", "audit log")
    group.addoption(
        "--auditkit-coverage",
        action="store_true",
        help="report requests of the tests that changed data (POST, PUT, PATCH, DELETE) and left no event, by route",
    )
    group.addoption(
        "--auditkit-coverage-fail", action="store_true", help="the same, and exit with 1 if there is such a route"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker; with the option, start observing."""
    config.addinivalue_line(
        "markers", f'{_MARKER}(reason): requests of this test rightly leave no event ("nothing was changed")'
    )
    if config.getoption("--auditkit-coverage") or config.getoption("--auditkit-coverage-fail"):
        config.pluginmanager.register(_Coverage(config), "auditkit-coverage")


@pytest.fixture
def audit_events() -> Iterator[Capture]:
    """The events recorded from here on, as a sequence (``auditkit_django.testing.capture_events``)."""
    from auditkit_django.testing.capturing import capture_events

    with capture_events() as events:
        yield events


class _Coverage:
    """Observes one run. Under xdist each worker observes its part and hands it to the controller, which reports."""

    def __init__(self, config: pytest.Config) -> None:
        from auditkit_django.testing.observing import Observer

        self._config = config
        self._observer: Observer = Observer()
        self._problem = ""
        self._observer.install()

    def pytest_unconfigure(self) -> None:
        self._observer.uninstall()

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            marker = item.get_closest_marker(_MARKER)
            if marker is not None and not any(isinstance(given, str) and given.strip() for given in marker.args):
                raise pytest.UsageError(f'{item.nodeid}: {_MARKER}: no reason is given, wanted {_MARKER}("why")')

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        self._observer.test = None if item.get_closest_marker(_MARKER) is not None else item.nodeid

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """A worker of xdist has ended."""
        from auditkit_django.testing.observing import Endpoint, Tally

        output = getattr(node, "workeroutput", {}).get(_OUTPUT, {})
        self._problem = self._problem or output.get("problem", "")
        self._observer.add({Endpoint(*key): Tally(*tally) for key, tally in output.get("tallies", ())})

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self._observer.tallies:
            self._leave_out_ignored()
        output = getattr(self._config, "workeroutput", None)
        if output is not None:
            tallies = [(tuple(one), (t.requests, t.silent, t.test)) for one, t in self._observer.tallies.items()]
            output[_OUTPUT] = {"tallies": tallies, "problem": self._problem}
            return
        is_failure = self._config.getoption("--auditkit-coverage-fail") and (self._problem or self._silent())
        if is_failure and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        terminalreporter.section("audit log coverage")
        for line in self._lines():
            terminalreporter.write_line(line)

    def _lines(self) -> Iterator[str]:
        if self._problem:
            yield self._problem
        silent, count = self._silent(), len(self._observer.tallies)
        if not count:
            yield "No request of these tests changed data."
        elif not silent:
            yield f"Every request that changed data left an event, on {count} endpoints (route and method)."
        else:
            yield f"Requests changed data and left no event, on {len(silent)} of {count} endpoints (route and method):"
        for endpoint, tally in silent:
            name = f" ({endpoint.name})" if endpoint.name else ""
            times = f"{tally.silent} of {tally.requests} requests"
            yield f"  {endpoint.method} {endpoint.path or '/'}{name}: {times}, first in {tally.test}"

    def _silent(self) -> list[tuple[Endpoint, Tally]]:
        found = [(endpoint, tally) for endpoint, tally in self._observer.tallies.items() if tally.silent]
        return sorted(found, key=lambda one: (one[0].path, one[0].method))

    def _leave_out_ignored(self) -> None:
        from django.core.exceptions import ImproperlyConfigured

        from auditkit_django.hooks.coverage import ignoring

        try:
            entries = ignoring.ignored()
        except ImproperlyConfigured as exc:
            self._problem = str(exc)
            return
        tallies = self._observer.tallies
        for endpoint in [one for one in tallies if ignoring.reason_of(one.path, one.name, entries)]:
            del tallies[endpoint]
