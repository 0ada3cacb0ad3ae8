"""
Errors as problem details (RFC 9457), each with a stable ``code``; and nothing of what goes on inside (S13).

``type`` is ``about:blank``: ``title`` is the phrase of the status, and ``code`` tells problems apart.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.core.signals import got_request_exception
from django.db import Error as DatabaseError
from django.http import Http404, HttpRequest
from rest_framework import exceptions
from rest_framework.response import Response

from auditkit_django.exceptions import (
    AccessError,
    AuditkitError,
    MalformedError,
    QueryError,
    QueryTimeoutError,
    RecordingError,
    SealError,
    UnknownTenantError,
)
from auditkit_django.recording.context import current
from auditkit_django.recording.requests import request_id_of
from auditkit_django.templatetags.auditkit_visible import visible

logger = logging.getLogger("auditkit_django")

CONTENT_TYPE: Final = "application/problem+json"
_RETRY_SECONDS: Final = 5


class ProblemError(exceptions.APIException):
    """A request that is refused: ``status``, a stable ``code``, what was got and wanted, and more ``members``."""

    def __init__(
        self, status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **members: Any
    ) -> None:
        super().__init__(detail, code)
        self.status_code = status
        self.code = code
        self.text = detail
        self.headers = dict(headers or {})
        self.members = members


def not_found() -> ProblemError:
    """What does not exist, and what is another tenant's: one answer."""
    return ProblemError(404, "not_found", "There is nothing here.")


def malformed(detail: str, *, code: str = "malformed", **members: Any) -> ProblemError:
    """A parameter or header that cannot be meant."""
    return ProblemError(400, code, detail, **members)


def handle(exc: Exception, context: Mapping[str, Any]) -> Response:
    """The answer to ``exc``: REST framework's exception handler of our views."""
    problem = _problem(exc)
    request: HttpRequest = context["request"]._request
    if problem.status_code >= 500:
        logger.error("auditkit: %s %s failed", request.method, request.path, exc_info=exc)
        if problem.code == "internal":
            # As Django would for an exception that nobody handled: error trackers listen.
            got_request_exception.send(sender=type(context.get("view")), request=request)
    body = {
        "type": "about:blank",
        "title": HTTPStatus(problem.status_code).phrase,
        "status": problem.status_code,
        "detail": problem.text,
        "code": problem.code,
        "request_id": request_id(request),
        **problem.members,
    }
    return Response(body, status=problem.status_code, headers=problem.headers, content_type=CONTENT_TYPE)


def request_id(request: HttpRequest) -> str:
    """The id of the request, as its events have it."""
    context = current()
    while context is not None:
        if context.request is request:
            return str(context.resolve_facts()["request_id"])
        context = context.outer
    found: str | None = getattr(request, "_auditkit_request_id", None)
    if found is None:
        found = request._auditkit_request_id = request_id_of(request)  # type: ignore[attr-defined]
    return found


def _problem(exc: Exception) -> ProblemError:
    if isinstance(exc, ProblemError):
        return exc
    if isinstance(exc, Http404):
        return not_found()
    if isinstance(exc, (PermissionDenied, exceptions.PermissionDenied)):
        return ProblemError(403, "refused", "This is not allowed.")
    if isinstance(exc, RequestDataTooBig):
        return ProblemError(413, "body_too_large", "The body is larger than this server takes.")
    if isinstance(exc, SuspiciousOperation):
        return malformed("The request has more parameters than this server takes, or is not well-formed.")
    if isinstance(exc, exceptions.APIException):
        return _of_framework(exc)
    if isinstance(exc, AuditkitError):
        return _of_ours(exc)
    if isinstance(exc, DatabaseError):
        return _unavailable("The database did not answer as it should; nothing was changed. Try again.")
    return ProblemError(500, "internal", "Something went wrong here. The request id finds it in the server's log.")


def _of_framework(exc: exceptions.APIException) -> ProblemError:
    headers: dict[str, str] = {}
    if challenge := getattr(exc, "auth_header", None):
        headers["WWW-Authenticate"] = challenge
    if (wait := getattr(exc, "wait", None)) is not None:
        headers["Retry-After"] = str(max(1, round(wait)))
    codes: Sequence[tuple[type[exceptions.APIException], str]] = (
        (exceptions.NotAuthenticated, "key_missing"),
        (exceptions.AuthenticationFailed, "refused"),
        (exceptions.Throttled, "throttled"),
        (exceptions.MethodNotAllowed, "method_not_allowed"),
        (exceptions.NotAcceptable, "not_acceptable"),
        (exceptions.UnsupportedMediaType, "media_type"),
        (exceptions.NotFound, "not_found"),
    )
    code = next((code for kind, code in codes if isinstance(exc, kind)), "malformed")
    detail = "Send Authorization: Bearer and an API key." if code == "key_missing" else visible(str(exc.detail))
    return ProblemError(exc.status_code, code, detail, headers=headers)


def _of_ours(exc: AuditkitError) -> ProblemError:
    if isinstance(exc, AccessError):
        status = 403 if exc.code == "address_refused" else 401
        headers = {"WWW-Authenticate": 'Bearer realm="audit"'} if status == 401 else {}
        return ProblemError(status, exc.code, visible(exc), headers=headers)
    if isinstance(exc, QueryError):
        return malformed(visible(exc), code=exc.code, position=exc.position)
    if isinstance(exc, MalformedError):
        return malformed(visible(exc), code=exc.code)
    if isinstance(exc, UnknownTenantError):
        return not_found()
    if isinstance(exc, SealError):
        return ProblemError(409, "not_sealed", visible(exc))
    if isinstance(exc, QueryTimeoutError):
        return ProblemError(503, exc.code, "The search took too long: narrow it, for example to a shorter time.")
    if isinstance(exc, RecordingError):
        return _unavailable("Nothing was recorded: the database did not take it. Try again.")
    return ProblemError(500, "internal", "Something went wrong here. The request id finds it in the server's log.")


def _unavailable(detail: str) -> ProblemError:
    return ProblemError(503, "unavailable", detail, headers={"Retry-After": str(_RETRY_SECONDS)})
