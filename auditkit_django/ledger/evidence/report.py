"""What the verification of evidence finds, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from auditkit_django.ledger.checkpoint import Checkpoint
from auditkit_django.ledger.evidence.form import Manifest, Totals
from auditkit_django.ledger.verdicts import EXIT_CODES, Verdict

#: Code to meaning. Every code makes evidence INVALID but those in ``GAPS`` and ``CUT``.
FINDINGS: Final[Mapping[str, str]] = {
    "file.cut": "the file was cut off, cannot be read, or is a listing without proof",
    "file.malformed": "the file is not evidence of the form that it has to have",
    "file.digest": "a part of the file is not the one that the file names",
    "manifest.claim": "the manifest or the totals say of the log what it does not say",
    "note.signature": "the checkpoint is not signed by a key that was given, or is another log's",
    "rotation.proof": "a rotation of keys is not proven",
    "entry.malformed": "the bytes of an entry are not an entry",
    "entry.origin": "an entry names another log",
    "entry.seq": "an entry stands at another place than it names",
    "entry.prev": "an entry does not link to the one before",
    "entry.time": "an entry is older than the one before",
    "range.root": "the entries are not those that were signed, or not all of them",
    "window.edge": "the entries do not reach the edge of the window, or one outside of it is disclosed",
    "event.text": "what is shown of an event is not what its entry and disclosures say",
    "disclosure.malformed": "a disclosure cannot be read",
    "disclosure.mismatch": "a disclosure opens no digest of its entry",
    "disclosure.missing": "a field is neither disclosed nor erased nor said to be withheld",
    "control.proof": "an erasure or a purge is not proven to be in the log",
    "since.signature": "a note that was given is not signed by a key that was given, or is another log's",
    "since.root": "the log does not extend a note that was given: history was rewritten",
    "since.beyond": "a note that was given is of more entries than the checkpoint of the file",
}
#: Nothing was shown: the verdict is INCOMPLETE, where nothing is worse.
CUT: Final = frozenset({"file.cut"})

#: What verification does, in order, and the codes of what it finds there.
STEPS: Final[tuple[tuple[str, frozenset[str]], ...]] = tuple(
    (text, frozenset(codes.split()))
    for text, codes in (
        ("The file has the form of evidence, and its end is there", "file.cut file.malformed"),
        ("The checkpoint is signed by a key that was given", "note.signature rotation.proof"),
        ("What the log says was erased or pruned is proven", "control.proof"),
        (
            "Each entry names its log and place, and links to the one before",
            "entry.malformed entry.origin entry.seq entry.prev entry.time",
        ),
        (
            "Each value shown is the one that was recorded, and none is missing unsaid",
            "event.text disclosure.malformed disclosure.mismatch disclosure.missing",
        ),
        ("The entries are those that were signed, and all of them", "range.root"),
        ("Window, totals and digests are what the file says", "window.edge manifest.claim file.digest"),
        ("The log extends each note that was given", "since.signature since.root since.beyond"),
    )
)

#: What was not checked, or cannot be: the verdict is VALID_WITH_GAPS.
GAPS: Final[Mapping[str, str]] = {
    "check.erased": "values were erased, as the log itself says",
    "check.left_out": "entries are left out by the filter, and proven to exist",
    "check.pruned": "events or entries were pruned, as the log itself says",
    "check.since": "a note that was given cannot be compared: the file has no proof from it",
    "check.withheld": "values are withheld, and proven to exist",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """One finding or gap."""

    code: str
    message: str
    seq: int | None = None

    def as_json(self) -> dict[str, object]:
        """For machines."""
        return {"code": self.code, "message": self.message, "seq": self.seq}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceReport:
    """The outcome. ``manifest``, ``checkpoint`` and ``totals`` are None where verification did not get that far."""

    manifest: Manifest | None
    checkpoint: Checkpoint | None
    totals: Totals | None
    findings: tuple[Found, ...]
    gaps: tuple[Found, ...]

    @property
    def verdict(self) -> Verdict:
        """That of the worst finding."""
        if self.findings:
            return "INCOMPLETE" if all(one.code in CUT for one in self.findings) else "INVALID"
        return "VALID_WITH_GAPS" if self.gaps else "VALID"

    def steps(self) -> list[tuple[str, str]]:
        """Each step and how it ended: ``ok``, ``failed`` or ``not reached``."""
        codes, found = {one.code for one in self.findings}, []
        is_over = False
        for text, of_step in STEPS:
            state = "failed" if codes & of_step else "not reached" if is_over else "ok"
            found.append((text, state))
            # Without totals the walk did not come to its end: nothing after the failure was looked at.
            is_over = is_over or (state == "failed" and self.totals is None)
        return found

    @property
    def exit_code(self) -> int:
        """0 VALID, 1 VALID_WITH_GAPS, 2 INVALID, 3 INCOMPLETE."""
        return EXIT_CODES[self.verdict]

    def as_json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "verdict": self.verdict,
            "origin": self.checkpoint.origin if self.checkpoint is not None else None,
            "size": self.checkpoint.size if self.checkpoint is not None else None,
            "manifest": self.manifest.as_json() if self.manifest is not None else None,
            "totals": self.totals.as_json() if self.totals is not None else None,
            "steps": [{"step": text, "state": state} for text, state in self.steps()],
            "findings": [one.as_json() for one in self.findings],
            "gaps": [one.as_json() for one in self.gaps],
        }
