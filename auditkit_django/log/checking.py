"""
One entry against its event and its place in the log.

First the quick way: make the entry again from the event, the place and the previous hash, and compare bytes. Equal
bytes prove every member at once. Where they differ, :func:`diagnose` parses strictly and names what is wrong.
"""

from __future__ import annotations

from binascii import b2a_base64
from collections.abc import Iterator, Mapping
from typing import Final

from auditkit_django.exceptions import MalformedError
from auditkit_django.ledger.disclosure import cut, digest_of_json, split_with_values
from auditkit_django.ledger.entry import VERSION, Entry, assemble, leaf_hash, parse
from auditkit_django.ledger.licences import Licences
from auditkit_django.log.findings import Finding, uuid_of
from auditkit_django.log.heads import digests_json
from auditkit_django.log.reading import StoredEntry, StoredEvent

_TIME_LENGTH: Final = 27
_AFTER_TIME: Final = len(f'","v":"{VERSION}"}}')
_TARGETS_AT: Final = len('["1234567890123456789012","targets",[')


def quick_time(stored: StoredEntry) -> str:
    """The ``time`` member, cut from where canonical bytes have it; meaningless where the bytes are not canonical."""
    return stored.body[-_AFTER_TIME - _TIME_LENGTH : -_AFTER_TIME].decode("ascii", "replace")


def is_as_appended(stored: StoredEntry, *, origin: str, prev: bytes, time: str, computed: bytes) -> bool:
    """Whether entry, leaf hash, event and searchable columns all agree; False may also mean: look closer."""
    event = stored.event
    if event is None or computed != stored.leaf_hash:
        return False
    try:
        # Unchecked: the digests of these texts are compared with the entry's, name by name.
        texts = cut(event.disclosures) if event.disclosures else {}
        return _columns_agree_quickly(event, texts) and stored.body == assemble(
            log=origin,
            seq=stored.seq,
            prev_b64=b2a_base64(prev, newline=False).decode("ascii"),
            id=event.id,
            time=time,
            at=event.occurred_at or "",
            rec=event.recorded_at or "",
            action=event.action,
            category=event.category,
            severity=event.severity,
            outcome=event.outcome,
            sd_json=digests_json(texts),
        )
    except (UnicodeEncodeError, AttributeError, TypeError, ValueError):
        # A column edited by hand into something that no entry can be made from.
        return False


def _columns_agree_quickly(event: StoredEvent, texts: Mapping[str, str]) -> bool:
    """
    Whether the searchable columns are those disclosed, decided on the text alone; False: decide by parsing.

    Inside a JSON text a quote is always escaped, so ``"id":"42"`` with bare quotes is a member and nothing else.
    """
    actor, targets = texts.get("actor"), texts.get("targets")
    if actor is None or not _is_plain(event.actor_type) or not actor.endswith(f'"type":"{event.actor_type}"}}]'):
        return False
    if event.actor_id is None:
        if '"id":"' in actor:
            return False
    elif not _is_plain(event.actor_id) or f'"id":"{event.actor_id}"' not in actor:
        return False
    if targets is None:
        return event.target_type is None and event.target_id is None
    return (
        _is_plain(event.target_id)
        and _is_plain(event.target_type)
        and targets.startswith(f'{{"id":"{event.target_id}"', _TARGETS_AT)
        and targets.count('"id":"') == 1
        and targets.endswith(f'"type":"{event.target_type}"}}]]')
    )


def _is_plain(text: str | None) -> bool:
    return text is not None and '"' not in text and "\\" not in text


