"""How each peer is told to audit a model: one line of its own documentation, with its default settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from django.db.models import Model
    from django.http import HttpRequest


def track(model: type[Model], variant: str) -> None:
    """Have ``variant`` audit ``model``. easyaudit audits every model; plain and auditkit have nothing to register."""
    if variant == "tracked":
        from auditkit_django import track as track_model

        track_model(tenant="organization")(model)
    elif variant == "auditlog":
        from auditlog.registry import auditlog

        auditlog.register(model)
    elif variant == "simple_history":
        import simple_history

        simple_history.register(model)
    elif variant == "pghistory":
        import pghistory

        pghistory.track()(model)


@contextmanager
def acting(request: HttpRequest, variant: str) -> Iterator[None]:
    """What the middleware of ``variant`` does for a request: an audit record without its actor is half a record."""
    if variant in ("auditkit", "tracked"):
        from auditkit_django import auditlog

        with auditlog.context(request=request):
            yield
    elif variant == "auditlog":
        from auditlog.context import set_actor

        with set_actor(request.user, remote_addr=request.META["REMOTE_ADDR"]):
            yield
    elif variant == "simple_history":
        from simple_history.models import HistoricalRecords

        HistoricalRecords.context.request = request
        yield
    elif variant == "pghistory":
        import pghistory

        with pghistory.context(user=request.user.pk, url=request.path):
            yield
    elif variant == "easyaudit":
        from easyaudit.middleware.easyaudit import set_current_user

        set_current_user(request.user)
        yield
    else:
        yield
