"""Where everybody arrives; signing up; taking an invitation."""

from __future__ import annotations

from django.contrib.auth import login
from django.contrib.auth.models import User
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views import View
from django.views.decorators.http import require_safe

from example_project.northwind import services
from example_project.northwind.forms import PersonForm, SignUpForm
from example_project.northwind.models import Invitation, Membership


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """The first organization, for staff the support page, for nobody yet the way in."""
    if not request.user.is_authenticated:
        return redirect("login")
    membership = Membership.objects.filter(user=request.user).select_related("organization").first()
    if membership is not None:
        return redirect(membership.organization)
    return redirect("support") if request.user.is_staff else render(request, "northwind/nowhere.html")


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
