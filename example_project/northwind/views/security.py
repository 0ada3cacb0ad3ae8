"""The user's own account: password and two-step sign-in."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.mixins import LoginRequiredMixin
from django.contrib.auth.models import User
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.cache import never_cache

from example_project.northwind import second_factor
from example_project.northwind.forms import CodeForm


class OwnAccountMixin(LoginRequiredMixin):
    """Refuses support, who act as somebody and are not that person."""

    request: HttpRequest

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Let the owner of the account in."""
        if getattr(request.user, "is_hijacked", False):
            raise PermissionDenied("Password and second factor are changed by the person themselves, and nobody else.")
        return super().dispatch(request, *args, **kwargs)

    @property
    def user(self) -> User:
        """Whose account it is."""
        assert isinstance(self.request.user, User)
        return self.request.user


class SecurityPage(OwnAccountMixin, View):
    """What protects the account; begins and ends the second step."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """How it is now."""
        return render(request, "northwind/security.html", {"device": second_factor.device_of(self.user)})

    def post(self, request: HttpRequest) -> HttpResponse:
        """Set up two-step sign-in, where it is not there yet."""
        if second_factor.device_of(self.user) is not None:
            return redirect("security")
        second_factor.set_up(self.user)
        return redirect("enrol")


@method_decorator(never_cache, name="dispatch")
class EnrolPage(OwnAccountMixin, View):
    """The secret for the user's app, and the first code, which proves that the app has it."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The secret, while it is being set up."""
        device = second_factor.device_of(self.user, confirmed=False)
        return redirect("security") if device is None else self._page(CodeForm(device=device))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Confirm with a code."""
        device = second_factor.device_of(self.user, confirmed=False)
        if device is None:
            return redirect("security")
        form = CodeForm(request.POST, device=device)
        if not form.is_valid():
            return self._page(form)
        device.confirmed = True
        device.save(update_fields=["confirmed"])
        messages.success(request, "Two-step sign-in is on.")
        return redirect("security")

    def _page(self, form: CodeForm) -> HttpResponse:
        context = {
            "form": form,
            "secret": second_factor.secret_of(form.device),
            "address": form.device.config_url,
        }
        return render(self.request, "northwind/enrol.html", context)


class RemovePage(OwnAccountMixin, View):
    """Ends two-step sign-in."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """The password is enough again."""
        device = second_factor.device_of(self.user)
        if device is not None:
            device.delete()
            messages.success(request, "Two-step sign-in is off.")
        return redirect("security")


class PasswordPage(OwnAccountMixin, PasswordChangeView):
    """Another password."""

    template_name = "northwind/password.html"
    success_url = reverse_lazy("security")

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        """Change it."""
        response = super().form_valid(form)
        messages.success(self.request, "Your password was changed.")
        return response
