"""The trail and the embedded trail with methods of the host's own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from django.urls import include, path

from auditkit_django.trail import embed_urls, urls
from auditkit_django.trail.access import TrailView
from auditkit_django.trail.embed import EmbeddedTrail

if TYPE_CHECKING:
    from auditkit_django.query.filters import EventFilter
    from auditkit_django.trail.forms import FilterForm


class LaterOnly(EmbeddedTrail):
    """What was done to one target."""

    def get_filter(self, form: FilterForm) -> EventFilter:
        return replace(super().get_filter(form), target="invitation:later")


class OthersOnly(TrailView):
    """What was done to another one, without verification."""

    def get_filter(self, form: FilterForm) -> EventFilter:
        return replace(super().get_filter(form), target="invitation:other")

    def is_granted(self, scope: str) -> bool:
        return scope != "verify"


urlpatterns = [
    path("embed/", include((embed_urls.patterns(LaterOnly), "auditkit_embed"))),
    path("o/<slug:org>/audit/", include((urls.patterns(OthersOnly), "auditkit_trail"))),
]
