"""
The keys that a log's checkpoints are checked with, one generation after the other.

1. Whoever owns the signer derives every generation's key from it; what the log says of its keys has to agree.
2. Whoever pinned keys trusts these, and by a checkpoint that a trusted key and its next one both signed, the next one.
3. A checkpoint is signed by the key in force at its size; the first one over a rotation by the key before as well.
4. Each generation stands for an entry of the log, a rotation or a revocation, and there is no such entry without one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from django.db import DEFAULT_DB_ALIAS

from auditkit_django.exceptions import MalformedError, SealError, VerificationError
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import open_checkpoint, parse_checkpoint
from auditkit_django.ledger.disclosure import split_with_values
from auditkit_django.ledger.note import Note, VerifierKey, format_vkey, parse_vkey
from auditkit_django.ledger.trust import REVOKED, ROTATED
from auditkit_django.log.findings import Finding
from auditkit_django.log.generations import current, signing
from auditkit_django.log.keys import Signer, verifier_key
from auditkit_django.log.reading import any_text
from auditkit_django.models import Entry, Event, KeyGeneration, Log


@dataclass(slots=True, kw_only=True)
class Keyring:
    """
    The keys by generation. Checkpoints are to be checked in order of their size, the smallest first.

    ``problem`` says why there is no key, where there was to be one. ``covered`` has the size of the first checkpoint over
    each generation's entry, ``unpinned`` that of the last one by a generation before the first that is known.
    """

    log: Log
    rows: Sequence[KeyGeneration] = ()
    keys: dict[int, tuple[VerifierKey, ...]] = field(default_factory=dict)
    declared: dict[int, VerifierKey] = field(default_factory=dict)
    problem: str | None = None
    covered: dict[int, int] = field(default_factory=dict)
    unpinned: int | None = None
    last_size: int = 0
    found: list[Finding] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.keys)

    def check(self, note: Note) -> Iterator[Finding]:
        """Step 3 for the next checkpoint; its text has to be one (``parse_checkpoint``)."""
        size = parse_checkpoint(note.text).size
        *before, now = signing(self.rows, last_size=self.last_size, size=size)
        self._follow(note, (*before, now))
        self.last_size = size
        self.covered |= {
            row.generation: size for row in self.rows if row.seq < size and row.generation not in self.covered
        }
        first = self._first()
        if now < first:
            # Of before the key that somebody pinned. What it says of the entries is held against them all the same.
            self.unpinned = size
            return
        try:
            self._open(note, now)
        except VerificationError as exc:
            yield self._refused(note, size, now, str(exc))
            return
        for one in before:
            if one >= first and not self._is_signed(note, one):
                message = (
                    f"the first over a rotation is not signed by the key of generation {one}, which gave way with it"
                )
                yield _finding("key.unconfirmed", size, message)

    def open(self, note: Note) -> Sealed:
        """
        The checkpoint in ``note``, which somebody kept, by a key that was in force at its size. After :meth:`check`. One of
        before the first key that is known is taken as it is: whoever kept it knows what it said, if not who signed it.

        Raises:
            MalformedError: It is none.
            VerificationError: None of those keys signed it, or it is another log's.
        """
        said = parse_checkpoint(note.text)
        size = said.size
        allowed = {current(self.rows, size)}
        for row in self.rows:
            if not row.is_revocation and row.seq < size <= self.covered.get(row.generation, size):
                allowed.add(row.generation - 1)
        keys = [key for one in sorted(allowed) for key in self.keys.get(one, ())]
        if not self or max(allowed) < self._first():
            if said.origin != self.log.origin:
                raise VerificationError(f"checkpoint: got one of {said.origin!r}, wanted {self.log.origin!r}")
            return said
        return open_checkpoint(note, keys, origin=self.log.origin)[0]

    def gaps(self) -> Iterator[Finding]:
        """What a revocation, and a key that was pinned late, leave open. After :meth:`check`."""
        if self.unpinned is not None:
            message = f"checkpoints up to {self.unpinned} are signed by keys of before the ones that are pinned"
            yield Finding(code="check.unsigned", message=message, seq=0)
        if self.rows and self.rows[-1].is_revocation and self.rows[-1].generation not in self.covered:
            message = "the key was revoked, and no checkpoint of the next one says yet what the log has"
            yield Finding(code="check.revoked", message=message, seq=self.rows[-1].seq)

    def _first(self) -> int:
        """The first generation with a key: with keys that were pinned late not 0."""
        return min((one for one, keys in self.keys.items() if keys), default=0)

    def _follow(self, note: Note, generations: Iterable[int]) -> None:
        """Step 2."""
        for row in self.rows:
            one, next_key = row.generation, self.declared.get(row.generation)
            is_open = one in generations and not self.keys.get(one) and next_key is not None and not row.is_revocation
            if is_open and self._is_signed(note, one - 1) and self._is_signed(note, one, by=(next_key,)):  # type: ignore[arg-type]
                self.keys[one] = (next_key,)  # type: ignore[assignment]

    def _open(self, note: Note, generation: int, by: Sequence[VerifierKey] | None = None) -> None:
        keys = self.keys.get(generation, ()) if by is None else by
        if not keys:
            raise VerificationError(
                f"checkpoint: nobody pinned the key of generation {generation}, and no path leads to it"
            )
        open_checkpoint(note, keys, origin=self.log.origin)

    def _is_signed(self, note: Note, generation: int, by: Sequence[VerifierKey] | None = None) -> bool:
        try:
            self._open(note, generation, by)
        except VerificationError:
            return False
        return True

    def _refused(self, note: Note, size: int, now: int, why: str) -> Finding:
        others = [one for one in self.keys if one != now and self._is_signed(note, one)]
        if not others:
            return _finding("checkpoint.signature", size, why)
        message = f"signed by the key of generation {others[0]}; at this size that of generation {now} is in force"
        return _finding("key.superseded", size, message)


def keyring_of(
    log: Log,
    *,
    pinned: Sequence[VerifierKey] = (),
    signer: Signer | None = None,
    problem: str | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> Keyring:
    """The keyring of ``log``: with ``pinned`` keys, else with those of ``signer``, else without any."""
    rows, found = _rows(log, using=using)
    ring = Keyring(log=log, rows=rows, problem=problem, found=found)
    for row in rows:
        try:
            ring.declared[row.generation] = parse_vkey(row.verifier_key)
        except MalformedError as exc:
            found.append(_of(row, str(exc)))
    if pinned:
        later = set(ring.declared.values())
        ring.keys = {one: (key,) for one, key in ring.declared.items() if key in pinned}
        ring.keys[0] = tuple(key for key in pinned if key not in later)
    elif signer is not None:
        try:
            ring.keys = {one: (verifier_key(signer, log.origin, one),) for one in range(len(rows) + 1)}
        except SealError as exc:
            ring.keys, ring.problem = {}, str(exc)
        for row in rows if ring.keys else ():
            if row.verifier_key != format_vkey(ring.keys[row.generation][0]):
                found.append(_of(row, "its key is not the one that the signer has for it"))
    found += _entries_of(log, rows, using=using)
    return ring


def check_new(log: Log, rows: Sequence[KeyGeneration], *, since: int, signer: Signer, using: str) -> None:
    """
    Refuse generations beyond ``since``, the last that signed, that the log's own entries do not speak of: a row alone, which
    somebody wrote, has no key sign.

    Raises:
        SealError: One of ``rows`` has no such entry, or names another key than the signer has for it.
    """
    new = [row for row in rows if row.generation > since]
    if not new:
        return
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch, seq__in=[row.seq for row in new])
    standing = set(entries.values_list("seq", flat=True))
    for row in new:
        # Of an entry that was pruned the row is left, and the checkpoint over it, which both keys signed.
        is_there = row.seq in standing or row.seq < log.first_seq
        if not is_there or row.verifier_key != format_vkey(verifier_key(signer, log.origin, row.generation)):
            raise SealError(
                f"seal: generation {row.generation} of the key of tenant {log.tenant!r} is not one that was rotated to: verify it"
            )
    for finding in _entries_of(log, new, using=using, is_complete=False):
        raise SealError(f"seal: {finding.message}: verify the log of tenant {log.tenant!r}")


def _rows(log: Log, *, using: str) -> tuple[list[KeyGeneration], list[Finding]]:
    """The generations, numbered from 1 in the order of their entries; what does not fit is a finding and left out."""
    rows = KeyGeneration.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch).order_by("generation")
    with any_text(using):
        values = list(rows.values_list("generation", "seq", "verifier_key", "is_revocation"))
    kept: list[KeyGeneration] = []
    found: list[Finding] = []
    for generation, seq, key, is_revocation in values:
        before = kept[-1].seq if kept else 0
        is_one = type(generation) is int and type(seq) is int and type(key) is str and type(is_revocation) is bool
        if is_one and generation == len(kept) + 1 and seq > before:
            row = KeyGeneration(generation=generation, seq=seq, verifier_key=key, is_revocation=is_revocation)
            kept.append(row)
        else:
            message = (
                f"generation {generation!r:.40} at seq {seq!r:.40}: wanted number {len(kept) + 1} beyond seq {before}"
            )
            found.append(Finding(code="key.generation", message=message))
    return kept, found


def _entries_of(log: Log, rows: Sequence[KeyGeneration], *, using: str, is_complete: bool = True) -> Iterator[Finding]:
    """Step 4. ``is_complete``: ``rows`` are all there are, and there is no such entry without one."""
    events = Event.objects.using(using).filter(tenant=log.tenant, action__in=(ROTATED, REVOKED))
    entries = Entry.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch)
    with any_text(using):
        said = dict(events.values_list("id", "disclosures"))
        actions = dict(events.values_list("id", "action"))
        seqs = dict(entries.filter(event_id__in=list(said)).values_list("seq", "event_id"))
        standing = dict(entries.filter(seq__in=[row.seq for row in rows]).values_list("seq", "event_id"))
    for row in rows:
        event_id = standing.get(row.seq)
        # An entry that is gone is a finding of the walk over the entries, or was pruned.
        if event_id is not None:
            wanted = REVOKED if row.is_revocation else ROTATED
            if actions.get(event_id) != wanted or _new_key(said[event_id]) not in (None, row.verifier_key):
                yield _of(row, f"the entry there is not the {wanted} that it stands for")
    for seq in sorted(set(seqs) - {row.seq for row in rows}) if is_complete else ():
        message = f"{actions[seqs[seq]]} is in the log, and no key follows from it"
        yield Finding(code="key.generation", message=message, seq=seq, event_id=seqs[seq])


def _new_key(disclosures: object) -> object:
    """The new key that a control event names; None where it is not to be read, which is a finding of its entry."""
    try:
        metadata = split_with_values(str(disclosures))["metadata"][1]
    except (MalformedError, KeyError):
        return None
    return metadata.get("new", "") if isinstance(metadata, dict) else ""


def _of(row: KeyGeneration, message: str) -> Finding:
    return Finding(code="key.generation", message=f"generation {row.generation}: {message}", seq=row.seq)


def _finding(code: str, size: int, message: str) -> Finding:
    return Finding(code=code, message=f"checkpoint at {size}: {message}", seq=max(0, size - 1))
