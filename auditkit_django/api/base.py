"""What all views of the API share. Hosts subclass :class:`ApiView` and pass it to ``api.urls.patterns``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import Any, ClassVar, Literal, cast

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.openapi import AutoSchema
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from auditkit_django.access import api_keys
from auditkit_django.access.grant import Grant
from auditkit_django.access.origins import embed_origins
from auditkit_django.access.seen import is_first_viewing
from auditkit_django.api.authentication import BearerAuthentication, SessionAuthentication, address_buckets, exposed
from auditkit_django.api.bodies import PlainJSONRenderer, StrictJSONParser
from auditkit_django.api.permissions import HasScope
from auditkit_django.api.problems import handle, malformed, not_found
from auditkit_django.api.throttling import RateThrottle, check_failures, count_failure
from auditkit_django.conf import settings
from auditkit_django.query.bound import BoundFilter
from auditkit_django.recording.context import context, current
from auditkit_django.recording.record import record
from auditkit_django.recording.requests import client_ip
from auditkit_django.tenancy import tenant_key


class _Negotiation(DefaultContentNegotiation):
    """One form for each address: ``?format=`` is the export's, and ``Accept`` chooses nothing."""

    def select_renderer(self, request: Any, renderers: Any, format_suffix: Any = None) -> Any:
        return renderers[0], renderers[0].media_type


class ApiView(APIView):
    """
    Authentication, permissions, throttles, JSON and problem details of every address, whatever a host has set for its own API.

    ``scopes`` maps a method to the scope that it takes; ``rate`` says which of ``AUDITKIT["API_RATES"]`` counts.
    """

    authentication_classes = [BearerAuthentication, SessionAuthentication]
    permission_classes = [HasScope]
    throttle_classes = [RateThrottle]
    parser_classes = [StrictJSONParser]
    renderer_classes = [PlainJSONRenderer]
    content_negotiation_class = _Negotiation
    versioning_class = None
    metadata_class = None
    schema = AutoSchema()

    scopes: ClassVar[Mapping[str, str]] = {}
    rate: ClassVar[Literal["read", "write", "export"]] = "read"
    #: Nobody is asked who they are, whatever a host asks elsewhere.
    is_public: ClassVar[bool] = False
    #: Query parameters that are taken, besides ``tenant``; another one is an error, and not a filter that does nothing.
    parameters: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def as_view(cls, **initkwargs: Any) -> Any:
        # The API has transactions of its own: what it notes of a key must not go with a request that is refused.
        return transaction.non_atomic_requests(super().as_view(**initkwargs))

    def get_authenticators(self) -> list[Any]:
        return [] if self.is_public else super().get_authenticators()

    def get_permissions(self) -> Sequence[Any]:
        return [] if self.is_public else super().get_permissions()

    def get_exception_handler(self) -> Callable[..., Response]:
        return handle

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        origin = self._known_origin(request)
        if request.method == "OPTIONS" and origin:
            response: HttpResponseBase = HttpResponse(status=204)
        else:
            response = super().dispatch(request, *args, **kwargs)
        return self.secured(response, origin)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        query = request._request.META.get("QUERY_STRING", "")
        if exposed(query):
            buckets = address_buckets(client_ip(request._request))
            check_failures(buckets)
            count_failure(buckets)
            for value in {
                value for _name, values in request.query_params.lists() for value in values if exposed(value)
            }:
                api_keys.note_exposed(value)
            raise malformed(
                "A key was sent in the URL, which is written down on its way: rotate it, and send Authorization: Bearer.",
                code="key_in_query",
            )
        super().initial(request, *args, **kwargs)
        self._check_parameters(request)
        if not self.is_public and self.place is not None and self.grant.tenant not in (None, self.place):
            raise not_found()

    @property
    def grant(self) -> Grant:
        """What the bearer of this request was granted."""
        return cast("Grant", self.request.auth)

    @property
    def has_body(self) -> bool:
        """Whether there is a body; one without a length is not read (WSGI)."""
        return self.request._request.META.get("CONTENT_LENGTH") not in (None, "", "0")

    @cached_property
    def place(self) -> str | None:
        """The tenant that the address names (``TENANT_RESOLVER``), where the API is included below one; else None."""
        resolver = settings.resolve("TENANT_RESOLVER")
        try:
            found = resolver(self.request._request) if resolver is not None else None
            return None if found is None else tenant_key(found)
        except (Http404, ObjectDoesNotExist, PermissionDenied, ValueError):
            return None

    @cached_property
    def tenant(self) -> str:
        """
        Whose log the request is about.

        Raises:
            ProblemError: 404 another one than the key's; 400 none, with a key of the installation.
        """
        asked, own = self.request.query_params.get("tenant"), self.grant.tenant
        if own is not None:
            if asked not in (None, own):
                raise not_found()
            return own
        if asked is None and self.place is not None:
            return self.place
        if asked is None:
            raise malformed("tenant: got none, wanted ?tenant=…: the key is of the installation", code="tenant_missing")
        return tenant_key(asked)

    def narrowed(self, **members: Any) -> BoundFilter:
        """What to look for, no further than the grant reaches."""
        return BoundFilter(**members, only_actor=self.grant.only_actor)

    @contextmanager
    def acting(self) -> Iterator[None]:
        """Events recorded inside are of whoever asks, in the log that it is about."""
        grant = self.grant
        actor = None if grant.is_session and current() is not None else grant.actor
        with context(actor=actor, tenant=self.tenant):
            yield

    def note_viewing(self) -> None:
        """Record ``audit.log.viewed``, once for each viewer: programs with a key read all day, and are not noted."""
        grant = self.grant
        if grant.bucket.startswith("key:") or not is_first_viewing(grant, self.tenant):
            return
        with self.acting():
            record(action="audit.log.viewed", metadata={"through": "api"})

    def secured(self, response: HttpResponseBase, origin: str) -> HttpResponseBase:
        """``response`` with the headers that keep a log out of caches, and let pages of ``EMBED_ORIGINS`` read it."""
        response["Cache-Control"] = "private, no-store"
        response["X-Content-Type-Options"] = "nosniff"
        response["Referrer-Policy"] = "no-referrer"
        if origin:
            response["Access-Control-Allow-Origin"] = origin
            response["Access-Control-Allow-Headers"] = "Authorization, Content-Type"
            response["Access-Control-Allow-Methods"] = "GET, POST"
            response["Access-Control-Expose-Headers"] = "Retry-After, Content-Disposition"
            response["Vary"] = "Origin"
        return response

    def _known_origin(self, request: HttpRequest) -> str:
        origin = request.headers.get("Origin", "")
        return origin if origin in embed_origins() else ""

    def _check_parameters(self, request: Request) -> None:
        for name, values in request.query_params.lists():
            if name not in self.parameters and name != "tenant":
                known = ", ".join(sorted({*self.parameters, "tenant"}))
                raise malformed(f"query: got the parameter {name[:40]!r}, wanted some of {known}")
            if len(values) > 1 and name != "since":
                raise malformed(f"query: got {name} {len(values)} times, wanted it once")
            if "\0" in values[0]:
                raise malformed(f"query: got a NUL in {name}")
