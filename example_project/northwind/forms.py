"""The forms; they check, and services act."""

from __future__ import annotations

import ipaddress
from typing import Any

import django_otp
from django import forms
from django.contrib.auth.models import User
from django.contrib.auth.password_validation import validate_password
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import Q

from example_project.northwind.models import Invitation, Organization, Plan
from example_project.northwind.rights import Role

SCOPES = (
    ("projects:read", "Read projects"),
    ("projects:write", "Create and change projects"),
    ("members:read", "Read members"),
)
#: There is one way to become the owner: to sign up.
GRANTABLE_ROLES = [(role.value, role.label) for role in Role if role is not Role.OWNER]


class PersonForm(forms.Form):
    """Name and password of someone new."""

    name = forms.CharField(label="Your name", max_length=120, widget=forms.TextInput({"autocomplete": "name"}))
    password = forms.CharField(
        label="Password",
        strip=False,
        help_text="At least 10 characters.",
        widget=forms.PasswordInput({"autocomplete": "new-password"}),
    )

    def clean_password(self) -> str:
        """The password, if it is good enough."""
        password: str = self.cleaned_data["password"]
        validate_password(password, User(username=self.data.get("email", ""), first_name=self.data.get("name", "")))
        return password


class SignUpForm(PersonForm):
    """A new organization and its owner."""

    organization = forms.CharField(label="Organization", max_length=80)
    email = forms.EmailField(label="Work email", widget=forms.EmailInput({"autocomplete": "email"}))

    field_order = ("organization", "name", "email", "password")

    def clean_email(self) -> str:
        """The address, if nobody has it."""
        email: str = self.cleaned_data["email"]
        if User.objects.filter(username__iexact=email).exists():
            raise forms.ValidationError("There is an account with this address: sign in instead.")
        return email


class CodeForm(forms.Form):
    """A code of the user's app; ``device`` has verified it once the form is valid."""

    code = forms.CharField(
        label="Code",
        max_length=12,
        widget=forms.TextInput({"autocomplete": "one-time-code", "inputmode": "numeric", "autofocus": True}),
        help_text="Six digits, new every 30 seconds.",
    )

    def __init__(self, data: object = None, *, device: Any) -> None:
        super().__init__(data)  # type: ignore[arg-type]
        self.device = device

    def clean_code(self) -> str:
        """The code, if it is right and was not used before."""
        code = "".join(self.cleaned_data["code"].split())
        verified = django_otp.verify_token(self.device.user, self.device.persistent_id, code)
        if verified is None:
            # The field is shown empty, for the next one.
            self.data = {}
            raise forms.ValidationError("That code is not right, or was used already. Wait for the next one.")
        self.device = verified
        return code


class InvitationForm(forms.Form):
    """Whom to invite, as what."""

    email = forms.EmailField(label="Email")
    role = forms.ChoiceField(label="Role", choices=GRANTABLE_ROLES, initial=Role.MEMBER)

    def __init__(self, data: object = None, *, organization: Organization) -> None:
        super().__init__(data)  # type: ignore[arg-type]
        self._organization = organization

    def clean_email(self) -> str:
        """The address, if it is neither a member's nor invited."""
        email: str = self.cleaned_data["email"].lower()
        if self._organization.memberships.filter(user__username__iexact=email).exists():
            raise forms.ValidationError("This person is a member already.")
        if Invitation.objects.filter(Invitation.OPEN, Q(organization=self._organization, email__iexact=email)).exists():
            raise forms.ValidationError("There is an open invitation for this address.")
        return email


class RoleForm(forms.Form):
    """Another role for a member."""

    role = forms.ChoiceField(label="Role", choices=GRANTABLE_ROLES)


class ApiKeyForm(forms.Form):
    """A key's name and what it may do."""

    name = forms.CharField(label="Name", max_length=80, help_text="Where it is used: “Nightly sync”.")
    scopes = forms.MultipleChoiceField(
        label="Scopes", choices=SCOPES, initial=["projects:read"], widget=forms.CheckboxSelectMultiple
    )


class ProjectForm(forms.Form):
    """A project's values."""

    name = forms.CharField(label="Name", max_length=120)
    client = forms.CharField(label="Client", max_length=120, required=False)
    budget = forms.IntegerField(label="Budget in €", min_value=0, max_value=100_000_000, initial=0)


class PlanForm(forms.Form):
    """What to pay for."""

    plan = forms.ChoiceField(label="Plan", choices=Plan, widget=forms.RadioSelect)
    seats = forms.IntegerField(label="Seats", validators=[MinValueValidator(1), MaxValueValidator(5000)])


class NameForm(forms.Form):
    """The organization's name."""

    name = forms.CharField(label="Name", max_length=80)


class SecurityForm(forms.Form):
    """How members must sign in, and from where."""

    require_mfa = forms.BooleanField(label="Require a second factor", required=False)
    sso_domain = forms.CharField(
        label="Single sign-on domain", max_length=120, required=False, help_text="Members of this domain sign in there."
    )
    allowed_networks = forms.CharField(
        label="Allowed networks",
        max_length=200,
        required=False,
        help_text="Separated by commas, as in 192.0.2.0/24. Empty: from anywhere.",
    )

    def clean_allowed_networks(self) -> str:
        """The networks, each one well-formed."""
        given = [part.strip() for part in self.cleaned_data["allowed_networks"].split(",") if part.strip()]
        try:
            return ", ".join(str(ipaddress.ip_network(part)) for part in given)
        except ValueError as exc:
            raise forms.ValidationError(f"Not a network: {exc}.") from exc
