"""Signing in, with a second step for those who have one, and a new password for those who forgot theirs."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, PasswordResetConfirmView, PasswordResetDoneView, PasswordResetView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.views import View

from example_project.northwind import second_factor
from example_project.northwind.forms import CodeForm


class SignInPage(LoginView):
    """Email and password."""

    template_name = "northwind/sign_in.html"
    redirect_authenticated_user = True

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        """Sign in, or ask for the code first."""
        user = form.get_user()
        assert isinstance(user, User)
        if second_factor.device_of(user) is None:
            return super().form_valid(form)
        second_factor.ask_for_code(self.request, user, next_page=self.get_redirect_url())
        return redirect("code")


class CodePage(View):
    """The code of the user's app, after the password."""

    waiting: second_factor.Waiting

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """For those who gave their password a moment ago."""
        found = second_factor.waiting(request)
        if found is None:
            return redirect("login")
        self.waiting = found
        return super().dispatch(request, *args, **kwargs)

    def get(self, request: HttpRequest) -> HttpResponse:
        """The empty form."""
        return self._page(CodeForm(device=self.waiting.device))

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign in with the right code."""
        form = CodeForm(request.POST, device=self.waiting.device)
        if not form.is_valid():
            return self._page(form)
        second_factor.has_arrived(request)
        user: Any = self.waiting.user
        user.otp_device = form.device  # django-otp keeps in the session that it was asked
        login(request, user, backend=self.waiting.backend)
        return redirect(self.waiting.next_page or "home")

    def _page(self, form: CodeForm) -> HttpResponse:
        return render(self.request, "northwind/code.html", {"form": form, "email": self.waiting.user.email})


class ForgottenPage(PasswordResetView):
    """Mails a link, and does not tell whether there is such an account."""

    template_name = "northwind/forgotten.html"
    email_template_name = "northwind/mail/reset.txt"
    subject_template_name = "northwind/mail/reset_subject.txt"
    success_url = reverse_lazy("forgotten-sent")


class ForgottenSentPage(PasswordResetDoneView):
    """The mail is on its way."""

    template_name = "northwind/forgotten_sent.html"


class ResetPage(PasswordResetConfirmView):
    """Where the link of the mail leads: a new password."""

    template_name = "northwind/reset.html"
    success_url = reverse_lazy("login")

    def form_valid(self, form: Any) -> HttpResponse:
        """Change it; whoever has a second step still needs it."""
        response = super().form_valid(form)
        messages.success(self.request, "Your new password is set. Sign in with it.")
        return response
