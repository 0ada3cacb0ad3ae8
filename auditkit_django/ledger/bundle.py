"""
Evidence bundles: a zip with the entries of a window, what they disclose, and the proof that these are all.

::

    manifest.json        what the bundle is said to be; SHA-256 of each other file
    entries.jsonl        the exact bytes of each entry, one per line
    disclosures.jsonl    {"d":[disclosure, ...],"seq":n} for each entry of which something is disclosed (RFC 9901)
    control.jsonl        the erasures and purges of the log, wherever they stand: {"d":[...],"entry":"...","proof":"..."}, the
                         proof a C2SP tlog-proof
    range.proof          the proof for the entries, with the signed checkpoint (``range_proof``)
    checkpoint.note      the same signed checkpoint, for other tools
    consistency/<n>.txt  for a checkpoint of n entries that somebody holds: the hashes that lead from it, base64, one per line

The manifest is not signed. What it says of the entries is checked against them; who exported, when and why is a claim, which
the log itself repeats in the event of the export. Keys come from outside, never from the bundle.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import IO, Any, Final

from auditkit_django.ledger import strict_json
from auditkit_django.ledger.entry import FIELDS
from auditkit_django.ledger.errors import MalformedError, excerpt

VERSION: Final = "auditkit-django/bundle/1"
MANIFEST: Final = "manifest.json"
ENTRIES: Final = "entries.jsonl"
DISCLOSURES: Final = "disclosures.jsonl"
CONTROL: Final = "control.jsonl"
RANGE: Final = "range.proof"
NOTE: Final = "checkpoint.note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """
    What a bundle is said to be. ``time_from`` is included and ``time_to`` is not (texts of ``entry.format_time``, of when entries
    were appended), None where the window is open. ``withheld`` are names of fields, ``filter`` words.
    """

    origin: str
    epoch: int
    start: int
    end: int
    size: int
    time_from: str | None
    time_to: str | None
    withheld: tuple[str, ...]
    filter: Mapping[str, str]
    disclosed: int
    counts: Mapping[str, int]
    tenant: str
    exported_at: str
    exported_by: str
    files: Mapping[str, str]

    def as_json(self) -> dict[str, object]:
        """The members of ``manifest.json``."""
        return {"v": VERSION, **asdict(self)}


def parse_manifest(data: bytes) -> Manifest:
    """
    The manifest in ``manifest.json``.

    Raises:
        MalformedError: Not that form: a member more, less, or of another kind.
    """
    value = strict_object(data, set(_KINDS) | {"v"})
    if value["v"] != VERSION:
        raise MalformedError(f"manifest: got the version {excerpt(value['v'])}, wanted {VERSION}")
    for name, is_kind in _KINDS.items():
        if not is_kind(value[name]):
            raise MalformedError(f"manifest: {name}: got {excerpt(value[name])}")
    withheld = tuple(value["withheld"])
    if not 0 <= value["start"] <= value["end"] <= value["size"] or not set(withheld) <= set(FIELDS):
        raise MalformedError("manifest: got start, end, size or withheld that no bundle has")
    members = {name: value[name] for name in _KINDS if name != "withheld"}
    return Manifest(withheld=withheld, **members)


def _is_int(value: object) -> bool:
    return type(value) is int


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _maps(is_kind: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, dict) and all(map(is_kind, value.values()))


_KINDS: Final[Mapping[str, Callable[[object], bool]]] = {
    "origin": _is_text,
    "epoch": _is_int,
    "start": _is_int,
    "end": _is_int,
    "size": _is_int,
    "time_from": _is_text_or_none,
    "time_to": _is_text_or_none,
    "withheld": _is_texts,
    "filter": _maps(_is_text),
    "disclosed": _is_int,
    "counts": _maps(_is_int),
    "tenant": _is_text,
    "exported_at": _is_text,
    "exported_by": _is_text,
    "files": _maps(_is_text),
}


def strict_object(data: bytes, names: set[str]) -> dict[str, Any]:
    """
    The JSON object in ``data``, with just the members ``names``.

    Raises:
        MalformedError: It is none, or has others.
    """
    try:
        value = strict_json.decode(data.decode())
    except UnicodeDecodeError as exc:
        raise MalformedError("JSON: got bytes that are not UTF-8") from exc
    if not isinstance(value, dict) or value.keys() != names:
        raise MalformedError(f"JSON: got {excerpt(value)}, wanted an object of {', '.join(sorted(names))}")
    return value


@contextmanager
def writing(file: IO[bytes]) -> Iterator[BundleWriter]:
    """A bundle that is written to ``file``, which need not be seekable; whole only where the block ends without an error."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        yield BundleWriter(archive=archive)


@dataclass(slots=True, kw_only=True)
class BundleWriter:
    """Writes the files of a bundle one after the other and keeps their digests; the manifest comes last."""

    archive: zipfile.ZipFile
    files: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def member(self, name: str) -> Iterator[Callable[[bytes], None]]:
        """A file that is written in pieces."""
        digest = hashlib.sha256()
        # A fixed time: what a bundle holds decides its bytes.
        info = zipfile.ZipInfo(name)
        info.compress_type = zipfile.ZIP_DEFLATED
        with self.archive.open(info, "w", force_zip64=True) as file:

            def write(data: bytes) -> None:
                digest.update(data)
                file.write(data)

            yield write
        self.files[name] = digest.hexdigest()

    def text(self, name: str, text: str) -> None:
        """A file at once."""
        with self.member(name) as write:
            write(text.encode())

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest, with the digests of all files before it."""
        value = manifest.as_json() | {"files": self.files}
        self.text(MANIFEST, json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n")
