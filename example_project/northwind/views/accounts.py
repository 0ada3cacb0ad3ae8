"""Signing up, in and out; taking an invitation; changing one's password."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.forms import PasswordChangeForm
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView, PasswordChangeView
from django.db import transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse_lazy
from django.views import View

from example_project.northwind import services
from example_project.northwind.forms import PersonForm, SignUpForm
from example_project.northwind.models import Invitation, Membership
from example_project.northwind.sign_ins import record_everywhere


def home(request: HttpRequest) -> HttpResponse:
    """Where everybody arrives: the first organization, or the way in."""
    if not request.user.is_authenticated:
        return redirect("login")
    membership = Membership.objects.filter(user=request.user).select_related("organization").first()
    return redirect(membership.organization) if membership else render(request, "northwind/nowhere.html")


class SignInPage(LoginView):
    """Email and password."""

    template_name = "northwind/sign_in.html"
    redirect_authenticated_user = True


class SignUpPage(View):
    """A new organization."""

    def get(self, request: HttpRequest) -> HttpResponse:
        """The empty form."""
        return self._page(request, SignUpForm())

    def post(self, request: HttpRequest) -> HttpResponse:
        """Sign up and sign in."""
        form = SignUpForm(request.POST)
        if not form.is_valid():
            return self._page(request, form)
        user = services.sign_up(**form.cleaned_data)
        login(request, user)
        return redirect("home")

    def _page(self, request: HttpRequest, form: Form) -> HttpResponse:
        return render(request, "northwind/sign_up.html", {"form": form})


class InvitationPage(View):
    """Where the link of an invitation leads."""

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        """Who invites, and what is needed to join."""
        return self._page(request, self._open(token), PersonForm())

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Join: as the one who is signed in, or as someone new."""
        invitation = self._open(token)
        if isinstance(request.user, User):
            if request.user.username.lower() != invitation.email.lower():
                return self._page(request, invitation, PersonForm(), status=403)
            services.accept_invitation(invitation, user=request.user)
            return redirect(invitation.organization)
        form = PersonForm(request.POST)
        if self._has_account(invitation) or not form.is_valid():
            return self._page(request, invitation, form)
        login(request, services.accept_invitation(invitation, **form.cleaned_data))
        return redirect(invitation.organization)

    def _open(self, token: str) -> Invitation:
        return get_object_or_404(Invitation.objects.filter(Invitation.OPEN).select_related("organization"), token=token)

    def _has_account(self, invitation: Invitation) -> bool:
        return User.objects.filter(username__iexact=invitation.email).exists()

    def _page(self, request: HttpRequest, invitation: Invitation, form: Form, *, status: int = 200) -> HttpResponse:
        is_theirs = request.user.is_authenticated and request.user.username.lower() == invitation.email.lower()
        context = {
            "invitation": invitation,
            "form": form,
            "is_theirs": is_theirs,
            "has_account": self._has_account(invitation),
        }
        return render(request, "northwind/invitation.html", context, status=status)


class PasswordPage(PasswordChangeView):
    """Another password."""

    template_name = "northwind/password.html"
    success_url = reverse_lazy("home")

    def form_valid(self, form: PasswordChangeForm) -> HttpResponse:
        """Change it, with an event for each organization."""
        assert isinstance(self.request.user, User)
        with transaction.atomic():
            response = super().form_valid(form)
            record_everywhere("auth.password.changed", user=self.request.user)
        messages.success(self.request, "Your password was changed.")
        return response
