"""Events: recorded, listed, read, proven."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from rest_framework.request import Request
from rest_framework.response import Response

from auditkit_django.access.grant import READ, WRITE
from auditkit_django.api import described
from auditkit_django.api.base import ApiView
from auditkit_django.api.filters import PARAMETERS, EventFilterSet
from auditkit_django.api.garbage import collecting_later
from auditkit_django.api.incoming import incoming
from auditkit_django.api.outgoing import outgoing, outgoing_in_full
from auditkit_django.api.problems import ProblemError, malformed, not_found
from auditkit_django.conf import settings
from auditkit_django.exceptions import AuditkitError, IdempotencyConflictError, MalformedError, SealError
from auditkit_django.ledger.disclosure import from_json, split
from auditkit_django.log import prove
from auditkit_django.log.checkpoints import newest
from auditkit_django.models import Entry, Log
from auditkit_django.query.limits import statement_timeout
from auditkit_django.query.pages import event_of, page_of
from auditkit_django.recording.ingesting import write_all
from auditkit_django.templatetags.auditkit_visible import visible

MAX_EVENTS: Final = 1000
MAX_LIMIT: Final = 200
_MAX_KEY: Final = 100
_MODES: Final = ("all_or_nothing", "best_effort")


class Events(ApiView):
    """Record events; list and search them."""

    scopes = {"GET": READ, "POST": WRITE}

    @property
    def rate(self) -> Any:  # type: ignore[override]
        return "write" if self.request.method == "POST" else "read"

    @property
    def parameters(self) -> frozenset[str]:  # type: ignore[override]
        return frozenset({"mode"}) if self.request.method == "POST" else PARAMETERS | {"order", "limit", "cursor"}

    @described.list_events
    def get(self, request: Request, **kwargs: Any) -> Response:
        params = request.query_params
        chosen = self.narrowed(**EventFilterSet.of(params).members())
        with statement_timeout(settings.API_STATEMENT_SECONDS):
            page = page_of(
                self.tenant,
                chosen,
                limit=_limit(params.get("limit", "50")),
                order=_one_of(params.get("order", "desc"), ("desc", "asc"), "order"),
                cursor=params.get("cursor"),
            )
        self.note_viewing()
        return Response({"events": [outgoing(event) for event in page.events], "next": page.next_cursor})

    @described.record_events
    def post(self, request: Request, **kwargs: Any) -> Response:
        mode = _one_of(request.query_params.get("mode", _MODES[0]), _MODES, "mode")
        key, asked = _idempotency_key(request), request.query_params.get("tenant")
        if asked is not None and self.grant.tenant not in (None, asked):
            raise not_found()
        if not self.has_body:
            raise malformed("body: got none, wanted an event, or a list of events, and a Content-Length")
        # Read before: whoever sends slowly must not keep the collector off.
        data = request.data
        with collecting_later():
            if isinstance(data, list):
                return self._many(data, key, is_atomic=mode == _MODES[0])
            return self._one(data, key)

    @property
    def _default(self) -> str | None:
        """Whose events they are that do not say so themselves."""
        return self.request.query_params.get("tenant") or self.place

    def _one(self, item: object, key: str | None) -> Response:
        try:
            [outcome] = write_all([pair := incoming(item, self.grant, key=key, tenant=self._default)], is_atomic=True)
        except MalformedError as exc:
            raise ProblemError(422, exc.code, visible(exc)) from exc
        if isinstance(outcome, IdempotencyConflictError):
            raise ProblemError(422, outcome.code, visible(outcome))
        return Response({"id": str(pair[0].id), "status": _status(outcome)}, status=201)

    def _many(self, items: list[object], key: str | None, *, is_atomic: bool) -> Response:
        if not 0 < len(items) <= MAX_EVENTS:
            raise malformed(f"body: got a list of {len(items)} events, wanted 1 to {MAX_EVENTS}")
        refused: dict[int, AuditkitError] = {}
        pairs = {}
        for index, item in enumerate(items):
            try:
                pairs[index] = incoming(
                    item, self.grant, key=None if key is None else f"{key}/{index}", tenant=self._default
                )
            except MalformedError as exc:
                refused[index] = exc
        outcomes: dict[int, object] = {}
        if pairs and not (is_atomic and refused):
            outcomes = dict(zip(pairs, write_all(list(pairs.values()), is_atomic=is_atomic), strict=True))
        refused |= {index: one for index, one in outcomes.items() if isinstance(one, AuditkitError)}
        if is_atomic and refused:
            raise _refusal(refused, f"{len(refused)} of {len(items)} events cannot be recorded; none was.")
        results = [
            {"index": index, "status": "refused", **_problem(refused[index])}
            if index in refused
            else {"index": index, "status": _status(outcomes[index]), "id": str(pairs[index][0].id)}
            for index in range(len(items))
        ]
        counts = {name: sum(one["status"] == name for one in results) for name in ("recorded", "repeated", "refused")}
        status = 201 if not refused else 207 if len(refused) < len(items) else 422
        return Response({**counts, "results": results}, status=status)


class Event(ApiView):
    """One event, with its entry."""

    scopes = {"GET": READ}

    @described.read_event
    def get(self, request: Request, *, event_id: UUID, **kwargs: Any) -> Response:
        event = event_of(self.tenant, event_id, chosen=self.narrowed())
        if event is None:
            raise not_found()
        self.note_viewing()
        return Response(outgoing_in_full(event))


class Proof(ApiView):
    """That one event is in the log, for whoever has the log's verifier key."""

    scopes = {"GET": READ}

    @described.prove_event
    def get(self, request: Request, *, event_id: UUID, **kwargs: Any) -> Response:
        event = self.narrowed().apply(self.tenant).filter(id=event_id).first()
        if event is None:
            raise not_found()
        entry = Entry.objects.filter(tenant=self.tenant, event_id=event_id).first()
        if entry is None:
            raise ProblemError(
                409, "not_sealed", "The event is recorded and not in the log yet. Try again in a moment."
            )
        log = Log.objects.get(tenant=self.tenant, epoch=entry.epoch)
        checkpoint = newest(log)
        if checkpoint is None or entry.seq >= checkpoint.size:
            raise ProblemError(
                409, "not_sealed", "The event is in the log and under no checkpoint yet. Try again later."
            )
        try:
            proof = prove.inclusion(checkpoint, entry.seq)
        except SealError as exc:
            raise ProblemError(409, "not_provable", visible(exc)) from exc
        texts = split(event.disclosures) if event.disclosures else {}
        return Response(
            {
                "id": str(event_id),
                "seq": entry.seq,
                "entry": bytes(entry.body).decode("ascii", "backslashreplace"),
                "disclosures": {name: from_json(text) for name, text in texts.items()},
                "proof": proof,
            }
        )


