"""A pack of the host's own."""

from __future__ import annotations

VIEWS = ("tests.hooks.covered.views.accepts_all",)


def connect() -> None:
    """Nothing to connect here."""
