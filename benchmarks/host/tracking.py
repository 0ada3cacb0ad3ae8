"""How each peer is told to audit a model: one line of its own documentation, with its default settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.models import Model


def track(model: type[Model], variant: str) -> None:
    """Have ``variant`` audit ``model``. easyaudit audits every model; plain and auditkit have nothing to register."""
    if variant == "auditlog":
        from auditlog.registry import auditlog

        auditlog.register(model)
    elif variant == "simple_history":
        import simple_history

        simple_history.register(model)
    elif variant == "pghistory":
        import pghistory

        pghistory.track()(model)
