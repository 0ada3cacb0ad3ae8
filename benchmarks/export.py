"""How fast evidence is exported and verified, and in how much memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import databases
from benchmarks.measuring import median
from benchmarks.plan import Plan
from benchmarks.realistic import load
from benchmarks.reporting import Budget, Section

TENANT = "org-100"
FORMS = ("jsonl", "json", "csv", "bundle")
NOTE = (
    "One log of {events} events (the mix of the disk benchmark), exported with its proof into a file and verified, each time in a"
    " new process: the verifier's has no Django. Seconds from the first query to the last byte; memory is the peak of the whole"
    " process. `reading` fetches the same rows and does nothing with them, `hashing` is SHA-256 over the same file: by them"
    " another machine is compared. Median of {rounds} rounds."
)


def run(plan: Plan) -> Section:
    """Measure; events per second and MiB."""
    databases.use_fresh(plan.server, "bench_export")
    load(plan.export_events, tenants=1, is_skewed=False, is_append=True)
    events = plan.export_events
    with TemporaryDirectory() as folder:
        key = _seal(Path(folder))
        reading = [_child("read", TENANT) for _ in range(plan.export_rounds)]
        found = {form: _rounds(plan, key, form, Path(folder) / form) for form in FORMS}
    rows = [("reading", *_figures(reading, events), "")]
    for form, (exports, checks, hashes, size) in found.items():
        rows.append((f"export {form}", *_figures(exports, events), f"{size / 1e6:,.0f} MB"))
        rows.append((f"hashing {form}", *_figures(hashes, events), ""))
        rows.append((f"verify {form}", *_figures(checks, events), ""))
    exports, checks, _hashes, _size = found["jsonl"]
    return Section(
        title=f"export: a log of {events:,} events",
        note=NOTE.format(events=f"{events:,}", rounds=plan.export_rounds),
        columns=("", "events/s", "µs per event", "peak MiB", "file"),
        rows=rows,
        budgets=(
            Budget(
                name="export: jsonl with proof",
                got=_rate(exports, events),
                wanted=40_000,
                unit="events/s",
                is_floor=True,
            ),
            Budget(name="export: peak memory", got=_peak(exports), wanted=150, unit="MiB"),
            Budget(
                name="export: its verification",
                got=_rate(checks, events),
                wanted=50_000,
                unit="events/s",
                is_floor=True,
            ),
            Budget(name="export: peak memory of that", got=_peak(checks), wanted=300, unit="MiB"),
        ),
    )


def _rounds(plan: Plan, key: str, form: str, path: Path) -> tuple[list[Any], list[Any], list[Any], int]:
    """Exports, verifications, the yardstick, and the size of the file, which is gone afterwards."""
    exports, checks, hashes = [], [], []
    for _ in range(plan.export_rounds):
        exports.append(_child("export", TENANT, form, str(path)))
        hashes.append(_child("hash", str(path)))
        checks.append(_child("verify", key, str(path)))
        if checks[-1]["found"] != "VALID":
            raise RuntimeError(f"got {checks[-1]['found']}, wanted VALID")
    size = path.stat().st_size
    path.unlink()
    return exports, checks, hashes, size


def _seal(folder: Path) -> str:
    """Sign the log; its verifier key."""
    from django.conf import settings

    from auditkit_django.ledger.note import format_vkey
    from auditkit_django.log.keys import SecretSigner
    from auditkit_django.log.seal import seal
    from auditkit_django.models import Log

    signer = SecretSigner(bytes(32))
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": signer, "SEAL_GUARD_DIR": str(folder / "signed")}
    seal(TENANT)
    return format_vkey(signer.verifier_key(Log.objects.get(tenant=TENANT).origin, 0))


def _child(*arguments: str) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.export_child", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={**os.environ})
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _rate(rounds: list[dict[str, Any]], events: int) -> float:
    return events / median(one["seconds"] for one in rounds)


def _peak(rounds: list[dict[str, Any]]) -> float:
    return float(max(one["mebibytes"] for one in rounds))


def _figures(rounds: list[dict[str, Any]], events: int) -> tuple[str, str, str]:
    rate = _rate(rounds, events)
    return f"{rate:,.0f}", f"{1e6 / rate:.1f}", f"{_peak(rounds):,.0f}"
