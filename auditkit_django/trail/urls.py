"""
Where the trail's pages are: include this module anywhere, also below a prefix with arguments of your own.

::

    path("o/<slug:org>/audit/", include("auditkit_django.trail.urls"))

With methods of your own, see :class:`auditkit_django.trail.access.TrailView`::

    class OurTrail(TrailView):
        page_size = 100

    path("audit/", include((trail.urls.patterns(OurTrail), "auditkit_trail")))
"""

from __future__ import annotations

from django.urls import URLPattern, path

from auditkit_django.trail.access import TrailView
from auditkit_django.trail.views import (
    EventDetail,
    EventExport,
    EventList,
    EvidenceExport,
    NewestCheckpoint,
    Verification,
)

app_name = "auditkit_trail"


def patterns(trail: type[TrailView] = TrailView) -> list[URLPattern]:
    """The URL patterns of the trail's views, each with the methods of ``trail`` in front of its own."""

    def view(own: type[TrailView]) -> type[TrailView]:
        return own if trail is TrailView else type(own.__name__, (trail, own), {})

    return [
        path("", view(EventList).as_view(), name="events"),
        path("events/<uuid:event_id>/", view(EventDetail).as_view(), name="event"),
        path("verify/", view(Verification).as_view(), name="verify"),
        path("checkpoint.txt", view(NewestCheckpoint).as_view(), name="checkpoint"),
        path("evidence/", view(EvidenceExport).as_view(), name="evidence"),
        path("export.csv", view(EventExport).as_view(), name="export"),
    ]


urlpatterns = patterns()
