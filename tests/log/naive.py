"""
A second verifier, written from DESIGN 4.3 with json and hashlib alone: slow, short, and no code shared with the product.

:func:`faults` takes plain rows, so that nothing of the product stands between it and the stored bytes.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC
from typing import Any
from uuid import UUID

MEMBERS = {"action", "at", "category", "id", "log", "outcome", "prev", "rec", "sd", "seq", "severity", "time", "v"}


def stored_rows(tenant: str) -> tuple[list[dict[str, Any]], dict[UUID, dict[str, Any]], dict[str, Any]]:
    """Entries in order of seq, events by id, and the log's row."""
    from auditkit_django.models import Entry, Event, Log

    entries = list(Entry.objects.filter(tenant=tenant).order_by("seq").values())
    events = {row["id"]: row for row in Event.objects.filter(tenant=tenant).values()}
    return entries, events, Log.objects.filter(tenant=tenant).values().get()


def faults(
    entries: Sequence[Mapping[str, Any]], events: Mapping[UUID, Mapping[str, Any]], log: Mapping[str, Any]
) -> Iterator[tuple[int | None, str]]:
    """(seq, what) of everything that is wrong."""
    prev, time = bytes(32), ""
    for wanted, entry in enumerate(entries):
        body, seq = bytes(entry["body"]), entry["seq"]
        if seq != wanted:
            yield wanted, "gap"
            return
        leaf = hashlib.sha256(b"\x00" + body).digest()
        if leaf != bytes(entry["leaf_hash"]):
            yield seq, "leaf hash"
        said = json.loads(body)
        if json.dumps(said, sort_keys=True, separators=(",", ":")).encode() != body or said.keys() != MEMBERS:
            yield seq, "form"
        if said["seq"] != seq or said["log"] != log["origin"] or said["id"] != str(entry["event_id"]):
            yield seq, "place"
        if base64.b64decode(said["prev"]) != prev or said["time"] < time:
            yield seq, "link"
        event = events.get(entry["event_id"])
        yield from ((seq, what) for what in (_event_faults(event, said) if event else ["event is gone"]))
        prev, time = leaf, said["time"]
    if (log["size"], bytes(log["head_hash"]), _text(log["head_time"])) != (len(entries), prev, time):
        yield len(entries) - 1, "head"


def _event_faults(event: Mapping[str, Any], said: Mapping[str, Any]) -> Iterator[str]:
    for column in ("action", "category", "severity", "outcome"):
        if event[column] != said[column]:
            yield column
    if _text(event["occurred_at"]) != said["at"] or _text(event["recorded_at"]) != said["rec"]:
        yield "times"
    opened = json.loads(event["disclosures"] or "{}")
    lines = [f'"{name}":{_json(array)}' for name, array in sorted(opened.items())]
    if "{" + ",\n".join(lines) + "}" != (event["disclosures"] or "{}"):
        yield "form of the disclosures"
    if {name: _digest(array) for name, array in opened.items()} != said["sd"]:
        yield "digests"
    actor, targets = (opened[name][2] if name in opened else {} for name in ("actor", "targets"))
    target = targets[0] if targets else {}
    shown = (event["actor_type"], event["actor_id"], event["target_type"], event["target_id"])
    if shown != (actor.get("type"), actor.get("id"), target.get("type"), target.get("id")):
        yield "copies"


def _digest(array: list[Any]) -> str:
    return _base64url(hashlib.sha256(_base64url(_json(array).encode()).encode()).digest())


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _text(moment: Any) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
