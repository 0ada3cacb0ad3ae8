"""What the report in a bundle says of the log that it was made of."""

from __future__ import annotations

import io
import zipfile
from datetime import timedelta
from typing import Any

import pytest

from auditkit_django.evidence.wording import time_text
from auditkit_django.ledger.entry import parse
from auditkit_django.log.verify import verify
from tests.evidence.making import NOW, evidence, grow

pytestmark = pytest.mark.django_db


def _read(**given: Any) -> tuple[str, list[str]]:
    """The report, and the times of the entries beside it, in order."""
    with zipfile.ZipFile(io.BytesIO(evidence("bundle", **given))) as archive:
        lines = archive.read("entries.jsonl").splitlines()
        return archive.read("report.html").decode(), [parse(line).time for line in lines]


def test_a_log_that_grew_since_it_was_verified_is_not_called_verified() -> None:
    grow(8, days_ago=9)
    assert verify("acme").verdict == "VALID"
    verified, _times = _read()
    assert "Verified: unchanged and complete" in verified
    assert "</span>VALID</p>" in verified

    grow(4, days_ago=3)
    grown, _times = _read()
    assert 'class="ak-strip" data-tone="unsure"' in grown
    assert "unchanged and complete" not in grown
    assert "</span>VALID</p>" not in grown

    verify("acme")
    again, _times = _read()
    assert "Verified: unchanged and complete" in again


def test_evidence_of_entries_after_the_last_check_says_that_none_was_verified() -> None:
    grow(8, days_ago=9)
    verify("acme")
    # The entries beside the period are in its evidence too: between them and what was verified there is another.
    grow(2, days_ago=6)
    grow(4, days_ago=3)
    html, _times = _read(start=NOW - timedelta(days=4), end=NOW - timedelta(days=2))
    assert 'class="ak-strip" data-tone="quiet"' in html
    assert "was before these entries" in html


def test_the_times_of_the_first_and_the_last_event_are_theirs() -> None:
    grow(5, days_ago=9)
    grow(5, days_ago=3)
    html, times = _read()
    assert len(times) >= 10
    assert f"first {time_text(times[0])}, last {time_text(times[-1])}" in html
