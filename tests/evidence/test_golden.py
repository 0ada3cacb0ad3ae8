"""
Evidence of each version of the format that was ever exported: it must verify for ever.

``tests/evidence/golden/<version>`` has files of every form, the keys and notes to verify them with, and in ``expected.json`` what
is to be found. They are never made again: a format that changes gets a number, and a folder, of its own. (Made by
``AUDITKIT_MAKE_GOLDEN=<version> python -m pytest tests/evidence/test_golden.py``, where there is no such folder yet.)
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditkit_django import auditlog
from auditkit_django.ledger.evidence.check import verify_evidence
from auditkit_django.ledger.evidence.form import VERSION
from auditkit_django.ledger.note import format_vkey, parse_vkey
from auditkit_django.log.prune import prune
from auditkit_django.log.rotate import rotate
from auditkit_django.log.seal import seal
from auditkit_django.models import Checkpoint
from auditkit_django.query.filters import EventFilter
from tests.evidence.making import NOW, check, codes, evidence, grow, key

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

GOLDEN = Path(__file__).parent / "golden"
SUFFIXES = {"bundle": "bundle.zip", "csv": "csv", "json": "json", "jsonl": "jsonl"}
CASES = [
    (folder.name, case)
    for folder in sorted(GOLDEN.iterdir() if GOLDEN.is_dir() else ())
    for case in sorted(json.loads((folder / "expected.json").read_text()))
]


@pytest.mark.parametrize(("version", "case"), CASES, ids=["-".join(one) for one in CASES])
def test_what_was_exported_once_verifies_for_ever(version: str, case: str) -> None:
    folder = GOLDEN / version
    expected = json.loads((folder / "expected.json").read_text())[case]
    keys = [parse_vkey(line) for line in (folder / "vkey").read_text().splitlines()]
    since = [(folder / name).read_text() for name in expected["since"]]
    for suffix in SUFFIXES.values():
        with (folder / f"{case}.{suffix}").open("rb") as file:
            report = verify_evidence(file, keys, since=since)
        assert report.verdict == expected["verdict"], (suffix, report.findings)
        assert sorted(codes(report)) == expected["codes"]
        assert report.totals is not None
        assert report.totals.as_json() == expected["totals"]


def test_the_version_that_is_written_now_has_golden_files() -> None:
    assert VERSION.rpartition("/")[2] in {version for version, _case in CASES}


def _plain() -> dict[str, Any]:
    actor = auditlog.Actor("user", "7", "Ünal =1+1;-2\r\n@x", "a@example.org")
    auditlog.event("member.role.changed", tenant="acme", actor=actor, changes={"role": ("member", "admin")})
    grow(12)
    return {}


def _window() -> dict[str, Any]:
    for days in (30, 20, 10):
        grow(6, days_ago=days)
    return {"start": NOW - timedelta(days=25), "end": NOW - timedelta(days=15)}


def _filtered() -> dict[str, Any]:
    grow(16)
    return {"chosen": EventFilter(actor="user:3"), "withheld": ("metadata",)}


def _erased() -> dict[str, Any]:
    grow(270, days_ago=60)
    grow(6, days_ago=20)
    auditlog.erase("acme", subject="user:2", reason="request")
    prune("acme", may_be_unpublished=True, clock=lambda: NOW)
    seal("acme")
    return {}


def _rotated() -> dict[str, Any]:
    grow(5)
    kept = Checkpoint.objects.get().note
    rotate("acme")
    grow(5)
    return {"since": (kept,)}


MAKERS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": _plain,
    "window": _window,
    "filtered": _filtered,
    "erased": _erased,
    "rotated": _rotated,
}


@pytest.mark.skipif("AUDITKIT_MAKE_GOLDEN" not in os.environ, reason="golden files are made once for each version")
@pytest.mark.django_db
@pytest.mark.parametrize("case", MAKERS)
def test_make_golden_files(case: str, settings: SettingsWrapper) -> None:
    folder = GOLDEN / os.environ["AUDITKIT_MAKE_GOLDEN"]
    folder.mkdir(parents=True, exist_ok=True)
    settings.AUDITKIT = {**settings.AUDITKIT, "RETENTION": {"*": 30}}
    given = MAKERS[case]()
    expected_path, key_path = folder / "expected.json", folder / "vkey"
    expected = json.loads(expected_path.read_text()) if expected_path.exists() else {}
    assert case not in expected, "golden files are made once"
    keys = key_path.read_text().splitlines() if key_path.exists() else []
    key_path.write_text("".join(f"{line}\n" for line in [*keys, format_vkey(key())]))
    notes = []
    for number, note in enumerate(given.get("since", ())):
        notes.append(f"{case}.{number}.note")
        (folder / notes[-1]).write_text(note)
    for form, suffix in SUFFIXES.items():
        data = evidence(form, **given)
        report = check(data, since=given.get("since", ()))
        assert report.findings == ()
        (folder / f"{case}.{suffix}").write_bytes(data)
    assert report.totals is not None
    expected[case] = {
        "verdict": report.verdict,
        "codes": sorted(codes(report)),
        "since": notes,
        "totals": report.totals.as_json(),
    }
    expected_path.write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
