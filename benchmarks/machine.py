"""The machine line: numbers mean little without what they were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import django
import psycopg


def machine_line(dsn: str) -> str:
    """CPU, cores, memory, load and the versions of everything that takes part, on one line."""
    with psycopg.connect(dsn) as connection:
        row = connection.execute("SHOW server_version").fetchone()
    server = str(row[0]).split()[0] if row else "?"
    return (
        f"{_cpu()}, {_cores()} cores, {_memory_gib():.0f} GiB, load {os.getloadavg()[0]:.1f} at the start;"
        f" PostgreSQL {server} (fsync on, unix socket), Python {platform.python_version()}, Django {django.__version__},"
        f" psycopg {psycopg.__version__} ({psycopg.pq.__impl__}), {platform.system()} {platform.release()}"
    )


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
