"""Evidence and listings as files, made while they are read."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from auditkit_django.access.grant import EXPORT
from auditkit_django.api import described
from auditkit_django.api.base import ApiView
from auditkit_django.api.filters import PARAMETERS, EventFilterSet
from auditkit_django.api.problems import ProblemError, malformed
from auditkit_django.evidence.download import download
from auditkit_django.evidence.order import FORMATS, PROVEN, Order

_WORDS = {"true": True, "1": True, "false": False, "0": False}


class Export(ApiView):
    """The events of a window, with or without their proof. Recorded before the first byte."""

    scopes = {"GET": EXPORT}
    rate = "export"
    # It is recorded: to ask for its headers alone would be an export that nobody got.
    http_method_names = ["get", "options"]
    parameters = PARAMETERS | {"format", "proof", "withheld", "since", "sample", "seed", "pdf"}

    @described.export_events
    def get(self, request: Request, **kwargs: Any) -> HttpResponseBase:
        if self.grant.is_session and request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            raise ProblemError(403, "refused", "Another site may not cause an export in somebody's name.")
        params = request.query_params
        filters = EventFilterSet.of(params)
        form = params.get("format", "jsonl")
        if form not in FORMATS:
            raise malformed(f"format: got {form[:20]!r}, wanted one of {', '.join(FORMATS)}", parameter="format")
        given = filters.members()
        order = Order(
            tenant=self.tenant,
            format=form,
            proof=_is(params.get("proof", "true"), "proof") and form in PROVEN,
            chosen=self.narrowed(**filters.members(without=("start", "end"))),
            withheld=tuple(part for part in params.get("withheld", "").split(",") if part),
            since=tuple(params.getlist("since")),
            sample=_number(params.get("sample", "25"), "sample"),
            seed=params.get("seed", "1"),
            pdf=_is(params.get("pdf", "false"), "pdf"),
            start=given.get("start"),
            end=given.get("end"),
        )
        if self.grant.only_actor is not None and order.proof and (order.start is not None or order.end is not None):
            raise malformed(
                "start, end: got a window with a proof, whose edges are other people's events: leave one out"
            )
        try:
            with self.acting():
                return download(request._request, order)
        except ImproperlyConfigured as exc:
            raise ProblemError(501, "not_installed", f"This server cannot make {form}.") from exc


def _is(text: str, name: str) -> bool:
    if text not in _WORDS:
        raise malformed(f"{name}: got {text[:20]!r}, wanted true or false", parameter=name)
    return _WORDS[text]


def _number(text: str, name: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 6:
        raise malformed(f"{name}: got {text[:20]!r}, wanted a number", parameter=name)
    return int(text)
