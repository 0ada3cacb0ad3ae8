"""The trail in a frame: for whoever holds a viewer token, on the pages of ``AUDITKIT["EMBED_ORIGINS"]``. Nobody signs in."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.decorators import method_decorator
from django.utils.translation import gettext as _
from django.views.decorators.clickjacking import xframe_options_exempt
from django.views.decorators.csrf import csrf_exempt

from auditkit_django import auditlog
from auditkit_django.access.forgetting import forget_session
from auditkit_django.access.grant import READ, VERIFY, Grant
from auditkit_django.access.origins import embed_origins
from auditkit_django.access.seen import is_first_viewing
from auditkit_django.access.viewer_tokens import grant_of_token
from auditkit_django.evidence.order import Order
from auditkit_django.exceptions import AccessError, MalformedError
from auditkit_django.query.bound import BoundFilter
from auditkit_django.query.filters import EventFilter
from auditkit_django.recording.context import context
from auditkit_django.trail.access import TrailView
from auditkit_django.trail.forms import FilterForm


# A forged request is one that a browser adds a credential to by itself: a cookie. Here the credential is in the address, no
# cookie is looked at, and whoever can write the address into a forged form holds the token already. So a CSRF token would
# protect nothing, and its cookie is one that browsers do not send from a frame of another site.
@method_decorator([csrf_exempt, xframe_options_exempt, login_not_required], name="dispatch")
class EmbeddedTrail(TrailView):
    """
    The trail as its token grants it: tenant, scopes, and whose events. Subclass it and pass it to ``trail.embed_urls.patterns``.

    A viewer of one actor's events (``only_actor``) verifies nothing and gets no checkpoint: both are about everybody's. Such a
    viewer does see that the chain was verified, and the ``seq`` of own events, which tells how many there are of all.
    """

    layout = "auditkit_django/embedded.html"

    grant: Grant

    def dispatch(self, request: HttpRequest, *args: Any, token: str, **kwargs: Any) -> HttpResponseBase:
        forget_session(request)
        try:
            self.grant = grant_of_token(token)
        except AccessError:
            # One page for a token that has expired and for a text that is none: neither learns more.
            return self._refusal(request, 401, _("This link has expired"), _("Reload the page that it is shown on."))
        with context(actor=self.grant.actor, tenant=self.grant.tenant):
            try:
                return super().dispatch(request, *args, **kwargs)
            except Http404:
                return self._refusal(
                    request, 404, _("Not found"), _("There is nothing here, or nothing for you to see.")
                )

    def is_signed_in(self) -> bool:
        """The token says who it is."""
        return True

    def get_tenant(self) -> object:
        """The token's."""
        return self.grant.tenant

    def has_access(self, tenant: str) -> bool:
        """Whether the token is for seeing events at all."""
        return tenant == self.grant.tenant and READ in self.grant.scopes

    def is_granted(self, scope: str) -> bool:
        if scope == VERIFY and self.grant.only_actor is not None:
            return False
        return scope in self.grant.scopes

    def get_filter(self, form: FilterForm) -> EventFilter:
        """What was asked for, of the events that the token is for."""
        asked = super().get_filter(form)
        return BoundFilter(
            **{one.name: getattr(asked, one.name) for one in fields(EventFilter)}, only_actor=self.grant.only_actor
        )

    def check_order(self, order: Order) -> None:
        """The edges of a proven window are the entries beside it, whosever they are: one actor's evidence is of the whole log."""
        if self.grant.only_actor is not None and order.proof and (order.start is not None or order.end is not None):
            raise MalformedError(_("Leave the days empty: with a proof, your events are exported for the whole time."))

    def note_viewing(self, filters: Any) -> None:
        """Record that the token's viewer looks, once for each token."""
        if is_first_viewing(self.grant, self.tenant):
            auditlog.event(
                "audit.log.viewed", metadata={"through": "embed", **({"filters": dict(filters)} if filters else {})}
            )

    def shared_context(self) -> dict[str, Any]:
        """Forms are written without CSRF token: to make one sets a cookie. ``is_personal``: one actor's events are shown."""
        is_personal = getattr(self, "grant", None) is not None and self.grant.only_actor is not None
        return {**super().shared_context(), "csrf_token": "", "is_personal": is_personal}

    def content_security_policy(self) -> str:
        """That of the trail, for frames on pages of ``EMBED_ORIGINS`` and on no other."""
        ancestors = " ".join(embed_origins()) or "'none'"
        return super().content_security_policy().replace("frame-ancestors 'none'", f"frame-ancestors {ancestors}")

    def secured(self, response: HttpResponseBase) -> HttpResponseBase:
        """As on the trail, but for frames; the address, which is the credential, is told nobody."""
        response = super().secured(response)
        # It knows no list of origins; browsers that know frame-ancestors follow that.
        del response["X-Frame-Options"]
        response["Referrer-Policy"] = "no-referrer"
        # Django writes the address of a refused request into its log, and here that is the credential.
        response._has_been_logged = True  # type: ignore[attr-defined]
        return response

    def http_method_not_allowed(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        # Django's own writes the address into its log.
        response = HttpResponse(status=405)
        response["Allow"] = ", ".join(name.upper() for name in self.http_method_names if hasattr(self, name))
        return response

    def _refusal(self, request: HttpRequest, status: int, title: str, advice: str) -> HttpResponseBase:
        found = {"title": title, "advice": advice, **self.shared_context()}
        return self.secured(render(request, "auditkit_django/trail/refusal.html", found, status=status))
