"""
Evidence as a bundle (``ledger.evidence.bundle``): a zip, written from its beginning to its end.

Its entries and its disclosures are files of their own, and a zip is written one file after the other: so the log is read twice,
and no value waits on a disk meanwhile.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any, Final, cast

from auditkit_django.evidence.layouts import Content, blocks
from auditkit_django.evidence.walk import Walk
from auditkit_django.ledger import standalone
from auditkit_django.ledger.disclosure import encode_value
from auditkit_django.ledger.evidence import bundle as form
from auditkit_django.ledger.evidence.form import encode_hashes, rotation_as_json
from auditkit_django.ledger.range_proof import format_range

_INSTRUCTIONS: Final = """# How to verify this bundle

With Python, and nothing else installed:

    python -I verify.py BUNDLE.zip --key "VERIFIER KEY"

Take verify.py from somewhere else than this bundle: the package `auditkit-verify`, or an earlier copy. A verifier that comes
along with what it is to verify may be made to fit it. With the package `auditkit-django` (Django is not needed) it is

    python -I -m auditkit_django.ledger verify BUNDLE.zip --key "VERIFIER KEY"

The verifier key is one line that the operator of the log gave you earlier, by another way than this bundle. A key that comes
along with what it is to prove proves nothing. A signed note that you kept of this log is given as `--since FILE`.

The verdict is VALID, VALID_WITH_GAPS (what was not shown, or cannot be checked, is listed), INVALID or INCOMPLETE.

It proves: these events are those of the log between the first and the last place named in manifest.json, unchanged since they
were sealed, and each value shown is the one that was recorded. It does not prove that every act was recorded, that a clock was
right, or that an act was allowed. report.html is for reading: nothing in it is proven by itself.
"""


def bundle(
    content: Content, again: Walk, readable: Callable[[Mapping[str, str]], Iterable[tuple[str, bytes]]]
) -> Iterator[bytes]:
    """
    Blocks of the zip. ``again`` is a second walk over the same entries, of which the totals are; ``readable`` makes the files for
    people when it is over, from the digests of those that were written.
    """
    sink = _Sink()
    digests: dict[str, str] = {}
    with zipfile.ZipFile(cast("IO[bytes]", sink), "w", zipfile.ZIP_DEFLATED) as archive:
        for name, pieces in _files(content, again):
            yield from _member(archive, sink, digests, name, blocks(pieces))
        for name, data in readable(dict(digests)):
            yield from _member(archive, sink, digests, name, (data,))
        content.finish()
        totals = again.totals()
        value = {"files": digests, "manifest": content.manifest.as_json(), "totals": totals.as_json()}
        text = json.dumps(value, sort_keys=True, ensure_ascii=False, indent=1) + "\n"
        yield from _member(archive, sink, digests, form.MANIFEST, (text.encode(),))
    yield from sink.drained()


def _files(content: Content, again: Walk) -> Iterator[tuple[str, Iterable[str]]]:
    """The files that hold the evidence, in their order."""
    yield form.ENTRIES, _entries(content.walk)
    yield form.DISCLOSURES, _disclosures(again)
    yield form.CONTROL, (encode_value(one.as_json()) + "\n" for one in content.controls)
    proof = content.proof
    yield form.RANGE, (format_range(proof.range),)
    yield form.NOTE, (proof.range.note,)
    for size, hashes in proof.consistency.items():
        yield form.consistency_name(size), (one + "\n" for one in encode_hashes(hashes))
    if proof.rotations:
        yield form.ROTATIONS, (encode_value(rotation_as_json(one)) + "\n" for one in proof.rotations)
    yield form.INSTRUCTIONS, (_INSTRUCTIONS,)
    yield form.VERIFIER, (standalone.text(),)


def _entries(walk: Walk) -> Iterator[str]:
    for shown in walk.shown():
        if shown.skipped:
            yield form.skipped_line(encode_hashes(shown.skipped)) + "\n"
        yield shown.text + "\n"
    if walk.trailing:
        yield form.skipped_line(encode_hashes(walk.trailing)) + "\n"


def _disclosures(walk: Walk) -> Iterator[str]:
    for shown in walk.shown():
        if shown.disclosures:
            yield form.disclosed_line(shown.disclosures, shown.entry.seq) + "\n"


def _member(
    archive: zipfile.ZipFile, sink: _Sink, digests: dict[str, str], name: str, content: Iterable[bytes]
) -> Iterator[bytes]:
    """Write a file block by block, and keep its digest."""
    digest = hashlib.sha256()
    # A fixed time: what a bundle holds decides its bytes.
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(info, "w", force_zip64=True) as file:
        for block in content:
            digest.update(block)
            file.write(block)
            yield from sink.drained()
    digests[name] = digest.hexdigest()


class _Sink(io.RawIOBase):
    """A file for ``zipfile`` that gives back what is written."""

    def __init__(self) -> None:
        self._blocks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._blocks.append(bytes(data))
        return len(data)

    def drained(self) -> Iterator[bytes]:
        """What was written since, once."""
        blocks, self._blocks = self._blocks, []
        yield from blocks
