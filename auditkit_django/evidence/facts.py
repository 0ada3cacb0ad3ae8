"""Facts: what the report is told of an export, besides what it counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from auditkit_django.evidence.wording import Moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """
    What the report says of an export besides what it counts.

    ``start`` (included) and ``end`` (not) are places in the log of ``size`` entries; ``time_from`` and ``time_to`` the period
    that was asked for, ``first_time`` and ``last_time`` when the first and the last event in scope were appended. ``filter`` is
    what ``EventFilter.described`` gives. ``events`` are those in scope, ``left_out`` entries that the filter leaves out;
    ``withheld_values``, ``erased_values`` and ``pruned_events`` are counts. ``gaps`` and ``publications`` are sentences.
    ``key_fingerprints`` holds the name of each key that signed, its key id and the SHA-256 of the public key, both in hex.
    ``files`` maps a name to the SHA-256 of the file, in hex. ``verdict`` is that of the operator's own last verification, which
    looked at the first ``verified_size`` entries of the log; where it is not known how many, none counts as verified.
    """

    tenant: str
    tenant_label: str
    origin: str
    epoch: int
    start: int
    end: int
    size: int
    time_from: Moment | None
    time_to: Moment | None
    first_time: Moment | None
    last_time: Moment | None
    filter: Mapping[str, str]
    withheld: tuple[str, ...]
    events: int
    left_out: int
    withheld_values: int
    erased_values: int
    pruned_events: int
    gaps: tuple[str, ...]
    checkpoint_note: str
    checkpoint_root: str
    sealed_at: Moment | None
    key_fingerprints: tuple[tuple[str, str, str], ...]
    publications: tuple[str, ...]
    exported_at: Moment
    exported_by: str
    export_event: str
    software: str
    files: Mapping[str, str] = field(default_factory=dict)
    verdict: str | None = None
    verified_at: Moment | None = None
    verified_size: int | None = None
