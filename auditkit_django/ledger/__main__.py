"""``python -m auditkit_django.ledger verify FILE --key VKEY``: verify evidence, without Django."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from auditkit_django.ledger.errors import MalformedError
from auditkit_django.ledger.evidence.check import verify_evidence
from auditkit_django.ledger.evidence.report import EvidenceReport, Found
from auditkit_django.ledger.note import parse_vkey


def main(arguments: Sequence[str] | None = None, *, prog: str = "python -m auditkit_django.ledger") -> int:
    """Exit code 0 VALID, 1 VALID_WITH_GAPS, 2 INVALID, 3 INCOMPLETE (also where a file or a key cannot be read)."""
    options = _parser(prog).parse_args(arguments)
    try:
        keys = [parse_vkey(text) for text in options.key]
        since = [path.read_text() for path in options.since]
        with options.file.open("rb") as file:
            report = verify_evidence(file, keys, since=since, jobs=options.jobs)
    except (OSError, UnicodeDecodeError, MalformedError) as exc:
        print(f"INCOMPLETE: {exc}", file=sys.stderr)
        return 3
    if options.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        _print(report)
    return report.exit_code


def _print(report: EvidenceReport) -> None:
    manifest, checkpoint, totals = report.manifest, report.checkpoint, report.totals
    print(report.verdict)
    if manifest is not None and checkpoint is not None:
        print(f"log        {checkpoint.origin}")
        print(f"entries    {_places(manifest.start, manifest.end)} of {checkpoint.size} that were sealed")
        print(f"window     {manifest.time_from or 'the beginning'} to {manifest.time_to or 'the seal'}")
        if manifest.filter:
            print(f"filter     {', '.join(f'{name} {value!r}' for name, value in sorted(manifest.filter.items()))}")
        print(f"signed by  {', '.join(manifest.signed_by)}")
        print(f"claimed    exported {manifest.exported_at} by {manifest.exported_by!r}, tenant {manifest.tenant!r}")
    if totals is not None:
        print(f"events     {totals.events} shown, {totals.disclosed} of them with values; {totals.left_out} left out")
    for number, (text, state) in enumerate(report.steps(), 1):
        print(f"{number}. {text:<75} {state}")
    for kind, found in (("finding", report.findings), ("gap", report.gaps)):
        for one in found:
            print(f"{kind:<10} {_line(one)}")


def _places(start: int, end: int) -> str:
    return f"#{start} to #{end - 1}" if start < end else f"none at #{start}"


def _line(one: Found) -> str:
    place = f" at #{one.seq}" if one.seq is not None else ""
    return f"{one.code}{place}: {one.message}"


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Verify evidence of a log.")
    commands = parser.add_subparsers(required=True)
    verify = commands.add_parser("verify", help="verify evidence: a bundle, csv, json or jsonl")
    verify.add_argument("file", type=Path)
    verify.add_argument(
        "--key", action="append", required=True, metavar="VKEY", help="a key that you pinned; repeatable"
    )
    verify.add_argument(
        "--since", action="append", default=[], type=Path, metavar="FILE", help="a signed note that you kept"
    )
    verify.add_argument(
        "--jobs", type=int, default=min(os.cpu_count() or 1, 8), metavar="N", help="processes for a large jsonl"
    )
    verify.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
