"""How much each benchmark does: the full measure, or a smoke."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.postgres import Server


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The sizes of one run. ``*_rounds`` are counted after a round of warming up."""

    server: Server
    record_rounds: int = 7
    record_blocks: int = 10
    record_block: int = 200
    save_rounds: int = 15
    saves: int = 200
    batch_rounds: int = 7
    batch: int = 1000
    bulk_rounds: int = 7
    bulk_rows: int = 5000
    append_rounds: int = 5
    append_events: int = 50_000
    append_tenants: int = 50
    verify_rounds: int = 5
    verify_events: int = 200_000
    seal_rounds: int = 5
    seal_events: int = 100_000
    prove_entries: int = 1_000_000
    proofs: int = 1000
    export_rounds: int = 1
    export_events: int = 1_000_000
    ingest_rounds: int = 5
    ingest_singles: int = 300
    ingest_batches: int = 20
    query_rounds: int = 60
    query_events: int = 1_000_000
    query_tenants: int = 100
    disk_events: int = 1_000_000
    disk_tenants: int = 100
    client_rounds: int = 7
    client_events: int = 4000
    hot_rounds: int = 5
    hot_seconds: float = 5.0
    hot_writers: tuple[int, ...] = (8, 64)

    @classmethod
    def full(cls, server: Server, *, disk_events: int) -> Plan:
        """The numbers that a release is judged by."""
        return cls(server=server, disk_events=disk_events)

    @classmethod
    def quick(cls, server: Server) -> Plan:
        """Seconds instead of minutes; nothing to quote."""
        return cls(
            server=server,
            record_rounds=2,
            record_blocks=1,
            record_block=50,
            save_rounds=2,
            saves=20,
            batch_rounds=1,
            batch=300,
            bulk_rounds=1,
            bulk_rows=200,
            append_rounds=1,
            append_events=2000,
            append_tenants=10,
            verify_rounds=1,
            verify_events=3000,
            seal_rounds=1,
            seal_events=2000,
            prove_entries=10_000,
            proofs=50,
            export_events=3000,
            query_rounds=3,
            query_events=3000,
            query_tenants=10,
            ingest_rounds=1,
            ingest_singles=20,
            ingest_batches=2,
            disk_events=3000,
            disk_tenants=10,
            client_rounds=1,
            client_events=200,
            hot_rounds=1,
            hot_seconds=0.5,
            hot_writers=(2, 4),
        )
