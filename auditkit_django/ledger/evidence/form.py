"""
The documents of an evidence file: what it is said to be, its proof, and what ends it.

Each is one JSON object; ``as_json`` gives its members and ``parse_…`` takes just those.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

from auditkit_django.ledger import base64, strict_json
from auditkit_django.ledger.disclosure import encode_value
from auditkit_django.ledger.entry import FIELDS, parse_time
from auditkit_django.ledger.errors import MalformedError, excerpt
from auditkit_django.ledger.merkle import HASH_BYTES
from auditkit_django.ledger.range_proof import ProvenRange, format_range, parse_range
from auditkit_django.ledger.trust import Rotation

VERSION: Final = "auditkit-django/evidence/1"
FORMATS: Final = ("bundle", "csv", "json", "jsonl")
#: Of any line that is read: an event of the greatest size, three times over, and room.
MAX_LINE: Final = 1024 * 1024
#: No compact range has more nodes.
MAX_SKIPPED: Final = 2 * 63

#: Action to month (``2026-01``) to number of events.
Counts = Mapping[str, Mapping[str, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """
    What a file is said to be, before its events. ``time_from`` is included and ``time_to`` is not (texts of
    ``entry.format_time``, of when entries were appended), None where the window is open. ``withheld`` are names of fields,
    ``filter`` words, ``signed_by`` ``<name>+<key id>``; ``cells`` the rule for cells, of csv alone; ``actions`` the names
    of which it counts even that there were none.
    """

    format: str
    origin: str
    epoch: int
    start: int
    end: int
    size: int
    time_from: str | None
    time_to: str | None
    withheld: tuple[str, ...]
    filter: Mapping[str, str]
    tenant: str
    exported_at: str
    exported_by: str
    export_event: str
    software: str
    signed_by: tuple[str, ...]
    cells: str | None
    actions: tuple[str, ...]

    def as_json(self) -> dict[str, object]:
        """The members of the document."""
        return {"v": VERSION, **asdict(self)}

    def is_in_window(self, time: str) -> bool:
        """Whether an entry that was appended at ``time`` is one that the file is about."""
        return (self.time_from is None or self.time_from <= time) and (self.time_to is None or time < self.time_to)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """
    The range proof with its checkpoint; the consistency proofs, by the size they lead from; and the path of keys.
    """

    range: ProvenRange
    consistency: Mapping[int, tuple[bytes, ...]] = field(default_factory=dict)
    rotations: tuple[Rotation, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The members of the document."""
        return {
            "range": format_range(self.range),
            "consistency": {str(size): encode_hashes(hashes) for size, hashes in self.consistency.items()},
            "rotations": [rotation_as_json(one) for one in self.rotations],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """An erasure or a purge: its entry, the disclosures of its metadata (one or none), its tlog-proof."""

    d: tuple[str, ...]
    entry: str
    proof: str

    def as_json(self) -> dict[str, object]:
        """The members of the document."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """How many events, entries and values; see the table in docs/evidence.md."""

    events: int
    left_out: int
    disclosed: int
    withheld: int
    erased: int
    purged: int
    counts: Counts

    def as_json(self) -> dict[str, object]:
        """The members of the document."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """What comes last: the digest of the documents before the events, the hashes after the last event, the totals."""

    head: str
    skipped: tuple[bytes, ...]
    totals: Totals

    def as_json(self) -> dict[str, object]:
        """The members of the document."""
        return {"head": self.head, "skipped": encode_hashes(self.skipped), "totals": self.totals.as_json()}


def line(name: str, document: Mapping[str, object]) -> str:
    """A document as its line in jsonl, without the line feed."""
    return encode_value({name: document})


def strict_object(data: str | bytes, names: Sequence[str]) -> dict[str, Any]:
    """
    The JSON object in ``data``, with just the members ``names``.

    Raises:
        MalformedError: It is none, or has others.
    """
    value = strict_json.decode(decoded(data))
    return members(value, names)


def members(value: object, names: Sequence[str]) -> dict[str, Any]:
    """
    ``value``, which is an object with just the members ``names``.

    Raises:
        MalformedError: It is none, or has others.
    """
    if not isinstance(value, dict) or value.keys() != set(names):
        raise MalformedError(f"JSON: got {excerpt(value)}, wanted an object of {', '.join(sorted(names))}")
    return value


def decoded(data: str | bytes) -> str:
    """
    The text of UTF-8 bytes.

    Raises:
        MalformedError: They are none.
    """
    try:
        return data if isinstance(data, str) else data.decode()
    except UnicodeDecodeError as exc:
        raise MalformedError(f"text: got the byte {exc.object[exc.start]:#x}, wanted UTF-8") from exc


def parse_manifest(value: object) -> Manifest:
    """
    The manifest that the JSON ``value`` is.

    Raises:
        MalformedError: Not that form: a member more, less, or of another kind.
    """
    found = members(value, ("v", *_MANIFEST))
    if found.pop("v") != VERSION:
        raise MalformedError(f"manifest: got another version than {VERSION}")
    _check_kinds("manifest", found, _MANIFEST)
    manifest = Manifest(**found | {name: tuple(found[name]) for name in ("withheld", "signed_by", "actions")})
    is_ordered = 0 <= manifest.start <= manifest.end <= manifest.size
    is_sorted = all(list(one) == sorted(set(one)) for one in (manifest.withheld, manifest.actions))
    for text in (manifest.time_from, manifest.time_to, manifest.exported_at):
        if text is not None:
            parse_time(text)
    is_ordered = is_ordered and 0 <= manifest.epoch < 2**53 and (manifest.time_from or "") <= (manifest.time_to or "~")
    is_sorted = is_sorted and (manifest.cells is not None) == (manifest.format == "csv")
    is_known = manifest.format in FORMATS and set(manifest.withheld) <= set(FIELDS)
    if not is_ordered or not is_known or not is_sorted:
        raise MalformedError(
            "manifest: got a format, epoch, places, window, withheld fields, cells or actions that no evidence has"
        )
    return manifest


def parse_proof(value: object) -> Proof:
    """
    The proof that the JSON ``value`` is; nothing in it is verified.

    Raises:
        MalformedError: Not that form.
    """
    found = members(value, ("range", "consistency", "rotations"))
    _check_kinds("proof", found, {"range": _is_text, "consistency": _maps(_is_texts), "rotations": _is_list})
    return Proof(
        range=parse_range(found["range"]),
        consistency={parse_size(size): decode_hashes(hashes) for size, hashes in found["consistency"].items()},
        rotations=tuple(parse_rotation(one) for one in found["rotations"]),
    )


def parse_size(text: str) -> int:
    """
    The number of entries that ``text`` is in decimal.

    Raises:
        MalformedError: It is none.
    """
    if not text.isascii() or not text.isdigit() or len(text) > 19 or str(int(text)) != text:
        raise MalformedError(f"size: got {excerpt(text)}, wanted a number of entries")
    return int(text)


def parse_rotation(value: object) -> Rotation:
    """
    The rotation that the JSON ``value`` is; nothing in it is verified.

    Raises:
        MalformedError: Not that form.
    """
    found = members(value, ("entry", "metadata", "proof"))
    _check_kinds("rotation", found, dict.fromkeys(found, _is_text))
    return Rotation(entry=found["entry"].encode(), metadata=found["metadata"], proof=found["proof"])


def rotation_as_json(rotation: Rotation) -> dict[str, object]:
    """The members of the document."""
    return {"entry": rotation.entry.decode("ascii"), "metadata": rotation.metadata, "proof": rotation.proof}


def parse_control(value: object) -> Control:
    """
    The control document that the JSON ``value`` is; nothing in it is verified.

    Raises:
        MalformedError: Not that form.
    """
    found = members(value, ("d", "entry", "proof"))
    _check_kinds("control", found, {"d": _is_texts, "entry": _is_text, "proof": _is_text})
    return Control(d=tuple(found["d"]), entry=found["entry"], proof=found["proof"])


def parse_totals(value: object) -> Totals:
    """
    The totals that the JSON ``value`` is.

    Raises:
        MalformedError: Not that form.
    """
    found = members(value, tuple(_TOTALS))
    _check_kinds("totals", found, _TOTALS)
    return Totals(**found)


def parse_end(value: object) -> End:
    """
    The last document, that the JSON ``value`` is.

    Raises:
        MalformedError: Not that form.
    """
    found = members(value, ("head", "skipped", "totals"))
    _check_kinds("end", found, {"head": _is_text, "skipped": _is_texts, "totals": lambda _value: True})
    return End(head=found["head"], skipped=decode_hashes(found["skipped"]), totals=parse_totals(found["totals"]))


def encode_hashes(hashes: Sequence[bytes]) -> list[str]:
    """Base64 of each."""
    return [b64encode(one).decode() for one in hashes]


def decode_hashes(texts: Sequence[str]) -> tuple[bytes, ...]:
    """
    The hashes that base64 ``texts`` are.

    Raises:
        MalformedError: One is none, or they are more than any compact range has.
    """
    if len(texts) > MAX_SKIPPED:
        raise MalformedError(f"hashes: got {len(texts)}, wanted at most {MAX_SKIPPED}")
    return tuple(base64.decode(text, "hash", length=HASH_BYTES) for text in texts)


def _is_int(value: object) -> bool:
    return type(value) is int


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_list(value: object) -> bool:
    return isinstance(value, list)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_Kind = Callable[[object], bool]


def _maps(is_kind: _Kind) -> _Kind:
    return lambda value: isinstance(value, dict) and all(map(is_kind, value.values()))


def _check_kinds(what: str, found: Mapping[str, object], kinds: Mapping[str, _Kind]) -> None:
    for name, is_kind in kinds.items():
        if not is_kind(found[name]):
            raise MalformedError(f"{what}: {name}: got {excerpt(found[name])}")


_KINDS: Final[Mapping[str, _Kind]] = {
    "str": _is_text,
    "int": _is_int,
    "str | None": _is_text_or_none,
    "tuple[str, ...]": _is_texts,
    "Mapping[str, str]": _maps(_is_text),
    "Counts": _maps(_maps(_is_int)),
}
#: The types of the members, by name, are those of the classes.
_MANIFEST: Final = {one.name: _KINDS[str(one.type)] for one in fields(Manifest)}
_TOTALS: Final = {one.name: _KINDS[str(one.type)] for one in fields(Totals)}
