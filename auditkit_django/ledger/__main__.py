"""``python -m auditkit_django.ledger verify BUNDLE.zip --key VKEY``: verify evidence, without Django."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from auditkit_django.ledger.bundle_check import verify_bundle
from auditkit_django.ledger.bundle_report import BundleReport, Found
from auditkit_django.ledger.errors import MalformedError
from auditkit_django.ledger.note import parse_vkey


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit code 0 VALID, 1 VALID_WITH_GAPS, 2 INVALID, 3 INCOMPLETE (also where a file or a key cannot be read)."""
    options = _parser().parse_args(arguments)
    try:
        keys = [parse_vkey(text) for text in options.key]
        since = [path.read_text() for path in options.since]
        with options.bundle.open("rb") as file:
            report = verify_bundle(file, keys, since=since)
    except (OSError, UnicodeDecodeError, MalformedError) as exc:
        print(f"INCOMPLETE: {exc}", file=sys.stderr)
        return 3
    if options.json:
        print(json.dumps(report.as_json(), indent=2))
    else:
        _print(report)
    return report.exit_code


def _print(report: BundleReport) -> None:
    manifest, checkpoint = report.manifest, report.checkpoint
    print(report.verdict)
    if manifest is not None and checkpoint is not None:
        print(f"log        {checkpoint.origin}")
        print(f"entries    #{manifest.start} to #{manifest.end - 1} of {checkpoint.size} that were sealed")
        print(f"window     {manifest.time_from or 'the beginning'} to {manifest.time_to or 'the seal'}")
        print(
            f"disclosed  {manifest.disclosed} events" + (f", filter {dict(manifest.filter)}" if manifest.filter else "")
        )
        print(f"claimed    exported {manifest.exported_at} by {manifest.exported_by}, tenant {manifest.tenant}")
    for kind, found in (("finding", report.findings), ("gap", report.gaps)):
        for one in found:
            print(f"{kind:<10} {_line(one)}")


def _line(one: Found) -> str:
    place = f" at #{one.seq}" if one.seq is not None else ""
    return f"{one.code}{place}: {one.message}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m auditkit_django.ledger", description="Verify evidence of a log.")
    commands = parser.add_subparsers(required=True)
    verify = commands.add_parser("verify", help="verify a bundle")
    verify.add_argument("bundle", type=Path)
    verify.add_argument(
        "--key", action="append", required=True, metavar="VKEY", help="a key that you pinned; repeatable"
    )
    verify.add_argument(
        "--since", action="append", default=[], type=Path, metavar="FILE", help="a signed note that you kept"
    )
    verify.add_argument("--json", action="store_true", help="print the report as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