def diagnose(
    stored: StoredEntry, *, tenant: str, origin: str, prev: bytes | None, last_time: str, licences: Licences
) -> Iterator[Finding]:
    """
    Everything wrong with one entry, its leaf hash and its event. ``prev`` is None where the entry before is missing;
    ``licences`` say what may be.
    """
    try:
        entry = parse(stored.body)
    except MalformedError as exc:
        yield _finding("entry.malformed", stored, str(exc))
        entry = None
    if leaf_hash(stored.body) != stored.leaf_hash:
        yield _finding("entry.leaf_hash", stored, "the stored leaf hash is not the hash of the entry's bytes")
    if entry is not None:
        yield from _diagnose_place(stored, entry, origin=origin, prev=prev, last_time=last_time)
    if stored.event is None and entry is not None and licences.is_purged(stored.seq, entry.category, entry.action):
        return
    if stored.event is None:
        yield _finding("event.missing", stored, f"event {stored.event_id} is not among the events of tenant {tenant!r}")
    elif entry is not None:
        yield from _diagnose_columns(stored, entry, stored.event)
        yield from _diagnose_disclosures(stored, entry, stored.event, licences)


def _diagnose_place(
    stored: StoredEntry, entry: Entry, *, origin: str, prev: bytes | None, last_time: str
) -> Iterator[Finding]:
    if entry.log != origin:
        yield _finding("entry.origin", stored, f"got {entry.log!r}, wanted {origin!r}")
    if entry.seq != stored.seq:
        yield _finding("entry.seq", stored, f"the entry says seq {entry.seq} and is stored at {stored.seq}")
    if prev is not None and entry.prev != prev:
        got, wanted = (b2a_base64(value, newline=False).decode() for value in (entry.prev, prev))
        yield _finding("entry.prev", stored, f"links to {got}, wanted {wanted}")
    if entry.time < last_time:
        yield _finding("entry.time", stored, f"appended at {entry.time}, before the entry in front of it ({last_time})")
    if entry.id != stored.event_id:
        yield _finding("entry.event_id", stored, f"the entry stands for {entry.id} and is stored for {stored.event_id}")


def _diagnose_columns(stored: StoredEntry, entry: Entry, event: StoredEvent) -> Iterator[Finding]:
    wanted = {
        "occurred_at": entry.at,
        "recorded_at": entry.rec,
        "action": entry.action,
        "category": entry.category,
        "severity": entry.severity,
        "outcome": entry.outcome,
    }
    for column, value in wanted.items():
        got = getattr(event, column)
        if got != value:
            yield _finding("event.column", stored, f"{column}: the event says {got!r}, the entry says {value!r}")


def _diagnose_disclosures(
    stored: StoredEntry, entry: Entry, event: StoredEvent, licences: Licences
) -> Iterator[Finding]:
    try:
        opened = split_with_values(event.disclosures) if event.disclosures else {}
    except MalformedError as exc:
        yield _finding("disclosure.malformed", stored, str(exc))
        return
    for name in sorted(entry.sd.keys() - opened.keys()):
        if licences.is_erased(stored.seq, name):
            continue
        yield _finding("disclosure.missing", stored, f"{name}: the entry has its digest and nothing opens it")
    for name in sorted(opened.keys() - entry.sd.keys()):
        yield _finding("disclosure.unexpected", stored, f"{name}: the entry has no digest of it")
    for name in sorted(opened.keys() & entry.sd.keys()):
        if digest_of_json(opened[name][0]) != entry.sd[name]:
            yield _finding("disclosure.mismatch", stored, f"{name}: the value is not the one that was recorded")
    yield from _diagnose_copies(stored, event, {name: value for name, (_text, value) in opened.items()})


def _diagnose_copies(stored: StoredEntry, event: StoredEvent, opened: dict[str, object]) -> Iterator[Finding]:
    """The columns copied for searching, against the disclosed values they were copied from."""
    targets = opened.get("targets")
    sources = {"actor": opened.get("actor"), "target": targets[0] if isinstance(targets, list) and targets else None}
    for role, source in sources.items():
        for part in ("type", "id"):
            wanted = source.get(part) if isinstance(source, dict) else None
            got = getattr(event, f"{role}_{part}")
            if got != wanted:
                yield _finding(
                    "event.column", stored, f"{role}_{part}: the column says {got!r}, the event discloses {wanted!r}"
                )


def _finding(code: str, stored: StoredEntry, message: str) -> Finding:
    return Finding(code=code, message=message, seq=stored.seq, event_id=uuid_of(stored.event_id))
