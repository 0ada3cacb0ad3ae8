"""
Where the API is: include this module anywhere.

::

    path("audit/api/", include("auditkit_django.api.urls"))

With methods of your own, see :class:`auditkit_django.api.base.ApiView`::

    class OurApi(ApiView):
        authentication_classes = [GatewayAuthentication]

    path("audit/api/", include((api.urls.patterns(OurApi), "auditkit_api")))
"""

from __future__ import annotations

from django.urls import URLPattern, path

from auditkit_django.api.base import ApiView
from auditkit_django.api.views.catalogue import Actions, Health, NotThere
from auditkit_django.api.views.document import Document
from auditkit_django.api.views.events import Event, Events, Proof
from auditkit_django.api.views.export import Export
from auditkit_django.api.views.log import Consistency, NewestCheckpoint, Tiles, Verification

app_name = "auditkit_api"


def patterns(api: type[ApiView] = ApiView) -> list[URLPattern]:
    """The URL patterns of the API's views, each with the methods of ``api`` in front of its own."""

    def view(own: type[ApiView]) -> type[ApiView]:
        return own if api is ApiView else type(own.__name__, (api, own), {})

    return [
        path("v1/events", view(Events).as_view(), name="events"),
        path("v1/events/<uuid:event_id>", view(Event).as_view(), name="event"),
        path("v1/events/<uuid:event_id>/proof", view(Proof).as_view(), name="proof"),
        path("v1/checkpoint", view(NewestCheckpoint).as_view(), name="checkpoint"),
        path("v1/consistency", view(Consistency).as_view(), name="consistency"),
        path("v1/tile/<path:path>", view(Tiles).as_view(), name="tile"),
        path("v1/verify", view(Verification).as_view(), name="verify"),
        path("v1/export", view(Export).as_view(), name="export"),
        path("v1/actions", view(Actions).as_view(), name="actions"),
        path("v1/health", view(Health).as_view(), name="health"),
        path("v1/openapi.json", view(Document).as_view(), name="openapi"),
        path("v1/", view(NotThere).as_view(), name="top"),
        path("v1/<path:rest>", view(NotThere).as_view(), name="not-there"),
    ]


urlpatterns = patterns()
