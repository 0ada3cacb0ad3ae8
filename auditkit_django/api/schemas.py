"""The forms of requests and answers, for the OpenAPI document."""

from __future__ import annotations

from typing import Any, Final

from drf_spectacular.utils import extend_schema_field, extend_schema_serializer
from rest_framework import serializers

from auditkit_django.drafts import MAX_ID, MAX_TENANT, MAX_TYPE

Schema = dict[str, Any]

_OBJECT: Final[Schema] = {"type": "object", "additionalProperties": True}
_ID: Final[Schema] = {
    "description": f"1 to {MAX_ID} printable characters; a number is taken as its digits.",
    "oneOf": [{"type": "string", "minLength": 1, "maxLength": MAX_ID}, {"type": "integer"}],
}
_TYPE: Final[Schema] = {"type": "string", "minLength": 1, "maxLength": MAX_TYPE, "example": "user"}
_NULLABLE_TEXT: Final[Schema] = {"type": "string", "nullable": True}


def _party(*members: str) -> Schema:
    texts = dict.fromkeys(members, _NULLABLE_TEXT)
    return {
        "oneOf": [
            {
                "type": "object",
                "properties": {"type": _TYPE, "id": {**_ID, "nullable": True}, **texts},
                "required": ["type"],
                "additionalProperties": False,
            },
            {"type": "string", "description": "type:id", "example": "user:42"},
        ]
    }


_ACTOR: Final = {**_party("name", "email"), "nullable": True}
_TARGET: Final = _party("name")
_CHANGES: Final[Schema] = {
    "nullable": True,
    "oneOf": [
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "old": {}, "new": {}},
                "required": ["field"],
                "additionalProperties": False,
            },
        },
        {
            "type": "object",
            "description": "field to [old, new]",
            "additionalProperties": {"type": "array", "items": {}, "minItems": 2, "maxItems": 2},
        },
    ],
}
_CONTEXT: Final[Schema] = {
    "type": "object",
    "nullable": True,
    "maxProperties": 20,
    "description": "Facts of the request that caused the event: ip, user_agent, request_id, session, and others.",
    "properties": {"ip": {"type": "string"}, "user_agent": {"type": "string"}, "request_id": {"type": "string"}},
    "additionalProperties": True,
}


def _field(schema: Schema, **options: Any) -> Any:
    """A field of the document alone, with this schema."""
    return extend_schema_field(schema)(type("Described", (serializers.JSONField,), {}))(**options)


class NewEvent(serializers.Serializer[Any]):
    """An event to be recorded."""

    action = serializers.CharField(max_length=96, help_text='A registered name such as "member.invited" (GET actions).')
    actor = _field(_ACTOR, required=False, help_text="Who did it; the API key where nobody is named.")
    on_behalf_of = _field(_ACTOR, required=False, help_text="Whose identity the actor used.")
    target = _field({**_TARGET, "nullable": True}, required=False, help_text="What it was done to.")
    targets = _field({"type": "array", "items": _TARGET, "maxItems": 20, "nullable": True}, required=False)
    outcome = _field({"type": "string", "enum": ["success", "failure", "denied"], "nullable": True}, required=False)
    severity = _field(
        {"type": "string", "enum": ["info", "low", "medium", "high", "critical"], "nullable": True}, required=False
    )
    occurred_at = _field(
        {"type": "string", "format": "date-time", "nullable": True},
        required=False,
        help_text="When it happened, with a zone; now where nothing is said, and no later.",
    )
    metadata = _field({**_OBJECT, "nullable": True}, required=False, help_text="Whatever else is to be known; 16 KiB.")
    changes = _field(_CHANGES, required=False)
    context = _field(_CONTEXT, required=False)
    idempotency_key = _field({"type": "string", "minLength": 1, "maxLength": 128, "nullable": True}, required=False)
    tenant = _field(
        {"type": "string", "minLength": 1, "maxLength": MAX_TENANT, "nullable": True},
        required=False,
        help_text="Whose log; only with a key of the installation.",
    )


class Recorded(serializers.Serializer[Any]):
    """What became of one event."""

    id = serializers.UUIDField()
    status = serializers.ChoiceField(choices=["recorded", "repeated"])


@extend_schema_serializer(component_name="Result")
class Result(serializers.Serializer[Any]):
    """What became of one event of a list: an id, or what was wrong with it."""

    index = serializers.IntegerField(min_value=0)
    status = serializers.ChoiceField(choices=["recorded", "repeated", "refused"])
    id = serializers.UUIDField(required=False)
    code = serializers.CharField(required=False)
    detail = serializers.CharField(required=False)


