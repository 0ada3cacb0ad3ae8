"""API keys."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_POST

from example_project.northwind import services
from example_project.northwind.access import MemberPage, members_only
from example_project.northwind.forms import ApiKeyForm
from example_project.northwind.models import ApiKey, Membership
from example_project.northwind.rights import Right


class ApiKeysPage(MemberPage):
    """All keys; creates one."""

    view_right = change_right = Right.MANAGE_KEYS

    def get(self, request: HttpRequest, **_url: object) -> HttpResponse:
        """The list and an empty form."""
        return self._page(ApiKeyForm())

    def post(self, request: HttpRequest, **_url: object) -> HttpResponse:
        """Create a key and show its secret, this once."""
        form = ApiKeyForm(request.POST)
        if not form.is_valid():
            return self._page(form)
        key, secret = services.create_api_key(self.membership.organization, **form.cleaned_data)
        return _secret_page(request, key, secret)

    def _page(self, form: ApiKeyForm) -> HttpResponse:
        context = {"form": form, "keys": self.membership.organization.api_keys.all()}
        return render(self.request, "northwind/keys.html", context)


@require_POST
@members_only(Right.MANAGE_KEYS)
def rotate_key(request: HttpRequest, membership: Membership, *, key_id: int) -> HttpResponse:
    """Another secret for the key, shown this once."""
    key = _working_key(membership, key_id)
    return _secret_page(request, key, services.rotate_api_key(key))


@require_POST
@members_only(Right.MANAGE_KEYS)
def revoke_key(request: HttpRequest, membership: Membership, *, key_id: int) -> HttpResponse:
    """The key stops working."""
    key = _working_key(membership, key_id)
    services.revoke_api_key(key)
    messages.success(request, f"The key “{key.name}” is revoked.")
    return redirect("keys", org=membership.organization.slug)


def _working_key(membership: Membership, key_id: int) -> ApiKey:
    return get_object_or_404(membership.organization.api_keys.filter(revoked_at=None), pk=key_id)


def _secret_page(request: HttpRequest, key: ApiKey, secret: str) -> HttpResponse:
    # The answer to the POST itself: the secret is in no session, no URL and no cache.
    response = render(request, "northwind/secret.html", {"key": key, "secret": secret})
    response["Cache-Control"] = "no-store"
    return response
