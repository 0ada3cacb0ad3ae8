"""
One side of the export benchmark, in a process of its own, so that its memory is its own.

``export TENANT FORMAT FILE`` writes evidence, ``verify VKEY FILE`` verifies it without Django, ``read TENANT`` and ``hash FILE``
are the yardsticks: the same rows fetched, the same bytes hashed. Prints seconds, peak memory in MiB, and what was found, as JSON.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import Any


def main(what: str, *arguments: str) -> None:
    """Do it once, and say how it went."""
    run = {"export": _export, "verify": _verify, "read": _read, "hash": _hash}[what]
    seconds, found = run(*arguments)
    print(json.dumps({"seconds": seconds, "mebibytes": _peak(), "found": found}))


def _peak() -> float:
    # Not getrusage: its figure starts at that of the process that started this one.
    status = Path("/proc/self/status").read_text()
    own = float(status.partition("VmHWM:")[2].split()[0])
    # A verifier's further processes, all as large as the largest.
    others = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (os.cpu_count() or 1)
    return (own + others) / 1024


def _export(tenant: str, form: str, path: str) -> tuple[float, Any]:
    import django

    django.setup()
    from auditkit_django.evidence.export import export
    from auditkit_django.evidence.order import Order

    _connect()
    start = time.perf_counter()
    found = export(Order(tenant=tenant, format=form))
    with Path(path).open("wb") as file:
        file.writelines(found.blocks)
    return time.perf_counter() - start, found.events


def _read(tenant: str) -> tuple[float, Any]:
    import django

    django.setup()
    from auditkit_django.log.reading import disclosed_entries

    _connect()
    start = time.perf_counter()
    count = sum(len(chunk) for chunk in disclosed_entries(tenant, 0, start=0, using="default"))
    return time.perf_counter() - start, count


def _verify(key: str, path: str) -> tuple[float, Any]:
    from auditkit_django.ledger.evidence.check import verify_evidence
    from auditkit_django.ledger.note import parse_vkey

    assert "django" not in sys.modules
    start = time.perf_counter()
    with Path(path).open("rb") as file:
        report = verify_evidence(file, [parse_vkey(key)], jobs=os.cpu_count() or 1)
    return time.perf_counter() - start, report.verdict


def _hash(path: str) -> tuple[float, Any]:
    start = time.perf_counter()
    digest = sha256()
    with Path(path).open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return time.perf_counter() - start, digest.hexdigest()


def _connect() -> None:
    from django.db import connection

    connection.ensure_connection()


if __name__ == "__main__":
    main(*sys.argv[1:])
