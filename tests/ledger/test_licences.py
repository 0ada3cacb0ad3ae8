"""Licences: what a log says may be missing, and what it does not say."""

from __future__ import annotations

from typing import Any

import pytest

from auditkit_django.ledger.licences import ERASED, PURGED, Licences, Purge, format_ranges, parse_ranges


def _of(*said: tuple[str, dict[str, Any], int], epoch: int = 0) -> Licences:
    found = Licences()
    for action, metadata, seq in said:
        found.take(metadata, action=action, epoch=epoch, seq=seq)
    return found


def test_an_erasure_covers_the_fields_and_seqs_that_it_names() -> None:
    parts = [
        {"epoch": 0, "fields": ["actor", "context"], "seqs": "3-5,9"},
        {"epoch": 0, "fields": ["actor"], "seqs": "7"},
        {"epoch": 1, "fields": ["actor"], "seqs": "1"},
    ]
    found = _of((ERASED, {"erased": parts}, 20))
    assert [seq for seq in range(20) if found.is_erased(seq, "actor")] == [3, 4, 5, 7, 9]
    assert [seq for seq in range(20) if found.is_erased(seq, "context")] == [3, 4, 5, 9]
    assert not found.is_erased(3, "metadata")
    assert (found.erased_events(0), found.erased_events(5)) == (5, 3)
    assert not found.purges


@pytest.mark.parametrize(
    "part",
    [
        {"epoch": 0, "fields": ["actor"], "seqs": "3-20"},
        {"epoch": 0, "fields": ["actor"], "seqs": "5-3"},
        {"epoch": 0, "fields": ["actor"], "seqs": "-1"},
        {"epoch": 0, "fields": ["actor"], "seqs": "3,,4"},
        {"epoch": 0, "fields": ["actor"], "seqs": "3,"},
        {"epoch": 0, "fields": ["actor"], "seqs": ""},
        {"epoch": 0, "fields": ["actor"], "seqs": "\u0663"},
        {"epoch": 0, "fields": "actor", "seqs": "3"},
        {"epoch": "0", "fields": ["actor"], "seqs": "3"},
        {"fields": ["actor"], "seqs": "3"},
        {"epoch": 0, "seqs": "3"},
        {"epoch": 0, "fields": ["actor"], "seqs": 3},
        [0, "actor", "3"],
        None,
    ],
)
def test_an_erasure_that_cannot_be_read_or_speaks_of_what_comes_after_is_none(part: Any) -> None:
    found = _of((ERASED, {"erased": [part]}, 20), (PURGED, {"erased": [part]}, 20))
    assert not any(found.is_erased(seq, "actor") for seq in range(30))


def test_a_purge_of_a_kind_covers_its_events_below_the_cut_and_nothing_that_the_log_says_of_itself() -> None:
    found = _of((PURGED, {"epoch": 0, "until": 10, "kind": "*", "except": ["auth", "data.exported"]}, 20))
    assert found.is_purged(9, "org", "org.updated")
    assert not found.is_purged(10, "org", "org.updated")
    assert not found.is_purged(9, "auth", "auth.login.succeeded")
    assert not found.is_purged(9, "data", "data.exported")
    assert not found.is_purged(9, "audit", "audit.log.opened")
    assert found.start() == 0
    found = _of((PURGED, {"epoch": 0, "until": 10, "kind": "data.record.viewed"}, 20))
    assert found.is_purged(3, "data", "data.record.viewed")
    assert not found.is_purged(3, "data", "data.record.updated")


def test_a_purge_of_everything_says_where_the_log_may_begin() -> None:
    found = _of(
        (PURGED, {"epoch": 0, "until": 256, "kind": None}, 300), (PURGED, {"epoch": 0, "until": 512, "kind": None}, 900)
    )
    assert found.start() == 512
    assert found.is_purged(511, "audit", "audit.log.opened")
    [one] = found.purges
    assert Purge(until=256, kind=None).is_within(one)
    assert not Purge(until=513, kind=None).is_within(one)


@pytest.mark.parametrize(
    "said",
    [
        {"epoch": 0, "until": 10},
        {"epoch": 0, "until": 21, "kind": None},
        {"epoch": 0, "until": 0, "kind": None},
        {"epoch": 0, "until": True, "kind": None},
        {"epoch": 0, "until": "10", "kind": None},
        {"epoch": 0, "until": 10, "kind": 7},
        {"epoch": 0, "until": 10, "kind": "*", "except": "auth"},
        {"epoch": 1, "until": 10, "kind": None},
        {"until": 10, "kind": None},
        {},
    ],
)
def test_a_purge_that_cannot_be_read_or_speaks_of_what_comes_after_is_none(said: dict[str, Any]) -> None:
    found = _of((PURGED, said, 20), (ERASED, said, 20))
    assert not found.purges
    assert found.start() == 0


def test_runs_are_written_and_read() -> None:
    seqs = [0, 1, 2, 5, 7, 8, 2**52]
    assert ",".join(format_ranges(seqs)) == f"0-2,5,7-8,{2**52}"
    assert parse_ranges("0-2,5,7-8") == [(0, 2), (5, 5), (7, 8)]
