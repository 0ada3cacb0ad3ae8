"""The OpenAPI document of the API, whatever a host says of its own."""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import Any, Final

from django.conf import settings as django_settings
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.settings import patched_settings
from rest_framework.request import Request
from rest_framework.response import Response

from auditkit_django.api.base import ApiView
from auditkit_django.ledger.standalone import package_version

_PATH: Final = "/v1/events"
_JSON: Final = "application/json"
_SETTINGS: Final[dict[str, Any]] = {
    "TITLE": "Audit log",
    "DESCRIPTION": (
        "Record events in a tamper-evident audit log, search and prove them. Every answer is of one tenant: that of the API key,"
        " or, with a key of the installation, the one that the request names. Errors are problem details (RFC 9457) with a"
        " stable `code`."
    ),
    "TAGS": [],
    "SERVERS": [],
    "CONTACT": {},
    "LICENSE": {},
    "TOS": None,
    "EXTERNAL_DOCS": {},
    "EXTENSIONS_INFO": {},
    "EXTENSIONS_ROOT": {},
    "OAS_VERSION": "3.0.3",
    "APPEND_COMPONENTS": {},
    "APPEND_PATHS": {},
    "WEBHOOKS": [],
    "SECURITY": [],
    "SCHEMA_PATH_PREFIX": "/v1",
    "SCHEMA_PATH_PREFIX_TRIM": False,
    "SCHEMA_PATH_PREFIX_INSERT": "",
    "PREPROCESSING_HOOKS": [],
    "POSTPROCESSING_HOOKS": ["auditkit_django.api.views.document.lists_too"],
    "ENUM_NAME_OVERRIDES": {},
    "COMPONENT_SPLIT_REQUEST": False,
    "CAMELIZE_NAMES": False,
    "AUTHENTICATION_WHITELIST": None,
    "PARSER_WHITELIST": None,
    "RENDERER_WHITELIST": None,
    "SORT_OPERATIONS": True,
    "SORT_OPERATION_PARAMETERS": False,
}


class BearerScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """How the document names the header."""

    target_class = "auditkit_django.api.authentication.BearerAuthentication"
    name = "apiKey"
    match_subclasses = True

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "http", "scheme": "bearer", "description": "An API key (ak_…), or a viewer token (akv_…)."}


class SessionScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """People who are signed in to the host, by its cookie."""

    target_class = "auditkit_django.api.authentication.SessionAuthentication"
    name = "session"
    match_subclasses = True

    def get_security_definition(self, auto_schema: AutoSchema) -> dict[str, Any]:
        return {"type": "apiKey", "in": "cookie", "name": django_settings.SESSION_COOKIE_NAME}


class Document(ApiView):
    """The OpenAPI document, which tells nothing of anybody: no key is asked for."""

    is_public = True
    schema = None  # type: ignore[assignment]

    def get(self, request: Request, **kwargs: Any) -> Response:
        document = copy.deepcopy(openapi())
        document["servers"] = [{"url": request._request.path.removesuffix("/v1/openapi.json") or "/"}]
        return Response(document)


@lru_cache(maxsize=1)
def openapi() -> dict[str, Any]:
    """The document, without servers. It changes with the version of the package alone."""
    from auditkit_django.api.urls import patterns

    with patched_settings({**_SETTINGS, "VERSION": package_version()}):
        generator = SchemaGenerator(patterns=patterns())  # type: ignore[no-untyped-call]
        found: dict[str, Any] = generator.get_schema(request=None, public=True)  # type: ignore[no-untyped-call]
    return found


def lists_too(*, result: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
    """Events are recorded one by one or as a list, and answered so, which serializers cannot say."""
    operation = result["paths"][_PATH]["post"]
    body = operation["requestBody"]["content"][_JSON]
    one = body["schema"]
    body["schema"] = {"oneOf": [one, {"type": "array", "items": one, "minItems": 1, "maxItems": 1000}]}
    answer = operation["responses"]["201"]["content"][_JSON]
    answer["schema"] = {"oneOf": [answer["schema"], {"$ref": "#/components/schemas/Results"}]}
    return result
