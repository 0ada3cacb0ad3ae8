"""What the verification of an evidence bundle finds, and the verdict that follows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from auditkit_django.ledger.bundle import Manifest
from auditkit_django.ledger.checkpoint import Checkpoint
from auditkit_django.ledger.verdicts import EXIT_CODES, Verdict

#: Code to meaning. Every code makes a bundle INVALID but those in ``GAPS``.
FINDINGS: Final[Mapping[str, str]] = {
    "bundle.malformed": "the file is no evidence bundle, or was cut off",
    "bundle.digest": "a file of the bundle is not the one that the manifest names",
    "bundle.claim": "the manifest says of the entries what they do not say",
    "note.signature": "the checkpoint is not signed by a key that was given, or is another log's",
    "entry.malformed": "the bytes of an entry are not an entry",
    "entry.origin": "an entry names another log",
    "entry.seq": "an entry names another place",
    "entry.prev": "an entry does not link to the one before",
    "entry.time": "an entry is older than the one before",
    "range.root": "the entries are not those that were signed, or not all of them",
    "window.edge": "the entries do not reach the edge of the window",
    "disclosure.malformed": "a disclosure cannot be read",
    "disclosure.mismatch": "a disclosure opens no digest of its entry",
    "disclosure.missing": "a field is neither disclosed nor erased nor said to be withheld",
    "control.proof": "an erasure or a purge is not proven to be in the log",
    "since.signature": "a note that was given is not signed by a key that was given, or is another log's",
    "since.root": "the log does not extend a note that was given: history was rewritten",
    "since.beyond": "a note that was given is of more entries than the bundle's checkpoint",
}

#: What was not checked, or cannot be: the verdict is VALID_WITH_GAPS.
GAPS: Final[Mapping[str, str]] = {
    "check.erased": "values were erased, as the log itself says",
    "check.pruned": "events or entries were pruned, as the log itself says",
    "check.withheld": "values are withheld from this bundle, and proven to exist",
    "check.since": "a note that was given cannot be compared: the bundle has no proof from it",
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
class BundleReport:
    """The outcome. ``manifest`` and ``checkpoint`` are None where verification did not get that far."""

    verdict: Verdict
    manifest: Manifest | None
    checkpoint: Checkpoint | None
    findings: tuple[Found, ...]
    gaps: tuple[Found, ...]

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
            "start": self.manifest.start if self.manifest is not None else None,
            "end": self.manifest.end if self.manifest is not None else None,
            "findings": [one.as_json() for one in self.findings],
            "gaps": [one.as_json() for one in self.gaps],
        }
