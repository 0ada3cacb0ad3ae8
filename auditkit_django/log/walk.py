"""Where a verification stands, and what it found so far."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from auditkit_django.ledger.entry import ZERO_HASH
from auditkit_django.ledger.licences import Licences
from auditkit_django.log.findings import Finding

MAX_FINDINGS: Final = 1000


@dataclass(slots=True, kw_only=True)
class Walk:
    """
    Where a verification stands: ``seq`` is the next to check, ``prev`` the leaf hash before it (None: unknown).

    :meth:`as_json` and :meth:`from_json` carry it across an interruption.
    """

    seq: int = 0
    prev: bytes | None = ZERO_HASH
    time: str = ""
    checked: int = 0
    first_seq: int | None = None
    omitted: int = 0
    findings: list[Finding] = field(default_factory=list)
    licences: Licences = field(default_factory=Licences)
    may_ask_again: bool = True

    def add(self, finding: Finding) -> None:
        """Keep ``finding``; beyond ``MAX_FINDINGS`` it is only counted."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)
        else:
            self.omitted += 1

    def as_json(self) -> dict[str, Any]:
        """The place, without the findings: a run that found something is not resumed but done again."""
        prev = self.prev.hex() if self.prev is not None else None
        return {"seq": self.seq, "prev": prev, "time": self.time, "checked": self.checked, "first_seq": self.first_seq}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Walk:
        """The walk that :meth:`as_json` described."""
        prev = bytes.fromhex(value["prev"]) if value["prev"] is not None else None
        return cls(
            seq=int(value["seq"]),
            prev=prev,
            time=str(value["time"]),
            checked=int(value["checked"]),
            first_seq=value["first_seq"],
        )