class Results(serializers.Serializer[Any]):
    """What became of a list, in its order."""

    recorded = serializers.IntegerField(min_value=0)
    repeated = serializers.IntegerField(min_value=0)
    refused = serializers.IntegerField(min_value=0)
    results = Result(many=True)


class Event(serializers.Serializer[Any]):
    """An event of the log."""

    id = serializers.UUIDField()
    tenant = serializers.CharField()
    seq = serializers.IntegerField(allow_null=True, min_value=0, help_text="Place in the log; null until it is there.")
    occurred_at = serializers.DateTimeField()
    recorded_at = serializers.DateTimeField()
    action = serializers.CharField()
    category = serializers.CharField()
    severity = serializers.CharField()
    outcome = serializers.CharField()
    summary = serializers.CharField(help_text="The event as a sentence.")
    actor = _field({**_OBJECT, "nullable": True})
    on_behalf_of = _field({**_OBJECT, "nullable": True})
    targets = _field({"type": "array", "items": _OBJECT})
    context = _field(_OBJECT)
    changes = _field({"type": "array", "items": _OBJECT})
    metadata = _field(_OBJECT)
    leaf_hash = serializers.CharField(allow_null=True, help_text="SHA-256(0x00 ‖ entry), base64.")


class EventInFull(Event):
    """An event with its entry."""

    entry = serializers.CharField(allow_null=True, help_text="The exact text that is hashed.")


class Page(serializers.Serializer[Any]):
    """Events in order, and the cursor of the page after."""

    events = Event(many=True)
    next = serializers.CharField(allow_null=True)


class InclusionProof(serializers.Serializer[Any]):
    """An entry, what opens its digests, and the proof that it is under a signed checkpoint."""

    id = serializers.UUIDField()
    seq = serializers.IntegerField(min_value=0)
    entry = serializers.CharField()
    disclosures = _field({"type": "object", "additionalProperties": {"type": "string"}}, help_text="RFC 9901.")
    proof = serializers.CharField(help_text="C2SP tlog-proof, with the signed checkpoint.")


class ConsistencyProof(serializers.Serializer[Any]):
    """The hashes that lead from an older size to the newest checkpoint (RFC 9162, section 2.1.4)."""

    old_size = serializers.IntegerField(min_value=1)
    new_size = serializers.IntegerField(min_value=1)
    hashes = serializers.ListField(child=serializers.CharField())
    checkpoint = serializers.CharField()


class ToVerify(serializers.Serializer[Any]):
    """How much to check, and against what."""

    max_entries = serializers.IntegerField(required=False, min_value=1, max_value=1_000_000)
    since = serializers.ListField(
        required=False, child=serializers.CharField(), max_length=20, help_text="Signed notes that were kept elsewhere."
    )


class Finding(serializers.Serializer[Any]):
    """One thing that is not as it should be."""

    code = serializers.CharField()
    seq = serializers.IntegerField(allow_null=True)
    event_id = serializers.UUIDField(allow_null=True)
    message = serializers.CharField()


class VerifyReport(serializers.Serializer[Any]):
    """What a verification found; the verdict is the worst of it."""

    tenant = serializers.CharField()
    origin = serializers.CharField(allow_blank=True)
    epoch = serializers.IntegerField()
    verdict = serializers.ChoiceField(choices=["VALID", "VALID_WITH_GAPS", "INVALID", "INCOMPLETE"])
    size = serializers.IntegerField()
    checked = serializers.IntegerField()
    sealed = serializers.IntegerField()
    first_seq = serializers.IntegerField(allow_null=True)
    last_seq = serializers.IntegerField(allow_null=True)
    pending = serializers.IntegerField()
    findings = Finding(many=True)
    gaps = Finding(many=True)
    omitted = serializers.IntegerField()
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField()


class Action(serializers.Serializer[Any]):
    """What may be recorded."""

    name = serializers.CharField()
    category = serializers.CharField()
    severity = serializers.CharField()
    outcome = serializers.CharField()
    description = serializers.CharField()
    aliases = serializers.ListField(child=serializers.CharField())


class Actions(serializers.Serializer[Any]):
    """The catalogue."""

    actions = Action(many=True)


class Health(serializers.Serializer[Any]):
    """``behind``: events wait longer than they should to be put in the log."""

    status = serializers.ChoiceField(choices=["ok", "behind"])


class Problem(serializers.Serializer[Any]):
    """Problem details (RFC 9457)."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    code = serializers.CharField(help_text="Stable; docs/api.md has them all.")
    request_id = serializers.CharField()
    errors = _field({"type": "array", "items": _OBJECT}, required=False)
    parameter = serializers.CharField(required=False)
    position = serializers.IntegerField(required=False)
    scope = serializers.CharField(required=False)
