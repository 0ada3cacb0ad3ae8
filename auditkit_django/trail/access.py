"""Who sees which log, and what every answer of the trail carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar
from urllib.parse import urlsplit

from django.conf import settings as django_settings
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.generic import View

from auditkit_django.access.grant import READ
from auditkit_django.conf import settings
from auditkit_django.evidence.order import Order
from auditkit_django.exceptions import MalformedError
from auditkit_django.query.filters import EventFilter
from auditkit_django.recording.coercion import name_of
from auditkit_django.tenancy import tenant_key
from auditkit_django.trail.forms import FilterForm
from auditkit_django.trail.links import Links
from auditkit_django.trail.viewing import record_viewing


class TrailView(View):
    """
    What all views of the trail share. Subclass it, replace a method, and pass it to ``trail.urls.patterns``.

    Somebody who is not signed in is sent to sign in, before anything is looked up. To everybody else a log that does
    not exist and a log that is not theirs are the same 404.
    """

    #: Events on one page, 1 to 1,000.
    page_size: ClassVar[int] = 50
    #: Newest entries that "Verify now" checks; the whole log is for ``manage.py auditkit_verify``.
    verify_entries: ClassVar[int] = 50_000
    #: What the page is for: a scope of ``access.grant``, which :meth:`is_granted` is asked about.
    scope: ClassVar[str] = READ
    #: The template that the trail's pages extend.
    layout: ClassVar[str] = "auditkit_django/base.html"

    tenant: str
    tenant_name: str

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not self.is_signed_in():
            wanted = request.get_full_path() if request.method in ("GET", "HEAD") else Links(request).to("events")
            return self.secured(redirect_to_login(wanted))
        self.tenant, self.tenant_name = self._admitted()
        if not self.is_granted(self.scope):
            raise Http404("Not found.")
        return self.secured(super().dispatch(request, *args, **kwargs))

    def is_signed_in(self) -> bool:
        """Whether there is somebody to ask about at all."""
        return bool(getattr(getattr(self.request, "user", None), "is_authenticated", False))

    def get_tenant(self) -> object:
        """Whose log: what ``AUDITKIT["TENANT_RESOLVER"]`` answers to this request; None is a 404."""
        resolver = settings.resolve("TENANT_RESOLVER")
        return resolver(self.request) if resolver is not None else None

    def has_access(self, tenant: str) -> bool:
        """Whether ``AUDITKIT["TRAIL_ACCESS"]`` lets this request see the log of ``tenant``; nobody if it is not set."""
        may_view = settings.resolve("TRAIL_ACCESS")
        return may_view is not None and bool(may_view(self.request, tenant))

    def is_granted(self, scope: str) -> bool:
        """
        Whether this request may do what ``scope`` names: ``events:read``, ``export`` or ``verify``, of the log that it may see.

        What it may not do is a 404, and no page offers it.
        """
        return True

    def get_filter(self, form: FilterForm) -> EventFilter:
        """What to list, from a valid form. Narrow it here to show a viewer only a part of the log, on every page."""
        return form.event_filter()

    def check_order(self, order: Order) -> None:
        """
        Refuse evidence that was asked for; the form then says why.

        Raises:
            MalformedError: It is refused.
        """

    def note_viewing(self, filters: Mapping[str, str]) -> None:
        """Record that somebody looks, if that is not recorded already."""
        record_viewing(self.request, self.tenant, filters)

    def shared_context(self) -> dict[str, Any]:
        """What the template of every page is given."""
        return {"layout": self.layout}

    def content_security_policy(self) -> str:
        """The Content-Security-Policy of every page; widen it if your ``auditkit_django/base.html`` loads more."""
        static = _static_source()
        return (
            f"default-src 'none'; style-src 'self'{static}; script-src 'self'{static}; font-src 'self'{static}; "
            f"img-src 'self'{static} data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
        )

    def secured(self, response: HttpResponseBase) -> HttpResponseBase:
        """``response`` with the headers that keep a log out of frames, caches and other sites' referrers (S11, S12)."""
        response["Content-Security-Policy"] = self.content_security_policy()
        response["X-Frame-Options"] = "DENY"
        response["X-Content-Type-Options"] = "nosniff"
        response["Cache-Control"] = "private, no-store"
        response["Referrer-Policy"] = "same-origin"
        return response

    def _admitted(self) -> tuple[str, str]:
        # One message for every reason: the answer must not tell an unknown log from a foreign one.
        try:
            tenant = self.get_tenant()
            key = tenant_key(tenant)
            if self.has_access(key):
                return key, _name_of(tenant)
        except (Http404, ObjectDoesNotExist, PermissionDenied, MalformedError):
            pass
        raise Http404("Not found.")


def _name_of(tenant: object) -> str:
    return (name_of(tenant) or "") if isinstance(tenant, Model) else ""


def _static_source() -> str:
    """The origin of static files where that is not the page's own, with a space in front."""
    url = urlsplit(django_settings.STATIC_URL or "")
    return f" {url.scheme or 'https'}://{url.netloc}" if url.netloc else ""
