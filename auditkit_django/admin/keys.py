"""API keys: how each stands; made, rotated and revoked on pages of their own, by POST. A key's text is shown once (S22, S26)."""

from __future__ import annotations

import secrets
from typing import Any, Final
from uuid import UUID

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import formats, timezone
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from auditkit_django.access.api_keys import create_key, revoke_key, rotate_key
from auditkit_django.access.states import state_of
from auditkit_django.admin.key_forms import MEANINGS, CreateKeyForm, RevokeKeyForm, RotateKeyForm
from auditkit_django.admin.readonly import ReadOnlyAdmin
from auditkit_django.exceptions import MalformedError
from auditkit_django.models import ApiKey
from auditkit_django.templatetags.auditkit_visible import visible

STATES: Final = {
    "valid": gettext_lazy("valid"),
    "expires soon": gettext_lazy("expires soon"),
    "rotated": gettext_lazy("rotated"),
    "expired": gettext_lazy("expired"),
    "revoked": gettext_lazy("revoked"),
}
_PERMISSION: Final = "auditkit_django.manage_keys"
#: Forms that were opened in a session and not sent yet, by a random word each: no word, no key.
_OPENED: Final = "auditkit_admin_key_forms"
_MAX_OPENED: Final = 20


class ReachFilter(admin.SimpleListFilter):
    """Keys of one tenant are listed with ``?tenant__exact=``; this one tells those of the installation apart."""

    title = gettext_lazy("reach")
    parameter_name = "reach"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [("installation", _("The whole installation")), ("tenant", _("One tenant"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset if self.value() is None else queryset.filter(tenant__isnull=self.value() == "installation")


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    """The API keys, for whoever has ``manage_keys``; everybody else gets 403."""

    keyset = ("-created_at", "-id")
    list_display = ("name", "prefix", "reach", "scopes_shown", "expires", "last_used", "state")
    list_filter = [ReachFilter]
    search_fields = ("prefix", "tenant", "name")
    search_help_text = gettext_lazy("Exactly: a tenant's key, a name, or a prefix (the 8 characters after ak_live_)")
    actions = None
    change_list_template = "auditkit_django/admin/keys.html"
    change_form_template = "auditkit_django/admin/key.html"
    fields = (
        "name", "prefix", "reach", "scopes_in_full", "state", "created_at", "expires_at", "last_used", "networks_shown",
        "revoked_at", "successor",
    )  # fmt: skip
    readonly_fields = fields

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return request.user.is_active and request.user.has_perm(_PERMISSION)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def get_urls(self) -> list[URLPattern]:
        def wrapped(view: Any) -> Any:
            return self.admin_site.admin_view(view)

        return [
            path("create/", wrapped(self.create_view), name="auditkit_django_apikey_create"),
            path("<uuid:key_id>/rotate/", wrapped(self.rotate_view), name="auditkit_django_apikey_rotate"),
            path("<uuid:key_id>/revoke/", wrapped(self.revoke_view), name="auditkit_django_apikey_revoke"),
            *super().get_urls(),
        ]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        return lookup == "tenant__exact" or super().lookup_allowed(lookup, value, request)  # type: ignore[arg-type]

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        found = queryset.filter(Q(prefix=term) | Q(tenant=term) | Q(name=term)) if term else queryset
        return found, False

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        asked = request.GET.getlist("tenant__exact")
        tenant = asked[0] if len(asked) == 1 else ""
        title = _("API keys of %(tenant)s") % {"tenant": visible(tenant)} if tenant else _("API keys")
        context = {"title": title, "create_url": self._url("create", query=tenant)}
        return super().changelist_view(request, context | (extra_context or {}))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> Any:
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        key = self.get_object(request, object_id) if self.has_view_permission(request) else None
        if key is not None:
            state, has_ended = state_of(key, timezone.now()), key.revoked_at is not None
            extra_context = {
                "rotate_url": self._url("rotate", key) if state in ("valid", "expires soon") else "",
                "revoke_url": "" if has_ended or state == "expired" else self._url("revoke", key),
                **(extra_context or {}),
            }
        return super().change_view(request, object_id, form_url, extra_context)

    # A traceback must not show what a local variable holds (S25).
    @method_decorator([sensitive_variables("text"), never_cache, require_http_methods(["GET", "HEAD", "POST"])])
    def create_view(self, request: HttpRequest) -> HttpResponseBase:
        """A new key: the form, and, once, its text."""
        self._check(request)
        if request.method != "POST":
            return self._create_form(request, CreateKeyForm(tenant=request.GET.get("tenant", "")[:128]))
        form = CreateKeyForm(request.POST)
        if not form.is_valid():
            return self._create_form(request, form)
        if not _was_opened(request):
            # Somebody who reloads the page that shows a key would make another one, unseen.
            self.message_user(request, _("This form was sent already, and made a key."), level=messages.WARNING)
            return self._redirect("changelist")
        try:
            key, text = create_key(**form.given())
        except MalformedError as exc:
            _add_error(form, exc)
            return self._create_form(request, form)
        return self._shown(request, key, text)

    @method_decorator([sensitive_variables("text"), never_cache, require_http_methods(["GET", "HEAD", "POST"])])
    def rotate_view(self, request: HttpRequest, key_id: UUID) -> HttpResponseBase:
        """A successor of the key: the form, and, once, the successor's text."""
        key = self._key(request, key_id)
        form = RotateKeyForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            try:
                new, text = rotate_key(key, overlap=form.given())
            except MalformedError as exc:
                # Revoked meanwhile, or rotated: also by whoever reloads the page that shows the new key.
                self.message_user(request, visible(exc), level=messages.WARNING)
                return self._redirect("change", key)
            return self._shown(request, new, text, old=key)
        title = _("Rotate %(key)s") % {"key": visible(key)}
        return self._page(request, "key_form.html", {"title": title, "key": key, "form": form, "deed": "rotate"})

    @method_decorator([never_cache, require_http_methods(["GET", "HEAD", "POST"])])
    def revoke_view(self, request: HttpRequest, key_id: UUID) -> HttpResponseBase:
        """Asks whether, and why; then every process refuses the key from its next request on (S24)."""
        key = self._key(request, key_id)
        form = RevokeKeyForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            revoke_key(key, reason=form.cleaned_data["reason"])
            self.message_user(request, _("%(key)s is revoked.") % {"key": visible(key)}, level=messages.SUCCESS)
            return self._redirect("change", key)
        title = _("Revoke %(key)s") % {"key": visible(key)}
        return self._page(request, "key_form.html", {"title": title, "key": key, "form": form, "deed": "revoke"})

    @admin.display(description=gettext_lazy("tenant"), ordering="tenant")
    def reach(self, key: ApiKey) -> SafeString | str:
        return _("the whole installation") if key.tenant is None else visible(key.tenant)

    @admin.display(description=gettext_lazy("scopes"))
    def scopes_shown(self, key: ApiKey) -> str:
        return ", ".join(visible(scope) for scope in key.scopes)

    @admin.display(description=gettext_lazy("it may"))
    def scopes_in_full(self, key: ApiKey) -> str:
        return "; ".join(f"{visible(scope)}: {MEANINGS.get(scope, '')}" for scope in key.scopes)

    @admin.display(description=gettext_lazy("expires"))
    def expires(self, key: ApiKey) -> str:
        return _("never") if key.expires_at is None else formats.date_format(timezone.localtime(key.expires_at))

    @admin.display(description=gettext_lazy("last used"))
    def last_used(self, key: ApiKey) -> str:
        if key.last_used_at is None:
            return _("never")
        at = formats.localize(timezone.localtime(key.last_used_at))
        return (
            _("%(at)s from %(address)s") % {"at": at, "address": key.last_used_from} if key.last_used_from else str(at)
        )

    @admin.display(description=gettext_lazy("networks"))
    def networks_shown(self, key: ApiKey) -> str:
        return ", ".join(visible(network) for network in key.networks) or _("all")

    @admin.display(description=gettext_lazy("state"))
    def state(self, key: ApiKey) -> SafeString:
        state = state_of(key, timezone.now())
        return format_html('<span class="auditkit-state" data-state="{}">{}</span>', state, STATES[state])

    @admin.display(description=gettext_lazy("successor"))
    def successor(self, key: ApiKey) -> SafeString | str:
        new = ApiKey.objects.filter(pk=key.successor_id).first() if key.successor_id is not None else None
        return "-" if new is None else format_html('<a href="{}">{}</a>', self._url("change", new), visible(new))

    def _check(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def _key(self, request: HttpRequest, key_id: UUID) -> ApiKey:
        self._check(request)
        key = ApiKey.objects.filter(pk=key_id).first()
        if key is None:
            raise Http404("Not found.")
        return key

    def _create_form(self, request: HttpRequest, form: CreateKeyForm) -> HttpResponseBase:
        context = {"title": _("Create an API key"), "form": form, "deed": "create", "opened": _note_opened(request)}
        return self._page(request, "key_form.html", context)

    def _shown(self, request: HttpRequest, key: ApiKey, text: str, *, old: ApiKey | None = None) -> HttpResponseBase:
        context = {
            "title": _("Copy the key now"),
            "key": key,
            "text": text,
            "old": old,
            "key_url": self._url("change", key),
        }
        response = self._page(request, "key_text.html", context)
        response["Referrer-Policy"] = "no-referrer"
        return response

    def _page(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponseBase:
        request.current_app = self.admin_site.name
        common = {
            **self.admin_site.each_context(request),
            "opts": self.opts,
            "media": forms.Media(),
            "list_url": self._url("changelist"),
        }
        return TemplateResponse(request, f"auditkit_django/admin/{template}", common | context)

    def _url(self, page: str, key: ApiKey | None = None, *, query: str = "") -> str:
        from django.utils.http import urlencode

        name, args = f"admin:auditkit_django_apikey_{page}", () if key is None else (key.pk,)
        url = reverse(name, args=args, current_app=self.admin_site.name)
        return f"{url}?{urlencode({'tenant': query})}" if query else url

    def _redirect(self, page: str, key: ApiKey | None = None) -> HttpResponseRedirect:
        return HttpResponseRedirect(self._url(page, key))


def _note_opened(request: HttpRequest) -> str:
    """A word for a form that is being shown, which makes one key at most."""
    word = secrets.token_urlsafe(12)
    request.session[_OPENED] = [*request.session.get(_OPENED, []), word][-_MAX_OPENED:]
    return word


def _was_opened(request: HttpRequest) -> bool:
    """Whether the form was shown in this session and not sent before; it is used up with that."""
    words, word = list(request.session.get(_OPENED, [])), request.POST.get("opened", "")
    if word not in words:
        return False
    words.remove(word)
    request.session[_OPENED] = words
    return True


def _add_error(form: CreateKeyForm, exc: MalformedError) -> None:
    """``exc`` beside the field that it names ("networks: got …")."""
    name = str(exc).partition(":")[0]
    field = {"expires_at": "expires_on"}.get(name, name)
    form.add_error(field if field in form.fields else None, visible(exc))
