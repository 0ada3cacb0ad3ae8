"""
The door of an organization's pages.

Who is not a member learns nothing: 404. A member without the right gets 403, and the refusal is an event.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ClassVar, Concatenate, ParamSpec

from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views import View

from auditkit_django import auditlog
from example_project.northwind.models import Membership
from example_project.northwind.rights import Right, roles_with
from example_project.northwind.tenancy import membership_of

P = ParamSpec("P")
MemberView = Callable[Concatenate[HttpRequest, Membership, P], HttpResponseBase]


def admit(request: HttpRequest, right: Right | None) -> Membership:
    """
    The user's membership in the organization of the URL.

    Raises:
        Http404: Not a member.
        PermissionDenied: A member without ``right``.
    """
    membership = membership_of(request)
    if membership is None:
        raise Http404("No such organization.")
    if right is not None and not membership.may(right):
        reason = f"needs the role {roles_with(right)}"
        auditlog.event(
            "access.denied",
            resource=auditlog.Target("page", right.name.lower(), right.value),
            outcome="denied",
            metadata={"reason": reason, "role": membership.role},
        )
        raise PermissionDenied(f"{right.value}: {reason}.")
    return membership


def members_only(right: Right | None = None) -> Callable[[MemberView[P]], Callable[..., HttpResponseBase]]:
    """Decorator of function views: calls ``view(request, membership, …)`` for members with ``right``."""

    def decorate(view: MemberView[P]) -> Callable[..., HttpResponseBase]:
        @wraps(view)
        def guarded(request: HttpRequest, *args: P.args, **kwargs: P.kwargs) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return redirect_to_login(request.get_full_path())
            kwargs.pop("org", None)
            return view(request, admit(request, right), *args, **kwargs)

        return guarded

    return decorate


class MemberPage(View):
    """
    Class-based views for members; ``self.membership`` is there in every handler.

    ``view_right`` is what GET takes and ``change_right`` what POST takes; None lets every member.
    """

    view_right: ClassVar[Right | None] = None
    change_right: ClassVar[Right | None] = None
    membership: Membership

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        """Let members in, then go on as usual."""
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path())
        is_reading = request.method in ("GET", "HEAD", "OPTIONS")
        self.membership = admit(request, self.view_right if is_reading else self.change_right)
        return super().dispatch(request, *args, **kwargs)
