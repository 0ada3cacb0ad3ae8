"""
A second opinion: ``verify.mjs``, in another language and from the format pages alone, agrees on every good and bad file.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from auditkit_django import auditlog
from auditkit_django.ledger.note import format_vkey, parse_vkey
from auditkit_django.log.prune import prune
from auditkit_django.log.rotate import rotate
from auditkit_django.log.seal import seal
from auditkit_django.models import Checkpoint
from auditkit_django.query.filters import EventFilter
from tests.evidence.making import NOW, STRANGER, check, evidence, grow, key
from tests.evidence.test_bundle import EDITS as OF_BUNDLES
from tests.evidence.test_bundle import edited as edited_bundle
from tests.evidence.test_formats import EDITS, FORMATS, TEXTS, edited, joined, parts
from tests.support.injections import INJECTIONS

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.django_db, pytest.mark.processes]

SCRIPT = Path(__file__).with_name("verify.mjs")
GOLDEN = Path(__file__).with_name("golden")
SUFFIXES = {"bundle": "bundle.zip", "csv": "csv", "json": "json", "jsonl": "jsonl"}
#: A file that was cut off by an edit may be called cut or wrong: it is not valid.
REFUSED = ("INVALID", "INCOMPLETE")


class Opinion:
    """Asks the other verifier about many files at once."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._asked: list[dict[str, Any]] = []

    def ask(self, data: bytes, keys: list[Any] | None = None, since: tuple[str, ...] = ()) -> None:
        path = self._folder / f"{len(self._asked)}.evidence"
        path.write_bytes(data)
        lines = [format_vkey(one) for one in (keys or [key()])]
        self._asked.append({"file": str(path), "keys": lines, "since": since})

    def verdicts(self) -> list[str]:
        node = shutil.which("node")
        if not node:
            (pytest.fail if os.environ.get("AUDITKIT_REQUIRE_NODE") else pytest.skip)(
                "Node.js is absent: apt-get install nodejs"
            )
        asked = "".join(json.dumps(one) + "\n" for one in self._asked)
        done = subprocess.run(
            [node, SCRIPT, "--many"], input=asked, capture_output=True, text=True, check=True, timeout=300
        )
        found = [json.loads(line)["verdict"] for line in done.stdout.splitlines()]
        assert len(found) == len(self._asked), done.stderr
        return found


@pytest.fixture
def other(tmp_path: Path) -> Opinion:
    return Opinion(tmp_path)


def assert_refused_by_both(other: Opinion, changed: list[bytes]) -> None:
    for data in changed:
        other.ask(data)
    keys = [key()]
    for at, (data, verdict) in enumerate(zip(changed, other.verdicts(), strict=True)):
        assert verdict in REFUSED, at
        assert check(data, keys=keys).verdict in REFUSED, at


@pytest.mark.parametrize("version", [folder.name for folder in sorted(GOLDEN.iterdir())])
def test_golden_files(other: Opinion, version: str) -> None:
    folder, wanted = GOLDEN / version, []
    keys = [parse_vkey(line) for line in (folder / "vkey").read_text().splitlines()]
    for case, expected in json.loads((folder / "expected.json").read_text()).items():
        for suffix in SUFFIXES.values():
            since = tuple((folder / name).read_text() for name in expected["since"])
            other.ask((folder / f"{case}.{suffix}").read_bytes(), keys, since)
            wanted.append(expected["verdict"])
    assert other.verdicts() == wanted


