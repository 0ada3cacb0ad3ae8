"""Who asks: by ``Authorization: Bearer`` an API key or a viewer token; else the session of somebody who may see a trail."""

from __future__ import annotations

from urllib.parse import unquote_plus

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.http import Http404
from django.views.decorators.debug import sensitive_variables
from rest_framework import authentication
from rest_framework.request import Request

from auditkit_django.access import api_keys, secrets, viewer_tokens
from auditkit_django.access.forgetting import forget_session
from auditkit_django.access.grant import EXPORT, READ, VERIFY, Grant
from auditkit_django.api.problems import not_found
from auditkit_django.api.throttling import check_failures, count_failure
from auditkit_django.conf import settings
from auditkit_django.exceptions import AccessError
from auditkit_django.models import Event, Log
from auditkit_django.recording.coercion import actor_from
from auditkit_django.recording.requests import client_ip
from auditkit_django.tenancy import tenant_key

#: What people who are signed in may do: what the trail page lets them. They do not write events of their own making.
SESSION_SCOPES = frozenset({READ, EXPORT, VERIFY})


class BearerAuthentication(authentication.BaseAuthentication):
    """``request.auth`` is the :class:`Grant` of the key or token in the header; cookies are not looked at (S28)."""

    # A traceback must not show what they hold (S25).
    @sensitive_variables("text", "buckets")
    def authenticate(self, request: Request) -> tuple[object, Grant] | None:
        scheme, _, text = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        text = text.strip()
        address = client_ip(request._request)
        forget_session(request._request)
        # Without an address (a unix socket) all would share one count.
        buckets = address_buckets(address)
        if text.isascii() and text.isprintable():
            buckets.append(f"prefix:{text[:24]}")
        check_failures(buckets)
        try:
            if text.startswith(viewer_tokens.PREFIX):
                grant = viewer_tokens.grant_of_token(text)
            else:
                grant = api_keys.grant_of_key(text, address=address)
        except AccessError:
            count_failure(buckets)
            raise
        return AnonymousUser(), grant

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="audit"'


class SessionAuthentication(authentication.SessionAuthentication):
    """
    A user who is signed in to the host, whom ``AUDITKIT["TRAIL_ACCESS"]`` lets see the log that ``TENANT_RESOLVER``, or else
    ``?tenant=``, names. Writing requests need a CSRF token.
    """

    def authenticate(self, request: Request) -> tuple[object, Grant] | None:
        found = super().authenticate(request)
        if found is None:
            return None
        user = found[0]
        tenant = self.tenant(request)
        return user, Grant(
            actor=actor_from(user), tenant=tenant, scopes=SESSION_SCOPES, bucket=f"user:{user.pk}", is_session=True
        )

    def tenant(self, request: Request) -> str:
        """Whose log; a log that is not theirs does not exist."""
        resolver, may_view = settings.resolve("TENANT_RESOLVER"), settings.resolve("TRAIL_ACCESS")
        try:
            found = resolver(request._request) if resolver is not None else None
            tenant = tenant_key(request.query_params.get("tenant") if found is None else found)
            # A host's rule may take "015" for 15: of a name that has no log nobody opens one.
            rows = Event.objects.filter(tenant=tenant)
            is_there = found is not None or rows.exists() or Log.objects.filter(tenant=tenant).exists()
            if is_there and may_view is not None and may_view(request._request, tenant):
                return tenant
        except (Http404, ObjectDoesNotExist, PermissionDenied, ValueError):
            # A key that is none of the host's kind (text, where its tenants have numbers) is nobody's.
            pass
        raise not_found()


def address_buckets(address: str | None) -> list[str]:
    """Where refusals of an address are counted."""
    return [] if address is None else [f"address:{address}"]


def exposed(text: str) -> bool:
    """Whether ``text``, of a URL, has a key or a token in it."""
    text = unquote_plus(text)
    return secrets.shown(text) or viewer_tokens.shown(text)
