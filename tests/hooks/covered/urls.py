"""Every view under its own name."""

from __future__ import annotations

from django.conf.urls.i18n import i18n_patterns
from django.contrib.auth import views as auth_views
from django.http import HttpRequest, HttpResponse
from django.urls import include, path, re_path
from django.views.generic import RedirectView
from django.views.static import serve

from tests.hooks.covered import admins, api, views

_FUNCTIONS = [
    views.decorated, views.decorated_below, views.decorated_for_post, views.own_decorator, views.inline,
    views.through_a_service, views.through_two_services, views.too_deep, views.through_a_decorated_service,
    views.through_a_batch, views.through_an_object, views.through_a_kept_object, views.handed_on,
    views.imported_inside, views.asynchronous, views.asynchronous_in_a_thread, views.tracked_row,
    views.tracked_rows, views.tracked_through_a_relation, views.tracked_row_of_a_service,
    views.tracked_relation, views.untracked_row,
    views.only_refusals, views.signs_in, views.own_password, views.accepts_all, views.reads, views.tracked_form,
]  # fmt: skip
_CLASSES = [
    views.DecoratedClass, views.InheritsDecorated, views.DecoratedMethod, views.DecoratedByName,
    views.DecoratedFormValid, views.InlineFormValid, views.SuperRecords, views.ForgetsSuper, views.CreatesTracked,
    views.UpdatesTracked, views.DeletesTracked, views.DeletesUntracked, views.UpdatesUntracked, views.FormRecords,
    views.TrackedModelUnrelatedPost, views.OnlyGet, views.Named, views.OwnDispatch, views.PostOnly, views.Moved,
    views.Toggles, views.SignIn, views.SignInWithoutSigningIn,
]  # fmt: skip


def localized(request: HttpRequest) -> HttpResponse:
    """Below a language prefix."""
    return HttpResponse()


urlpatterns = [
    *(path(f"f/{view.__name__}/", view, name=view.__name__) for view in _FUNCTIONS),
    *(path(f"c/{view.__name__}/", view.as_view(), name=view.__name__) for view in _CLASSES),
    path("careless/", views.decorated_below_careless, name="careless"),
    path("without-name/", views.accepts_all),
    path("static/<path:path>", serve),
    path("old/", RedirectView.as_view(pattern_name="reads"), name="old"),
    re_path(r"^codes/(?P<code>[0-9]+)/$", views.accepts_all, name="codes"),
    path("password/", auth_views.PasswordChangeView.as_view(), name="password"),
    path("o/<slug:org>/", include(([path("leave/", views.inline, name="leave")], "shop"), namespace="org")),
    path("api/function/", api.function, name="api-function"),
    path("api/function/decorated/", api.function_decorated, name="api-function-decorated"),
    path("api/function/silent/", api.function_silent, name="api-function-silent"),
    path("api/function/reads/", api.function_reads, name="api-function-reads"),
    path("api/class/", api.ApiClass.as_view(), name="api-class"),
    path("api/updates/", api.Updates.as_view(), name="api-updates"),
    path("api/token/", api.token, name="api-token"),
    path("api/", include(api.router.urls)),
    path("admin/", admins.site.urls),
    path("audit/", include("auditkit_django.trail.urls")),
    *i18n_patterns(path("localized/", localized, name="localized")),
]
