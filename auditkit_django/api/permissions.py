"""What a bearer may do, by scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from rest_framework.exceptions import NotAuthenticated
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from auditkit_django.access.grant import Grant
from auditkit_django.api.problems import ProblemError

if TYPE_CHECKING:
    from rest_framework.views import APIView

    from auditkit_django.api.base import ApiView


class HasScope(BasePermission):
    """The grant has the scope that the view asks for this method (``scopes``)."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        grant = request.auth
        if not isinstance(grant, Grant):
            raise NotAuthenticated
        scope = cast("ApiView", view).scopes.get(request.method or "")
        if scope is not None and scope not in grant.scopes:
            raise ProblemError(403, "scope_missing", f"The key lacks the scope {scope}.", scope=scope)
        return True
