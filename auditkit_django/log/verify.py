"""
Verify one log, trusting nothing that is stored: everything is recomputed.

1. The log's row exists and names an origin, a size and a head.
2. Every seq from 0 to the last is there, once.
3. Each entry is canonical, names this log and its own seq, links to the leaf hash before it, is not older than it, and
   hashes to the stored leaf hash; seq 0 opens the log.
4. Each entry's event is there, every column says what the entry says, every disclosure opens its digest, and the
   columns copied for searching are those disclosed.
5. The last entry is the head that the log's row names, and nothing stands beyond it or outside of every log.
6. No event is outside of the log: each has an entry, waits for one, or is in quarantine as it was put there.
7. The checkpoints are what was signed, each at its size (:mod:`sealed`), and the log begins with what a note says that
   somebody kept elsewhere.
8. A log that is not the tenant's first follows from the one before it, as its first entry says (:mod:`epochs`).

The verdict is the worst of the findings. Without a checkpoint held outside of this database a rewrite of everything,
hashes included, is not found: that is what published checkpoints are for.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from django.db import DEFAULT_DB_ALIAS, DataError
from django.utils import timezone

from auditkit_django.exceptions import MalformedError, UnknownTenantError
from auditkit_django.ledger.entry import ZERO_HASH, format_time, leaf_hash, parse
from auditkit_django.ledger.licences import Licences
from auditkit_django.ledger.note import VerifierKey
from auditkit_django.ledger.verdicts import Verdict
from auditkit_django.log.checking import diagnose, is_as_appended, quick_time
from auditkit_django.log.epochs import check_predecessor
from auditkit_django.log.findings import GAPS, Finding, VerifyReport, uuid_of
from auditkit_django.log.licences import licences_of
from auditkit_django.log.outside import check_outside, check_quarantined
from auditkit_django.log.own import OPENED, QUARANTINED
from auditkit_django.log.reading import StoredEntry, stored_entries
from auditkit_django.log.reconcile import unlogged_events
from auditkit_django.log.sealed import Seals, seals_of
from auditkit_django.log.sealed import check as check_seals
from auditkit_django.log.tree import HEIGHT
from auditkit_django.log.walk import MAX_FINDINGS, Walk
from auditkit_django.models import Checkpoint, Entry, Log, Pending
from auditkit_django.signals import verification_failed

#: What reading a row raises whose columns were edited into what no such column holds.
_UNREADABLE: Final = (DataError, AttributeError, TypeError, ValueError)

#: Gaps that no fuller run would close.
_LASTING: Final = frozenset({"check.lost", "check.epochs", "check.erased", "check.pruned", "check.before_start"})

Progress = Callable[[int, int], None]


def verify(
    tenant: str,
    *,
    max_entries: int | None = None,
    progress: Progress | None = None,
    resume: Walk | None = None,
    checkpoint: Callable[[Walk], None] | None = None,
    seals: Seals | None = None,
    since: str | Sequence[str] | None = None,
    keys: Sequence[VerifierKey] = (),
    epoch: int | None = None,
    using: str = DEFAULT_DB_ALIAS,
) -> VerifyReport:
    """
    Check the newest log of ``tenant``, or that of ``epoch``, against its events; constant memory, one query per 2,000 entries.

    ``max_entries`` checks only the newest. ``progress`` gets (checked, size) after each chunk, ``checkpoint`` the walk
    so far, from which ``resume`` goes on in another run. The verdict is kept in the log's row for the pages. ``since`` is a
    signed note that was kept elsewhere, or several; ``keys`` are pinned, in place of those of the settings; ``seals`` replaces
    the guard too. Where only the newest entries are checked, checkpoints are not.

    Raises:
        UnknownTenantError: The tenant has no log, no entry and no event; or no log of that epoch.
    """
    started_at = timezone.now()
    try:
        log = _log_row(tenant, epoch, using=using)
    except _UNREADABLE as exc:
        unreadable = Finding(code="log.head", message=f"the log's row cannot be read: {exc}")
        return _without_log(tenant, started_at, using=using, found=[unreadable])
    if log is None and epoch is not None:
        raise UnknownTenantError(f"epoch: got {epoch} of tenant {tenant!r}, wanted one that has a log")
    if log is None:
        return _without_log(tenant, started_at, using=using)
    begin = log.first_seq
    start = max(begin, log.size - max_entries) if max_entries is not None else begin
    if resume is not None and resume.seq < log.first_seq:
        resume = None
    walk = resume or Walk(seq=start, prev=ZERO_HASH if start == 0 else None)
    walk.licences = licences_of(tenant, log.epoch, using=using)
    first = walk.seq if walk.first_seq is None else walk.first_seq
    for chunk in stored_entries(tenant, log.epoch, start=walk.seq, using=using):
        _check_chunk(walk, chunk, log, using=using)
        if progress is not None:
            progress(walk.checked, log.size - first)
        if checkpoint is not None and not walk.findings:
            walk.first_seq = first
            checkpoint(walk)
    log = _log_now(log, walk, using=using)
    for finding in (*_check_start(walk, log), *_check_head(walk, log), *check_outside(log, using=using)):
        walk.add(finding)
    gaps = list(_licensed(walk.licences, log, first=first))
    given, seals = seals, seals or seals_of(log, pinned=keys)
    if since is not None:
        seals = replace(seals, since=[since] if isinstance(since, str) else list(since))
    about_seals = _check_seals(log, seals, using=using) if first <= log.first_seq or seals.since else ()
    for finding in (*about_seals, *_check_epochs(log, seals, is_newest=epoch is None, using=using)):
        if finding.code in GAPS:
            gaps.append(finding)
        else:
            walk.add(finding)
    if begin != _first_seq_now(log, using=using):
        # Pruned while we read: what was missing was on its way out, and what was signed of it was not compared.
        return verify(
            tenant,
            epoch=epoch,
            max_entries=max_entries,
            progress=progress,
            seals=given,
            since=since,
            keys=keys,
            using=using,
        )
    report = _report(walk, log, first=first, gaps=gaps, started_at=started_at, using=using)
    if not since and not keys:
        # Somebody's own note or key may be the wrong one: what customers see does not hang on it.
        _remember(log, report, using=using)
    if walk.findings:
        verification_failed.send_robust(sender=Log, report=report)
    return report


def _check_seals(log: Log, seals: Seals, *, using: str) -> Iterator[Finding]:
    """Step 7. A note of an older log of the tenant is held against that."""
    older = Log.objects.using(using).filter(tenant=log.tenant, epoch__lt=log.epoch)
    by_origin = {one.origin: one for one in older} if log.epoch and seals.since else {}
    named = {note: note.partition("\n")[0] for note in seals.since}  # The first line of a checkpoint is its origin.
    yield from check_seals(
        log, replace(seals, since=[note for note, origin in named.items() if origin not in by_origin]), using=using
    )
    for origin in by_origin.keys() & set(named.values()):
        notes = [note for note, named_origin in named.items() if named_origin == origin]
        yield from check_seals(by_origin[origin], replace(seals, since=notes), using=using)


def _check_epochs(log: Log, seals: Seals, *, is_newest: bool, using: str) -> Iterator[Finding]:
    """Step 8."""
    if log.epoch > 0:
        yield from check_predecessor(log, seals.guard, using=using)
        if is_newest:
            message = f"{log.epoch} older logs of the tenant were not checked: manage.py auditkit_verify does"
            yield Finding(code="check.epochs", message=message)


def _check_chunk(walk: Walk, chunk: Iterable[StoredEntry], log: Log, *, using: str) -> None:
    walk.may_ask_again = True
    for stored in chunk:
        _check_entry(walk, stored, log, using=using)


def _check_entry(walk: Walk, stored: StoredEntry, log: Log, *, using: str) -> None:
    """Steps 2 to 4 for one entry."""
    while walk.seq < stored.seq and len(walk.findings) < MAX_FINDINGS:
        walk.add(Finding(code="entry.missing", message=f"there is no entry at seq {walk.seq}", seq=walk.seq))
        walk.seq, walk.prev = walk.seq + 1, None
    computed = leaf_hash(stored.body)
    time = quick_time(stored)
    is_quick = walk.prev is not None and (time == walk.time or (time > walk.time and _is_time(time)))
    if not is_quick or not is_as_appended(stored, origin=log.origin, prev=walk.prev, time=time, computed=computed):  # type: ignore[arg-type]
        for finding in _diagnosed(walk, stored, log, using=using):
            walk.add(finding)
        time = _time_of(stored) or walk.time
    if stored.seq == 0 and (stored.event is None or stored.event.action != OPENED):
        walk.add(
            Finding(code="entry.genesis", message=f"seq 0 is not {OPENED}", seq=0, event_id=uuid_of(stored.event_id))
        )
    if stored.event is not None and stored.event.action == QUARANTINED:
        for finding in check_quarantined(stored, stored.event, using=using):
            walk.add(finding)
    walk.seq, walk.prev, walk.time, walk.checked = stored.seq + 1, computed, time, walk.checked + 1


def _diagnosed(walk: Walk, stored: StoredEntry, log: Log, *, using: str) -> list[Finding]:
    for is_last in (False, True):
        found = list(
            diagnose(
                stored,
                tenant=log.tenant,
                origin=log.origin,
                prev=walk.prev,
                last_time=walk.time,
                licences=walk.licences,
            )
        )
        is_missing = any(one.code in ("event.missing", "disclosure.missing") for one in found)
        if is_last or not is_missing or not walk.may_ask_again:
            break
        # Perhaps erased or pruned since we began, by a licence that we have not seen; asked once for each chunk.
        walk.may_ask_again = False
        walk.licences = licences_of(log.tenant, log.epoch, using=using)
    return found


def _check_start(walk: Walk, log: Log) -> Iterator[Finding]:
    """Step 2, for a log that does not begin at 0."""
    if not 0 <= log.first_seq <= walk.licences.start() or log.first_seq % (1 << HEIGHT):
        message = f"it begins at seq {log.first_seq}, and may at {walk.licences.start()}"
        yield Finding(code="log.start", message=message, seq=max(0, log.first_seq))


def _licensed(licences: Licences, log: Log, *, first: int) -> Iterator[Finding]:
    """What is missing and may be."""
    if (events := licences.erased_events(first)) > 0:
        yield Finding(code="check.erased", message=f"values of {events} events were erased", seq=first)
    if log.first_seq > 0:
        message = f"entries 0 to {log.first_seq - 1} were pruned: the tiles stand for them"
        yield Finding(code="check.pruned", message=message, seq=0)
    for purge in sorted(licences.purges, key=lambda one: (one.until, str(one.kind))):
        if purge.kind is not None and purge.until > first:
            message = f"{purge.described()} before seq {purge.until} were pruned: their entries stand"
            yield Finding(code="check.pruned", message=message, seq=first)


def _check_head(walk: Walk, log: Log) -> Iterator[Finding]:
    """Step 5."""
    last = walk.seq - 1
    if log.size == walk.seq == 0 or (log.size == walk.seq == log.first_seq):
        # A log is opened with its first entry: an empty one was emptied.
        yield Finding(code="entry.missing", message="the log has no entry, not even its first", seq=0)
    if walk.seq < log.size:
        for seq in range(walk.seq, min(log.size, walk.seq + MAX_FINDINGS)):
            yield Finding(code="entry.missing", message=f"there is no entry at seq {seq}", seq=seq)
    elif walk.seq > log.size:
        yield Finding(
            code="entry.beyond_head",
            message=f"the log's row says {log.size} entries, the last stored is seq {last}",
            seq=log.size,
        )
    if walk.seq == log.size and walk.prev is not None and bytes(log.head_hash) != walk.prev:
        yield Finding(
            code="log.head", message="the head hash in the log's row is not the last entry's leaf hash", seq=last
        )
    if walk.seq == log.size and walk.time and format_time(log.head_time) != walk.time:
        yield Finding(code="log.head", message="the head time in the log's row is not the last entry's", seq=last)


def _log_row(tenant: str, epoch: int | None, *, using: str) -> Log | None:
    """
    The row of the newest log, or of that of ``epoch``; None where there is none; one of ``_UNREADABLE`` where its columns hold no
    such values.
    """
    logs = Log.objects.using(using).filter(tenant=tenant)
    log = (logs if epoch is None else logs.filter(epoch=epoch)).order_by("-epoch").first()
    if log is not None:
        format_time(log.head_time)
        log.size, log.epoch = operator.index(log.size), operator.index(log.epoch)
        log.first_seq = operator.index(log.first_seq)
    return log


def _without_log(tenant: str, started_at: datetime, *, using: str, found: Iterable[Finding] = ()) -> VerifyReport:
    findings = list(found)
    if not findings and Entry.objects.using(using).filter(tenant=tenant).exists():
        findings.append(Finding(code="log.missing", message="there are entries and no log row", seq=0))
    events = unlogged_events(tenant, using=using, limit=MAX_FINDINGS)
    findings += [Finding(code="event.unlogged", message="neither in a log nor waiting", event_id=id) for id in events]
    pending = Pending.objects.using(using).filter(tenant=tenant)[:MAX_FINDINGS].count()
    if not findings and not pending:
        raise UnknownTenantError(f"tenant: got {tenant!r}, wanted one with a log: nothing was ever recorded for it")
    return VerifyReport(
        tenant=tenant,
        origin="",
        epoch=0,
        verdict="INVALID" if findings else "INCOMPLETE",
        size=0,
        checked=0,
        sealed=0,
        first_seq=None,
        last_seq=None,
        pending=pending,
        findings=tuple(findings),
        gaps=(),
        omitted=0,
        started_at=started_at,
        finished_at=timezone.now(),
    )


def _report(walk: Walk, log: Log, *, first: int, gaps: list[Finding], started_at: datetime, using: str) -> VerifyReport:
    if first > log.first_seq:
        gaps = [
            Finding(code="check.partial", message=f"entries {log.first_seq} to {first - 1} were not checked", seq=0),
            *gaps,
        ]
    last = _last_sealed(log, using=using)
    findings = sorted(walk.findings, key=lambda finding: (finding.seq is None, finding.seq or 0))
    verdict: Verdict = "INVALID" if findings else "VALID_WITH_GAPS" if gaps else "VALID"
    return VerifyReport(
        tenant=log.tenant,
        origin=log.origin,
        epoch=log.epoch,
        verdict=verdict,
        size=log.size,
        checked=walk.checked,
        sealed=last,
        first_seq=first if walk.checked else None,
        last_seq=walk.seq - 1 if walk.checked else None,
        pending=Pending.objects.using(using).filter(tenant=log.tenant)[:MAX_FINDINGS].count(),
        findings=tuple(findings),
        gaps=tuple(gaps),
        omitted=walk.omitted,
        started_at=started_at,
        finished_at=timezone.now(),
    )


def _last_sealed(log: Log, *, using: str) -> int:
    sizes = Checkpoint.objects.using(using).filter(tenant=log.tenant, epoch=log.epoch).values_list("size", flat=True)
    last = sizes.order_by("-size").first()
    return last if type(last) is int else 0


def _first_seq_now(log: Log, *, using: str) -> object:
    return Log.objects.using(using).filter(pk=log.pk).values_list("first_seq", flat=True).first()


def _log_now(log: Log, walk: Walk, *, using: str) -> Log:
    """
    The log's row as it is after the walk: events are appended while we read, and the row moves with them.

    What was appended between the last chunk and this look at the row is walked too, up to the size that the row names.
    """
    if walk.seq == log.size:
        return log
    log = Log.objects.using(using).get(pk=log.pk)
    for chunk in stored_entries(log.tenant, log.epoch, start=walk.seq, using=using) if walk.seq < log.size else ():
        _check_chunk(walk, (stored for stored in chunk if stored.seq < log.size), log, using=using)
        if walk.seq >= log.size:
            break
    return log


def _remember(log: Log, report: VerifyReport, *, using: str) -> None:
    # What a fuller run found is not forgotten because the newest entries are whole.
    is_partial = any(gap.code not in _LASTING for gap in report.gaps)
    if is_partial and report.is_valid and log.verdict == "INVALID":
        return
    Log.objects.using(using).filter(pk=log.pk).update(
        verified_at=report.finished_at, verified_size=report.size, verdict=report.verdict
    )


def _is_time(text: str) -> bool:
    try:
        return len(text) == 27 and text[26] == "Z" and format_time(datetime.fromisoformat(text)) == text
    except ValueError:
        return False


def _time_of(stored: StoredEntry) -> str | None:
    try:
        return parse(stored.body).time
    except MalformedError:
        return None


__all__ = ["MAX_FINDINGS", "Progress", "VerifyReport", "Walk", "verify"]
