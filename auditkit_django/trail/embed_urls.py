"""
Where the embedded trail is: include this module anywhere; a viewer token follows.

::

    path("audit/embed/", include("auditkit_django.trail.embed_urls"))

    reverse("auditkit_embed:events", kwargs={"token": auditlog.create_viewer_token(org, viewer=request.user)})

With methods of your own, see :class:`auditkit_django.trail.embed.EmbeddedTrail`::

    path("audit/embed/", include((embed_urls.patterns(OurEmbeddedTrail), "auditkit_embed")))
"""

from __future__ import annotations

from django.urls import URLResolver, include, path

from auditkit_django.trail import urls
from auditkit_django.trail.embed import EmbeddedTrail

app_name = "auditkit_embed"


def patterns(trail: type[EmbeddedTrail] = EmbeddedTrail) -> list[URLResolver]:
    """The URL patterns of the trail's views below a token, each with the methods of ``trail`` in front of its own."""
    # The parameter's name says that its value is a secret: the path that events remember is without it (recording.redaction).
    return [path("<str:token>/", include(urls.patterns(trail)))]


urlpatterns = patterns()
