"""What verification finds, and the verdict that follows: the worst of all findings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from auditkit_django.ledger.verdicts import EXIT_CODES, Verdict

#: Code of a finding to what it means. Every code but those in ``GAPS`` makes a log INVALID.
FINDINGS: Final[Mapping[str, str]] = {
    "log.missing": "entries or events exist and the log's row is gone",
    "log.head": "the log's row does not name the last entry: size, head hash or head time differ",
    "log.start": "the log begins after its first entry, and no purge in it says that it may",
    "entry.missing": "there is no entry at this seq",
    "entry.beyond_head": "there is an entry at or beyond the size that the log's row names",
    "entry.outside": "there is an entry at a seq or in an epoch that no log has",
    "entry.malformed": "the entry's bytes are not an entry",
    "entry.origin": "the entry names another log",
    "entry.seq": "the entry names another seq than the one it is stored at",
    "entry.prev": "the entry does not link to the leaf hash of the one before",
    "entry.leaf_hash": "the stored leaf hash is not the hash of the stored bytes",
    "entry.time": "the entry was appended before the one in front of it",
    "entry.event_id": "the entry names another event than the one it is stored for",
    "entry.genesis": "the first entry does not open the log",
    "event.missing": "the event of this entry is gone",
    "event.column": "a column of the event is not what the entry says",
    "event.unlogged": "the event is neither in the log nor waiting for it",
    "disclosure.missing": "the entry has a digest that no disclosure opens",
    "disclosure.unexpected": "the event discloses a field that the entry has no digest of",
    "disclosure.mismatch": "the disclosed value is not the one that was recorded",
    "disclosure.malformed": "the disclosures cannot be read",
    "quarantine.mismatch": "a quarantined event is not the one that was put there",
    "epoch.predecessor": "the log does not follow from the one before it, which a recovery closed",
    "checkpoint.malformed": "a stored checkpoint is not a signed note of a checkpoint",
    "checkpoint.signature": "a stored checkpoint is not signed by the log's key, or is another log's",
    "checkpoint.column": "a checkpoint's columns are not what its note and the entries say",
    "checkpoint.root": "the entries have another root than the one that was signed",
    "checkpoint.beyond": "a checkpoint was signed for more entries than the log has",
    "key.generation": "what the log, its keys and the guard say of which key signs does not agree",
    "key.superseded": "a checkpoint is signed by a key that was not in force any more, or not yet",
    "key.unconfirmed": "the first checkpoint over a rotation is not signed by the key that gave way",
    "tile.hash": "a tile is not the node of the tree that it stands for",
    "since.signature": "the note that was given is not signed by the log's key, or is another log's",
    "since.root": "the log does not begin with what was signed before: history was rewritten",
    "since.beyond": "more entries were signed before than the log has: it was cut off, or restored from a backup",
    "guard.unreadable": "what the guard remembers of the last seal cannot be read",
    "pending.logged": "an event waits to be appended that already has an entry",
    "pending.orphan": "a pointer waits for an event that does not exist",
}

#: Findings that leave a proof whole and say what it does not reach.
GAPS: Final[Mapping[str, str]] = {
    "check.partial": "only the newest entries were checked",
    "check.erased": "values were erased, as the log itself says",
    "check.pruned": "events or entries were pruned, as the log itself says",
    "check.before_start": "what was kept elsewhere is older than the start of the pruned log: it cannot be compared",
    "check.unsigned": "there is no key to check the signatures of the checkpoints with",
    "check.unsealed": "there is a key and the log has no checkpoint",
    "check.revoked": "the key was revoked, and the next one has signed no checkpoint yet",
    "check.lost": "entries that were signed are lost, and a recovery says so",
    "check.epochs": "the tenant has older logs, closed in a recovery, which were not checked",
    "check.unguarded": "the guard knows nothing of the log: checkpoints that were dropped are not missed",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be. ``seq`` and ``event_id`` say where, as far as known."""

    code: str
    message: str
    seq: int | None = None
    event_id: UUID | None = None

    def as_json(self) -> dict[str, object]:
        """The finding for reports."""
        event_id = str(self.event_id) if self.event_id is not None else None
        return {"code": self.code, "seq": self.seq, "event_id": event_id, "message": self.message}


def uuid_of(text: str) -> UUID | None:
    """The UUID that ``text`` names; None where somebody left something else in its place."""
    try:
        return UUID(text)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """
    The outcome of one verification. ``size`` is the log's, ``checked`` the number of entries looked at, ``sealed`` how many of
    them the newest checkpoint is for.

    ``findings`` holds at most ``MAX_FINDINGS``, lowest seq first; ``omitted`` counts what was found beyond them.
    """

    tenant: str
    origin: str
    epoch: int
    verdict: Verdict
    size: int
    checked: int
    sealed: int
    first_seq: int | None
    last_seq: int | None
    pending: int
    findings: tuple[Finding, ...]
    gaps: tuple[Finding, ...]
    omitted: int
    started_at: datetime
    finished_at: datetime

    @property
    def is_valid(self) -> bool:
        """No finding: everything checked is as it was appended (gaps are named in ``gaps``)."""
        return self.verdict in ("VALID", "VALID_WITH_GAPS")

    @property
    def exit_code(self) -> int:
        """0 VALID, 1 VALID_WITH_GAPS, 2 INVALID, 3 INCOMPLETE."""
        return EXIT_CODES[self.verdict]

    def as_json(self) -> dict[str, object]:
        """The report for machines."""
        return {
            "tenant": self.tenant,
            "origin": self.origin,
            "epoch": self.epoch,
            "verdict": self.verdict,
            "size": self.size,
            "checked": self.checked,
            "sealed": self.sealed,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "pending": self.pending,
            "findings": [finding.as_json() for finding in self.findings],
            "gaps": [gap.as_json() for gap in self.gaps],
            "omitted": self.omitted,
            "started_at": self.started_at.isoformat(),
            "finished_at": self.finished_at.isoformat(),
        }
