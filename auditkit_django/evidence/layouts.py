"""Evidence as jsonl, json and csv: the documents one after the other, in blocks of bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from auditkit_django.evidence.walk import Walk
from auditkit_django.ledger.disclosure import encode_value
from auditkit_django.ledger.evidence.form import Control, End, Manifest, Proof, line
from auditkit_django.ledger.evidence.rows import (
    EVIDENCE_COLUMNS,
    cells_line,
    csv_line,
    document_line,
    json_line,
)

_BLOCK: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an evidence file holds."""

    manifest: Manifest
    proof: Proof
    controls: Sequence[Control]
    walk: Walk
    #: Raises where what was read does not belong together; called before the file gets its end.
    finish: Callable[[], object]

    def head(self) -> list[str]:
        """The documents before the events, as lines."""
        controls = (line("control", one.as_json()) for one in self.controls)
        return [line("manifest", self.manifest.as_json()), line("proof", self.proof.as_json()), *controls]

    def end(self, head: Sequence[str]) -> End:
        """The last document; the walk is over."""
        self.finish()
        digest = sha256()
        for one in head:
            digest.update(one.encode() + b"\n")
        return End(head=digest.hexdigest(), skipped=self.walk.trailing, totals=self.walk.totals())


def jsonl(content: Content) -> Iterator[str]:
    """Pieces of text: a document to a line."""
    head = content.head()
    yield from (one + "\n" for one in head)
    for shown in content.walk.shown():
        yield json_line(*shown[:6]) + "\n"
    yield line("end", content.end(head).as_json()) + "\n"


def json(content: Content) -> Iterator[str]:
    """Pieces of text: one object, laid out in lines."""
    head = content.head()
    manifest, proof = head[:2]
    yield f'{manifest[:-1]},\n{proof[1:-1]},\n"control":['
    yield from _listed(encode_value(one.as_json()) for one in content.controls)
    yield ',\n"events":['
    yield from _listed(json_line(*shown[:6]) for shown in content.walk.shown())
    yield ",\n" + line("end", content.end(head).as_json())[1:] + "\n"


def csv(content: Content) -> Iterator[str]:
    """Pieces of text: the events, and then the other documents."""
    yield cells_line(EVIDENCE_COLUMNS)
    for shown in content.walk.shown():
        yield csv_line(*shown[:6])
    head = content.head()
    yield from (document_line(one) for one in (*head, line("end", content.end(head).as_json())))


LAYOUTS: Final[dict[str, Callable[[Content], Iterator[str]]]] = {"csv": csv, "json": json, "jsonl": jsonl}


def blocks(pieces: Iterable[str]) -> Iterator[bytes]:
    """UTF-8 of the pieces, some hundred at a time."""
    held: list[str] = []
    for piece in pieces:
        held.append(piece)
        if len(held) >= _BLOCK:
            yield "".join(held).encode()
            held.clear()
    if held:
        yield "".join(held).encode()


def _listed(items: Iterable[str]) -> Iterator[str]:
    before = "\n"
    for item in items:
        yield before + item
        before = ",\n"
    yield "\n]"
