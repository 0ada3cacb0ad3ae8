"""Sealing new entries beyond reading them, inclusion proofs from a large log, and what a log keeps to go on."""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING
from uuid import UUID

from benchmarks import databases
from benchmarks.append import COLUMNS, TYPES
from benchmarks.measuring import median, quantile, repeated, settled, timed
from benchmarks.plan import Plan
from benchmarks.reporting import Budget, Section

if TYPE_CHECKING:
    from auditkit_django.log.signing import SealGuard
    from auditkit_django.models import Checkpoint

TENANT = "org-100"
#: How the sealer reads.
CHUNK = 5000
#: A log of this many entries keeps 40 hashes; none will have more.
LARGEST_BITS = 40
NOTE = (
    "One log; each round adds {events} entries and seals them: read, every hash and link computed again, tree and tiles extended,"
    " signed with a key in memory, checkpoint and tiles written, the guard's file synced. `reading` is the same queries over the"
    " same rows right before, with nothing done. Median of {rounds} rounds, warm cache. Then the log has {entries} entries, and"
    " {proofs} inclusion proofs of random entries are made, each checked afterwards. `state` is the compact range of the newest"
    " checkpoint, its signed note and the guard's file; the largest is that of a log of 2^40 - 1 entries."
)


def run(plan: Plan) -> Section:
    """Measure; seconds, milliseconds, queries and bytes."""
    from auditkit_django.log.signing import SealGuard

    databases.use_fresh(plan.server, "bench_seal")
    _open()
    with TemporaryDirectory() as folder:
        guard = SealGuard(folder=Path(folder))
        rounds = repeated(plan.seal_rounds, lambda _number: _round(plan, guard))
        reading, sealing = (median(column) for column in zip(*rounds, strict=True))
        beyond = median(seal - read for read, seal in rounds)
        _grow(plan.prove_entries - _size())
        newest = _seal(guard)
        times, queries = _prove(newest, plan.proofs)
        [file] = guard.folder.glob("*.json")
        kept = len(newest.note) + file.stat().st_size
    state, largest = kept + len(bytes(newest.hashes)), kept + 32 * LARGEST_BITS
    p95 = 1000 * quantile(times, 0.95)
    events, entries = f"{plan.seal_events:,}", f"{plan.prove_entries:,}"
    return Section(
        title=f"seal: {events} new entries; proofs from a log of {entries}",
        note=NOTE.format(events=events, rounds=plan.seal_rounds, entries=entries, proofs=plan.proofs),
        columns=("", "got", "unit"),
        rows=[
            (f"reading {events} entries", f"{reading:.2f}", "s"),
            ("sealing them", f"{sealing:.2f}", "s"),
            ("sealing beyond reading, per entry", f"{1e6 * beyond / plan.seal_events:.1f}", "µs"),
            (f"inclusion proof from {entries}, p50", f"{1000 * quantile(times, 0.5):.2f}", "ms"),
            ("p95", f"{p95:.2f}", "ms"),
            ("queries, the most", queries, ""),
            (f"state at {entries} entries", state, "bytes"),
            ("state of the largest log", largest, "bytes"),
        ],
        budgets=(
            Budget(name=f"seal: {events} new entries beyond reading", got=beyond, wanted=2, unit="s"),
            Budget(name=f"seal: inclusion proof from {entries}, p95", got=p95, wanted=20, unit="ms"),
            Budget(name="seal: queries of a proof", got=queries, wanted=10),
            Budget(name="seal: state per log, the largest", got=largest, wanted=2048, unit="bytes"),
        ),
    )


def _open() -> None:
    from auditkit_django import auditlog
    from auditkit_django.log.append import append_all

    auditlog.event("org.updated", tenant=TENANT)
    append_all()


def _round(plan: Plan, guard: SealGuard) -> tuple[float, float]:
    """Seconds of reading the new entries, and of sealing them."""
    size = _size()
    _grow(plan.seal_events)
    databases.checkpoint()
    _read(size)
    with timed() as reading:
        _read(size)
    with timed() as sealing:
        newest = _seal(guard)
    if newest.size != size + plan.seal_events:
        raise RuntimeError(f"got a checkpoint at {newest.size}, wanted one at {size + plan.seal_events}")
    return reading.seconds, sealing.seconds


def _seal(guard: SealGuard) -> Checkpoint:
    from auditkit_django.log.keys import SecretSigner
    from auditkit_django.log.seal import seal

    newest = seal(TENANT, signer=SecretSigner(bytes(range(32))), guard=guard)
    assert newest is not None
    return newest


def _size() -> int:
    from auditkit_django.models import Log

    return Log.objects.get(tenant=TENANT).size


def _grow(count: int) -> None:
    from django.db import connection, transaction
    from psycopg import Cursor

    from auditkit_django.models import Log
    from tests.log.synthetic import grown, move_head

    log = Log.objects.get(tenant=TENANT)
    head, rows = grown(log, count)
    sql = f"COPY auditkit_django_entry ({COLUMNS}) FROM STDIN (FORMAT BINARY)"
    with transaction.atomic(), Cursor(connection.connection) as cursor, cursor.copy(sql) as copy:
        copy.set_types(TYPES)
        for row in rows:
            copy.write_row(row._replace(event_id=UUID(row.event_id)))
    move_head(log, head)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE auditkit_django_entry, auditkit_django_tile")


def _read(start: int) -> None:
    from auditkit_django.models import Entry

    size = _size()
    rows = Entry.objects.filter(tenant=TENANT, epoch=0).order_by("seq")
    for seq in range(start, size, CHUNK):
        for _row in rows.filter(seq__gte=seq, seq__lt=min(size, seq + CHUNK)).values_list("seq", "body", "leaf_hash"):
            pass


def _prove(newest: Checkpoint, count: int) -> tuple[list[float], int]:
    """Seconds of each proof, and the most queries that one took."""
    import random

    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from auditkit_django.log import prove

    chosen = random.Random(1).choices(range(newest.size), k=count)
    times, most = [], 0
    settled()
    for seq in chosen:
        start = time.perf_counter()
        text = prove.inclusion(newest, seq)
        times.append(time.perf_counter() - start)
        with CaptureQueriesContext(connection) as asked:
            prove.inclusion(newest, seq)
        most = max(most, len(asked))
        _check(newest, seq, text)
    return times, most


def _check(newest: Checkpoint, seq: int, text: str) -> None:
    from auditkit_django.ledger.checkpoint import parse_checkpoint
    from auditkit_django.ledger.note import parse
    from auditkit_django.ledger.proofs import verify_inclusion
    from auditkit_django.ledger.tlog_proof import parse_proof
    from auditkit_django.models import Entry

    leaf = Entry.objects.values_list("leaf_hash", flat=True).get(tenant=TENANT, epoch=0, seq=seq)
    proof = parse_proof(text)
    said = parse_checkpoint(parse(proof.note).text)
    verify_inclusion(bytes(leaf), proof.index, said.size, proof.hashes, said.root)
