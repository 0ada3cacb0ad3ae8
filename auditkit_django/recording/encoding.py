"""From a draft to the row of an event: everything cleaned, limited and disclosed with a fresh salt."""

from __future__ import annotations

import json
import os
from binascii import b2a_base64
from collections.abc import Iterable, Mapping
from functools import lru_cache

from auditkit_django.conf import settings
from auditkit_django.drafts import MAX_NAME, Actor, Change, EventDraft, Target
from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.disclosure import SALT_BYTES, SEPARATOR, encode_value
from auditkit_django.log.rows import EventRow
from auditkit_django.recording.cleaning import Notes, clean, clean_name, clean_text
from auditkit_django.recording.context import ContextFacts
from auditkit_django.recording.redaction import REDACTED, Rules, is_secret_name

NOTES_KEY = "_auditkit"
"""Member of metadata that says which values were redacted, repaired or truncated."""

_MAX_CHANGE_TEXT = 1024
_MAX_CONTEXT_BYTES = 4096
_TRUNCATED = "[truncated]"


def encode_row(draft: EventDraft) -> EventRow:
    """
    The row that stands for ``draft``. Pure but for the salts: no SQL, so a refusal leaves the transaction whole.

    Raises:
        MalformedError: A value without JSON form, or (``OVERSIZE = "reject"``) a payload over the limits.
    """
    texts = encode_fields(draft)
    target = draft.targets[0] if draft.targets else None
    return EventRow(
        draft.id,
        draft.tenant,
        draft.occurred_at,
        draft.recorded_at,
        draft.action,
        draft.category,
        draft.severity,
        draft.outcome,
        draft.actor.type,
        draft.actor.id,
        target.type if target is not None else None,
        target.id if target is not None else None,
        disclose(texts),
    )


def encode_fields(draft: EventDraft) -> dict[str, str]:
    """The JSON text of each field that is present, by name in sorted order, cleaned and within the limits."""
    notes = Notes()
    texts = _encode(draft, notes)
    _fit_event(texts, notes)
    if notes.found:
        texts["metadata"] = _with_notes(texts.get("metadata"), notes)
    return {name: texts[name] for name in sorted(texts)}


def encode_plain(draft: EventDraft) -> dict[str, str] | None:
    """The JSON texts of :func:`encode_fields`; None where anything was redacted, repaired or cut, which the event would say."""
    notes = Notes()
    texts = _encode(draft, notes)
    return None if notes.found else texts


def encode_subject(target: Target, changes: Iterable[Change], notes: Notes) -> tuple[str, str | None]:
    """The JSON texts of the fields ``targets`` and ``changes``; no text where there are no changes."""
    changed = [_clean_change(change, notes) for change in changes]
    return encode_value([_clean_target(target, notes)]), encode_value(changed) if changed else None


def _encode(draft: EventDraft, notes: Notes) -> dict[str, str]:
    actor, actor_notes = _encode_actor(draft.actor, notes.oversize, notes.rules)
    texts = {"actor": actor}
    for kind in actor_notes:
        notes.add(kind, "actor")
    if draft.changes:
        texts["changes"] = encode_value([_clean_change(change, notes) for change in draft.changes])
    if draft.context:
        texts["context"] = _encode_context(draft.context, notes)
    metadata = clean(draft.metadata, path="metadata", notes=notes) if draft.metadata else None
    if draft.on_behalf_of is not None:
        texts["on_behalf_of"], _notes = _encode_actor(draft.on_behalf_of, notes.oversize, notes.rules)
    if draft.targets:
        texts["targets"] = encode_value([_clean_target(target, notes) for target in draft.targets])
    if metadata is not None:
        texts["metadata"] = _fit("metadata", encode_value(metadata), settings.MAX_METADATA_BYTES, notes)
    return texts


def disclose(texts: Mapping[str, str]) -> str:
    """The array texts of all fields joined (ledger.disclosure.join), with a fresh salt each."""
    random = os.urandom(SALT_BYTES * len(texts))
    # Padded to whole groups of base64, so that all salts are encoded at once: 16 bytes are 22 characters of 24.
    padded = b"\0\0".join([random[at : at + SALT_BYTES] for at in range(0, len(random), SALT_BYTES)])
    salts = b2a_base64(padded, newline=False).translate(_URL_SAFE).decode("ascii")
    members = [
        f'"{name}":["{salts[24 * index : 24 * index + 22]}","{name}",{text}]'
        for index, (name, text) in enumerate(texts.items())
    ]
    return "{" + SEPARATOR.join(members) + "}"


_URL_SAFE = bytes.maketrans(b"+/", b"-_")