@pytest.mark.parametrize("form", FORMATS)
def test_good_files(other: Opinion, form: str, settings: SettingsWrapper) -> None:
    wanted = []

    def ask(data: bytes, verdict: str, **given: Any) -> None:
        assert check(data, **given).verdict == verdict
        other.ask(data, given.get("keys"), tuple(given.get("since", ())))
        wanted.append(verdict)

    for name, text in INJECTIONS.items():
        actor = auditlog.Actor("user", "1", text, text)
        auditlog.event(
            "member.invited", tenant="acme", actor=actor, metadata={name: text, "n": [1.5, 2**70, True, None]}
        )
    for days in (60, 30, 20, 10, 0):
        grow(60, days_ago=days)
    kept = Checkpoint.objects.earliest("size").note
    ask(evidence(form), "VALID")
    ask(evidence(form, start=NOW - timedelta(days=25), end=NOW - timedelta(days=5)), "VALID")
    ask(evidence(form, start=NOW + timedelta(days=1)), "VALID")
    ask(evidence(form, chosen=EventFilter(actor="user:3")), "VALID_WITH_GAPS")
    ask(evidence(form, chosen=EventFilter(outcome="denied"), start=NOW - timedelta(days=25)), "VALID_WITH_GAPS")
    ask(evidence(form, withheld=("actor", "context")), "VALID_WITH_GAPS")
    ask(evidence(form, since=(kept,)), "VALID", since=[kept])
    ask(evidence(form), "VALID_WITH_GAPS", since=[kept])
    old = key()
    rotate("acme")
    grow(3)
    for keys in ([old], [key(generation=1)]):
        ask(evidence(form), "VALID", keys=keys)
    ask(evidence(form), "INVALID", keys=[STRANGER.verifier_key(old.name, 0)])
    settings.AUDITKIT = {**settings.AUDITKIT, "RETENTION": {"*": 40, "member": 15}}
    auditlog.erase("acme", subject="user:2", reason="request")
    prune("acme", may_be_unpublished=True, clock=lambda: NOW)
    seal("acme")
    ask(evidence(form), "VALID_WITH_GAPS", keys=[old])
    assert other.verdicts() == wanted


@pytest.mark.parametrize("form", TEXTS)
def test_changed_bytes(other: Opinion, form: str) -> None:
    grow(200)
    data, chosen, changed = evidence(form), random.Random(21), []
    for _ in range(150):
        at = chosen.randrange(len(data))
        changed.append(data[:at] + bytes([data[at] ^ (1 << chosen.randrange(8))]) + data[at + 1 :])
        changed.append(data[:at] + data[at + 1 :])
        changed.append(data[:at])
    assert_refused_by_both(other, changed)


@pytest.mark.parametrize("form", TEXTS)
def test_events_dropped_doubled_and_moved(other: Opinion, form: str) -> None:
    grow(40)
    before, *events, after = parts(form, evidence(form))
    changed = []
    for at in (0, 1, 20, len(events) - 1):
        changed.append(joined(form, before, [*events[:at], *events[at + 1 :]], after))
        changed.append(joined(form, before, [*events[: at + 1], *events[at:]], after))
    changed.append(joined(form, before, [*events[:7], events[8], events[7], *events[9:]], after))
    assert_refused_by_both(other, changed)


def test_bundles_with_files_changed(other: Opinion) -> None:
    for days in (30, 20, 10):
        grow(12, days_ago=days)
    data = evidence("bundle", start=NOW - timedelta(days=25), end=NOW - timedelta(days=15))
    changed = [edited_bundle(data, {name: change}) for _what, name, change, _wanted in OF_BUNDLES]
    changed += [data[:length] for length in (2, 100, len(data) // 2, len(data) - 1)]
    chosen = random.Random(5)
    for name in ("entries.jsonl", "disclosures.jsonl", "range.proof"):
        for _ in range(40):
            share, bit = chosen.random(), 1 << chosen.randrange(8)

            def flip(content: bytes, share: float = share, bit: int = bit) -> bytes:
                at = int(share * len(content))
                return content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :]

            changed.append(edited_bundle(data, {name: flip}))
    assert_refused_by_both(other, changed)


def test_documents_edited_so_that_the_digest_fits(other: Opinion) -> None:
    grow(20)
    data = evidence("jsonl")
    edits: list[Callable[[list[Any]], object]] = [change for _what, change, _wanted in EDITS]
    changed = [edited(data, change) for change in edits]
    for one in changed:
        other.ask(one)
    for (what, _change, _wanted), one, verdict in zip(EDITS, changed, other.verdicts(), strict=True):
        mine = check(one).verdict
        assert mine == verdict or {mine, verdict} <= set(REFUSED), what
