"""What the OpenAPI document says of each address, as decorators of the methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from drf_spectacular.openapi import AutoSchema
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema

from auditkit_django.api import schemas
from auditkit_django.evidence.order import FORMATS
from auditkit_django.ledger.entry import OUTCOMES, SEVERITIES

_F = TypeVar("_F", bound=Callable[..., Any])

_PROBLEM: Final = "application/problem+json"
_JSON: Final = "application/json"
_ANSWERS: Final = {
    400: "A parameter, header or body that cannot be meant.",
    401: "No key or token, or one that is not valid.",
    403: "The key lacks the scope, or may not be used from this address.",
    404: "Nothing here that the bearer may know of.",
    409: "Not under a checkpoint yet, or not provable any more.",
    413: "The body is too large.",
    415: "Another media type than JSON, or an encoding that is not known.",
    422: "Events that cannot be recorded; nothing was.",
    429: "Too many requests; Retry-After says for how many seconds.",
    501: "A library is not installed on this server.",
    503: "Not now; nothing was changed. Retry-After says for how many seconds.",
}
_EXAMPLE_EVENT: Final = {
    "action": "member.invited",
    "actor": {"type": "user", "id": "42", "name": "Ada Lovelace"},
    "target": {"type": "invitation", "id": "7", "name": "grace@example.org"},
    "metadata": {"role": "admin"},
    "context": {"ip": "203.0.113.7", "request_id": "b7c1"},
    "idempotency_key": "invitation-7",
}


def _problems(*statuses: int) -> dict[tuple[int, str], OpenApiResponse]:
    found = {}
    for status in (400, 401, 403, 404, 429, 503, *statuses):
        examples = [OpenApiExample("Problem", value=_EXAMPLE_PROBLEM, media_type=_PROBLEM)] if status == 422 else []
        found[status, _PROBLEM] = OpenApiResponse(schemas.Problem, description=_ANSWERS[status], examples=examples)
    return found


_EXAMPLE_PROBLEM: Final = {
    "type": "about:blank",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "1 of 2 events cannot be recorded; none was.",
    "code": "action_unknown",
    "request_id": "6f1c0f5e5d0c4b0f8b0b7e0f0f3a2b1c",
    "errors": [
        {"index": 1, "code": "action_unknown", "detail": "action: got 'member.invite', wanted a registered one."}
    ],
}


def _text(name: str, description: str, *, most: int, **more: Any) -> OpenApiParameter:
    schema = {"type": "string", "maxLength": most, **more}
    return OpenApiParameter(name, schema, description=description)


def _choice(name: str, values: Any, description: str, default: str | None = None) -> OpenApiParameter:
    schema: dict[str, Any] = {"type": "string", "enum": list(values)}
    return OpenApiParameter(
        name, schema if default is None else {**schema, "default": default}, description=description
    )


def _moment(name: str, description: str) -> OpenApiParameter:
    return OpenApiParameter(name, {"type": "string", "format": "date-time"}, description=description)


_TENANT: Final = _text("tenant", "Whose log; needed with a key of the installation.", most=128, minLength=1)
_FILTERS: Final = [
    _text("q", 'Query language: action:member.* -outcome:success after:2026-01-01 "free text".', most=1000),
    _text("action", "A name, or a group such as member.*", most=96),
    _text("category", "A category.", most=32),
    _text("actor", "type:id, or an id.", most=193),
    _text("target", "type:id, or an id.", most=193),
    _choice("outcome", sorted(OUTCOMES), "How it ended."),
    _choice("severity", sorted(SEVERITIES), "How grave it is."),
    _text("ip", "An address, or a network such as 203.0.113.0/24.", most=64),
    _text("request_id", "The id of the request that caused it.", most=64),
    _moment("recorded_start", "Recorded then or later."),
    _moment("recorded_end", "Recorded before."),
    _text("metadata", 'A JSON object that metadata contains: {"role": "admin"}.', most=2000),
    _text("text", "Words that some value contains.", most=200),
]
_TIMES: Final = [
    _moment("start", "Occurred then or later."),
    _moment("end", "Occurred before."),
]
_KEY: Final = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": 100},
    OpenApiParameter.HEADER,
    description="The same key with the same event again records nothing twice.",
)


def _described(**options: Any) -> Callable[[_F], _F]:
    def decorate(method: _F) -> _F:
        # Else it builds on the schema class that the host has set for its own API.
        method.kwargs = {"schema": AutoSchema}  # type: ignore[attr-defined]
        return extend_schema(tags=["Audit log"], **options)(method)

    return decorate


record_events = _described(
    operation_id="record_events",
    summary="Record one event, or up to 1,000",
    parameters=[
        _KEY,
        _choice("mode", ["all_or_nothing", "best_effort"], "What one bad event does to the others.", "all_or_nothing"),
        _TENANT,
    ],
    # document.py adds lists to both.
    request={_JSON: schemas.NewEvent},
    examples=[
        OpenApiExample("One", value=_EXAMPLE_EVENT, request_only=True),
        OpenApiExample("Several", value=[_EXAMPLE_EVENT], request_only=True),
    ],
    responses={
        (201, _JSON): OpenApiResponse(schemas.Recorded, description="Everything was recorded, or stood already."),
        (207, _JSON): OpenApiResponse(schemas.Results, description="Some were recorded, some refused (best_effort)."),
        (422, _JSON): OpenApiResponse(schemas.Results, description="All were refused (best_effort)."),
        **_problems(413, 415, 422),
    },
)
list_events = _described(
    operation_id="list_events",
    summary="List and search events",
    parameters=[
        *_FILTERS,
        *_TIMES,
        _choice("order", ["desc", "asc"], "Newest or oldest first, by when they occurred.", "desc"),
        OpenApiParameter("limit", {"type": "integer", "minimum": 1, "maximum": 200, "default": 50}),
        _text("cursor", "Goes on after a page: its next.", most=1024),
        _TENANT,
    ],
    responses={(200, _JSON): schemas.Page, **_problems()},
)
read_event = _described(
    operation_id="read_event",
    summary="Read one event",
    parameters=[_TENANT],
    responses={(200, _JSON): schemas.EventInFull, **_problems()},
)
prove_event = _described(
    operation_id="prove_event",
    summary="Prove that one event is in the log",
    parameters=[_TENANT],
    responses={(200, _JSON): schemas.InclusionProof, **_problems(409)},
)
read_checkpoint = _described(
    operation_id="read_checkpoint",
    summary="The newest signed checkpoint",
    parameters=[_TENANT],
    responses={(200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, description="C2SP signed note."), **_problems()},
)
prove_consistency = _described(
    operation_id="prove_consistency",
    summary="Prove that the newest checkpoint extends an older one",
    parameters=[
        OpenApiParameter("old_size", {"type": "integer", "minimum": 1}, required=True, description="Its size."),
        _TENANT,
    ],
    responses={(200, _JSON): schemas.ConsistencyProof, **_problems(409)},
)
read_tile = _described(
    operation_id="read_tile",
    summary="A tile of the tree, or a bundle of entries (C2SP tlog-tiles)",
    parameters=[
        OpenApiParameter(
            "path", {"type": "string"}, OpenApiParameter.PATH, description="<level or entries>/<number>[.p/<width>]"
        ),
        _TENANT,
    ],
    responses={(200, "application/octet-stream"): OpenApiTypes.BINARY, **_problems()},
)
verify_log = _described(
    operation_id="verify_log",
    summary="Verify the newest entries of the log",
    parameters=[_TENANT],
    request={_JSON: schemas.ToVerify},
    responses={(200, _JSON): schemas.VerifyReport, **_problems(413, 415)},
)
export_events = _described(
    operation_id="export_events",
    summary="Export events, with or without their proof",
    parameters=[
        _choice("format", list(FORMATS), "Of the file.", "jsonl"),
        OpenApiParameter(
            "proof", {"type": "boolean", "default": True}, description="With its proof (csv, json, jsonl, bundle)."
        ),
        *_FILTERS,
        _moment("start", "With proof: entered in the log then or later; else occurred."),
        _moment("end", "With proof: entered in the log before; else occurred."),
        _text("withheld", "Fields that are left out, with commas: actor,context.", most=200),
        OpenApiParameter(
            "since",
            {"type": "array", "items": {"type": "string"}},
            description="Signed notes that the receiver holds.",
            explode=True,
        ),
        OpenApiParameter("sample", {"type": "integer", "minimum": 0, "maximum": 1000, "default": 25}),
        _text("seed", "Of the sample.", most=64),
        OpenApiParameter("pdf", {"type": "boolean", "default": False}, description="A bundle's report as PDF too."),
        _TENANT,
    ],
    responses={
        **{
            (200, kind.partition(";")[0]): OpenApiResponse(OpenApiTypes.BINARY, description="The file.")
            for kind, _suffix in FORMATS.values()
        },
        **_problems(409, 501),
    },
)
list_actions = _described(
    operation_id="list_actions",
    summary="What may be recorded",
    parameters=[_TENANT],
    responses={(200, _JSON): schemas.Actions, **_problems()},
)
read_health = _described(
    operation_id="read_health",
    summary="Whether events can be recorded",
    auth=[],
    responses={
        (200, _JSON): schemas.Health,
        (400, _PROBLEM): OpenApiResponse(schemas.Problem, description=_ANSWERS[400]),
        (503, _PROBLEM): OpenApiResponse(schemas.Problem, description=_ANSWERS[503]),
    },
)
