"""What is asked of the server beside recording, for both clients: parameters, and what comes back."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import IO, Any, Final, Literal, TypedDict

import httpx

from auditkit_django.client.answers import problem_of, seconds_after
from auditkit_django.client.errors import NoAnswerError, RefusedError, SettingsError, excerpt
from auditkit_django.client.events import Outcome, Severity

Format = Literal["csv", "json", "jsonl", "bundle", "xlsx", "parquet"]
FORMATS: Final = ("csv", "json", "jsonl", "bundle", "xlsx", "parquet")


class Filters(TypedDict, total=False):
    """
    Which events: those of ``auditlog.list`` and more. ``q`` is the query language.

    ``start`` is included and ``end`` is not (times of occurrence; ``recorded_*`` of recording), both aware.
    """

    q: str | None
    action: str | None
    category: str | None
    actor: str | None
    target: str | None
    outcome: Outcome | None
    severity: Severity | None
    ip: str | None
    request_id: str | None
    start: datetime | None
    end: datetime | None
    recorded_start: datetime | None
    recorded_end: datetime | None
    metadata: Mapping[str, object] | None
    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Events as the server shows them, in order; ``next`` is the cursor of the page after, None where there is none."""

    events: tuple[dict[str, Any], ...]
    next: str | None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.events)

    def __len__(self) -> int:
        return len(self.events)


def parameters_of(values: Mapping[str, object]) -> dict[str, str]:
    """
    ``values`` as a query string has them; those that are None are left out.

    Raises:
        SettingsError: A time without a zone (a ValueError).
    """
    return {name: _parameter(name, value) for name, value in values.items() if value is not None}


def filters_of(filters: Mapping[str, object]) -> dict[str, str]:
    """:func:`parameters_of` of filters. Raises TypeError for one that there is not."""
    unknown = sorted(filters.keys() - Filters.__annotations__.keys())
    if unknown:
        raise TypeError(f"got {', '.join(unknown)}, wanted filters of {', '.join(Filters.__annotations__)}")
    return parameters_of(filters)


def _parameter(name: str, value: object) -> str:
    if isinstance(value, datetime):
        if value.utcoffset() is None:
            raise SettingsError(f"{name}: got {excerpt(value)}, wanted an aware datetime")
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return json.dumps(dict(value), separators=(",", ":"), default=str)
    return str(value)


def export_parameters(
    tenant: object, *, format: str, include_chain_proof: bool, filters: Mapping[str, object]
) -> dict[str, str]:
    """The parameters of an export. Raises SettingsError for a format that there is not."""
    if format not in FORMATS:
        raise SettingsError(f"format: got {excerpt(format)}, wanted one of {', '.join(FORMATS)}")
    # Copies for reading have no proof, whatever the default says.
    proof = include_chain_proof and format not in ("xlsx", "parquet")
    return {**parameters_of({"tenant": tenant, "format": format, "proof": proof}), **filters_of(filters)}


def verify_body(max_entries: int | None, since: str | Sequence[str] | None) -> dict[str, object]:
    """The body of a request to verify."""
    body: dict[str, object] = {}
    if max_entries is not None:
        body["max_entries"] = max_entries
    if since is not None:
        body["since"] = [since] if isinstance(since, str) else list(since)
    return body


def checked_file(file: IO[bytes]) -> IO[bytes]:
    """``file``. Raises SettingsError (a ValueError) where it is one for text."""
    given: object = file
    if isinstance(given, io.TextIOBase):
        raise SettingsError("file: got a text file, wanted one that is open for bytes")
    return file


def page_of(response: httpx.Response) -> Page:
    """
    The page in an answer.

    Raises:
        RefusedError: It is an error.
        NoAnswerError: It is none of the server's.
    """
    value = object_of(response)
    events, cursor = value.get("events"), value.get("next")
    if not isinstance(events, list) or not isinstance(cursor, str | None):
        raise NoAnswerError(f"got JSON with {', '.join(sorted(value))[:80]}, wanted events and next")
    return Page(events=tuple(events), next=cursor)


def object_of(response: httpx.Response) -> dict[str, Any]:
    """The JSON object in an answer. Raises like :func:`page_of`."""
    raise_for(response)
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError) as exc:
        raise NoAnswerError(f"got {excerpt(response.content)}, wanted JSON") from exc
    if not isinstance(value, dict):
        raise NoAnswerError(f"got {excerpt(response.content)}, wanted a JSON object")
    return value


def raise_for(response: httpx.Response) -> None:
    """Raise RefusedError where the answer, which was read whole, is an error or a redirection."""
    if response.status_code == 200:
        return
    try:
        value = json.loads(response.content)
    except (ValueError, RecursionError):
        value = None
    problem = value if isinstance(value, dict) else {}
    said, position = problem_of(response.status_code, problem), problem.get("position")
    raise RefusedError(
        said["detail"],
        status=response.status_code,
        code=said["code"],
        request_id=str(problem["request_id"]) if problem.get("request_id") else None,
        retry_after=seconds_after(response.headers.get("retry-after"), now=datetime.now(UTC)),
        position=position if isinstance(position, int) else None,
    )