def _status(outcome: object) -> str:
    return "recorded" if outcome else "repeated"


def _problem(exc: AuditkitError) -> dict[str, str]:
    return {"code": exc.code, "detail": visible(exc)}


def _refusal(refused: dict[int, AuditkitError], detail: str) -> ProblemError:
    errors = [{"index": index, **_problem(refused[index])} for index in sorted(refused)]
    codes = {exc.code for exc in refused.values()}
    return ProblemError(422, codes.pop() if len(codes) == 1 else "malformed", detail, errors=errors)


def _idempotency_key(request: Request) -> str | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    # As a structured field (the draft of the HTTP working group) it is quoted.
    key = key[1:-1] if len(key) > 1 and key[0] == key[-1] == '"' else key
    if not 0 < len(key) <= _MAX_KEY or not key.isascii() or not key.isprintable():
        raise malformed(f"Idempotency-Key: got {len(key)} characters, wanted 1 to {_MAX_KEY}, printable ASCII")
    return key


def _limit(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 4 or not 0 < int(text) <= MAX_LIMIT:
        raise malformed(f"limit: got {text[:20]!r}, wanted 1 to {MAX_LIMIT}", parameter="limit")
    return int(text)


def _one_of(text: str, allowed: tuple[str, ...], name: str) -> Any:
    if text not in allowed:
        raise malformed(f"{name}: got {text[:20]!r}, wanted {' or '.join(allowed)}", parameter=name)
    return text
