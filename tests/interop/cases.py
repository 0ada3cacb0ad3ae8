"""
What the tools are asked: checkpoints, inclusion and consistency proofs of real logs, and each of them with one bit changed.

``python -m tests.interop.cases`` prints those of every log in the database that the Django settings name.
"""

from __future__ import annotations

import json
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

from auditkit_django.ledger.checkpoint import open_checkpoint
from auditkit_django.ledger.entry import leaf_hash
from auditkit_django.ledger.errors import AuditkitError
from auditkit_django.ledger.note import parse_vkey
from auditkit_django.ledger.proofs import verify_consistency, verify_inclusion


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """
    One question. ``kind`` is ``checkpoint``, ``inclusion``, ``consistency`` (from ``old``) or ``tiles`` (of the entries from
    ``first`` on).
    """

    kind: str
    vkey: str
    origin: str
    note: bytes = b""
    old: tuple[bytes, ...] = ()
    index: int = 0
    entry: bytes = b""
    proof: tuple[bytes, ...] = ()
    directory: str = ""
    first: int = 0

    def as_json(self) -> dict[str, Any]:
        """The members, bytes as base64."""
        return {name: _encoded(value) for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Case:
        """The case that :meth:`as_json` gave."""
        binary = {name: b64decode(value[name]) for name in ("note", "entry")}
        lists = {name: tuple(b64decode(one) for one in value[name]) for name in ("old", "proof")}
        return cls(**(value | binary | lists))

    def is_accepted_here(self) -> bool:
        """What our own verifier says."""
        keys = [parse_vkey(self.vkey)]
        try:
            new = open_checkpoint(self.note, keys, origin=self.origin)[0]
            if self.kind == "inclusion":
                verify_inclusion(leaf_hash(self.entry), self.index, new.size, self.proof, new.root)
            elif self.kind == "consistency":
                old = open_checkpoint(self.old[0], keys, origin=self.origin)[0]
                verify_consistency(old.size, new.size, self.proof, old.root, new.root)
        except AuditkitError:
            return False
        return True


def cases_of(tenant: str, *, every: int = 1) -> list[Case]:
    """
    Every checkpoint of the tenant's log, every ``every``-th entry under the newest and all beside a power of two, and a
    consistency proof for each pair of checkpoints.
    """
    from auditkit_django.ledger.note import format_vkey
    from auditkit_django.ledger.tlog_proof import parse_proof
    from auditkit_django.log import keys, prove
    from auditkit_django.models import Checkpoint, Entry, Log

    log = Log.objects.get(tenant=tenant)
    signer = keys.signer()
    assert signer is not None
    common: dict[str, Any] = {"vkey": format_vkey(signer.verifier_key(log.origin, 0)), "origin": log.origin}
    rows = list(Checkpoint.objects.filter(tenant=tenant).order_by("size"))
    newest = rows[-1]
    found = [Case(kind="checkpoint", note=row.note.encode(), **common) for row in rows]
    for seq, body in (
        Entry.objects.filter(tenant=tenant, seq__lt=newest.size).order_by("seq").values_list("seq", "body")
    ):
        if seq % every == 0 or seq & (seq - 1) == 0 or seq == newest.size - 1:
            proof = parse_proof(prove.inclusion(newest, seq))
            found.append(
                Case(
                    kind="inclusion",
                    note=proof.note.encode(),
                    index=seq,
                    entry=bytes(body),
                    proof=proof.hashes,
                    **common,
                )
            )
    for old, new in ((old, new) for new in rows for old in rows if old.size <= new.size):
        hashes = prove.consistency(old.size, new)
        found.append(Case(kind="consistency", note=new.note.encode(), old=(old.note.encode(),), proof=hashes, **common))
    return found


def spoiled(case: Case) -> Iterator[Case]:
    """
    ``case`` with one thing wrong: every byte of notes, entry and hashes with a bit changed, each hash dropped, doubled or
    swapped with the next.
    """
    for data in _flipped(case.note):
        yield replace(case, note=data)
    for at, note in enumerate(case.old):
        for data in _flipped(note):
            yield replace(case, old=(*case.old[:at], data, *case.old[at + 1 :]))
    for data in _flipped(case.entry):
        yield replace(case, entry=data)
    hashes = case.proof
    for at, node in enumerate(hashes):
        for data in _flipped(node):
            yield replace(case, proof=(*hashes[:at], data, *hashes[at + 1 :]))
        yield replace(case, proof=hashes[:at] + hashes[at + 1 :])
        yield replace(case, proof=(*hashes[:at], node, *hashes[at:]))
    for at, (one, two) in enumerate(pairwise(hashes)):
        yield replace(case, proof=(*hashes[:at], two, one, *hashes[at + 2 :]))
    if case.kind == "inclusion":
        yield replace(case, index=case.index ^ 1)


def is_the_same_to_a_lenient_reader(case: Case, changed: Case) -> bool:
    """Whether only unused bits at the end of a signature's base64 differ, which Go's decoder passes over."""
    pairs = zip((case.note, *case.old), (changed.note, *changed.old), strict=True)
    rest = replace(changed, note=case.note, old=case.old)
    return rest == case and all(_leniently(one) == _leniently(two) for one, two in pairs)


def _leniently(note: bytes) -> tuple[bytes, bytes]:
    text, _, encoded = note.rpartition(b" ")
    try:
        return text, b64decode(encoded.removesuffix(b"\n"), validate=True)
    except ValueError:
        return text, encoded


def _flipped(data: bytes) -> Iterator[bytes]:
    for at in range(len(data)):
        yield data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :]


def _encoded(value: object) -> object:
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return [_encoded(one) for one in value] if isinstance(value, tuple) else value


def dumped(cases: Iterable[Case]) -> str:
    """The cases as the tools of this folder read them."""
    return json.dumps({"cases": [case.as_json() for case in cases]})


def loaded(text: str) -> Sequence[Case]:
    """The cases that :func:`dumped` wrote."""
    return [Case.from_json(value) for value in json.loads(text)["cases"]]


def _print_all() -> None:
    import django

    django.setup()
    from auditkit_django import auditlog
    from auditkit_django.log.seal import seal
    from auditkit_django.log.tenants import known_tenants
    from auditkit_django.testing import append_now

    found = []
    for tenant in list(known_tenants()):
        # A later checkpoint, so that there is something to be consistent with.
        auditlog.event("org.updated", tenant=tenant)
        append_now()
        seal(tenant)
        found += cases_of(tenant)
    sys.stdout.write(dumped(found))


if __name__ == "__main__":
    _print_all()