@lru_cache(maxsize=1024)
def _encode_actor(actor: Actor, oversize: str, by: Rules) -> tuple[str, tuple[str, ...]]:
    # Cached: the same few users act again and again. What changes the answer is part of the key.
    notes = Notes()
    value = actor.as_value()
    for member in ("name", "email"):
        if member in value:
            value[member] = clean_text(str(value[member]), path="actor", notes=notes, limit=MAX_NAME)
    return encode_value(value), tuple(notes.found)


def _clean_target(target: Target, notes: Notes) -> dict[str, object]:
    value = target.as_value()
    if "name" in value:
        value["name"] = clean_text(str(value["name"]), path="targets.name", notes=notes, limit=MAX_NAME)
    return value


def _clean_change(change: Change, notes: Notes) -> dict[str, object]:
    field = clean_name(change.field, path="changes", notes=notes)
    if change.is_redacted or (
        is_secret_name(field, notes.rules) and not (_is_fact(change.old) and _is_fact(change.new))
    ):
        if not change.is_redacted:
            notes.add("redacted", f"changes.{field}")
        return {"field": field, "redacted": True}
    return {
        "field": field,
        "old": None if change.old is None else _clean_side(change.old, f"changes.{field}.old", notes),
        "new": None if change.new is None else _clean_side(change.new, f"changes.{field}.new", notes),
    }


def _is_fact(value: object) -> bool:
    """Whether ``value`` tells nothing of a secret but that it is asked for, or is not there."""
    return value is None or type(value) is bool


def _clean_side(value: object, path: str, notes: Notes) -> object:
    if isinstance(value, str):
        return clean_text(value, path=path, notes=notes, limit=_MAX_CHANGE_TEXT)
    return clean(value, path=path, notes=notes)


def _encode_context(context: Mapping[str, object], notes: Notes) -> str:
    if isinstance(context, ContextFacts):
        if context.encoded is None:
            context.encoded = _encode_facts(context, Notes())
        return context.encoded
    return _encode_facts(context, notes)


def _encode_facts(facts: Mapping[str, object], notes: Notes) -> str:
    # The session is a digest under a name that would else be redacted.
    cleaned = {
        clean_name(name, path="context (a key)", notes=notes): clean(value, path=f"context.{name}", notes=notes)
        if name == "session" or not is_secret_name(name, notes.rules)
        else REDACTED
        for name, value in facts.items()
    }
    return _fit("context", encode_value(cleaned), _MAX_CONTEXT_BYTES, notes)


def _fit_event(texts: dict[str, str], notes: Notes) -> None:
    """Cut changes, then metadata, where all fields together exceed ``MAX_EVENT_BYTES``."""
    size = sum(len(text) for text in texts.values())
    # Four bytes at most to a character; the setting has a floor of 1 KiB.
    if size <= 256 or size * 4 <= settings.MAX_EVENT_BYTES:
        return
    sizes = {name: len(text.encode()) for name, text in texts.items()}
    for name in ("changes", "metadata", "targets", "context"):
        excess = sum(sizes.values()) - settings.MAX_EVENT_BYTES
        if excess <= 0:
            return
        if name in texts:
            texts[name] = _fit(name, texts[name], max(sizes[name] - excess, 64), notes)
            sizes[name] = len(texts[name].encode())
    if sum(sizes.values()) > settings.MAX_EVENT_BYTES:
        raise MalformedError(f"event: got {sum(sizes.values())} bytes, wanted at most {settings.MAX_EVENT_BYTES}")


def _fit(path: str, text: str, limit: int, notes: Notes) -> str:
    """``text``, its largest members replaced by a mark until it has at most ``limit`` bytes of UTF-8."""
    if len(text) * 4 <= limit or len(text.encode()) <= limit:
        return text
    size = left = len(text.encode())
    value = json.loads(text)
    sizes = {member: _size(value[member]) for member in (value if isinstance(value, dict) else range(len(value)))}
    for member in sorted(sizes, key=lambda member: sizes[member], reverse=True):
        notes.truncated(f"{path}.{member}", f"{size} bytes of {path}", f"at most {limit}")
        value[member] = {"field": value[member]["field"], "truncated": True} if path == "changes" else _TRUNCATED
        left -= sizes[member] - _size(value[member])
        if left <= limit:
            return encode_value(value)
    return encode_value({_TRUNCATED: True} if isinstance(value, dict) else [])


def _size(value: object) -> int:
    return len(encode_value(value).encode())


def _with_notes(text: str | None, notes: Notes) -> str:
    members = json.loads(text) if text else {}
    members[NOTES_KEY] = notes.found
    return encode_value(members)
