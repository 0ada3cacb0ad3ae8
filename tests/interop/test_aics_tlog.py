"""A second opinion, never the only one: ``aics-tlog`` takes what we write, and refuses it with any bit changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from auditkit_django.log.tiles_export import export_tiles, newest_checkpoint
from tests.interop.cases import Case, cases_of, spoiled
from tests.interop.conftest import Asked

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("interop")]


def test_checkpoints_and_proofs_are_taken(sealed_log: str, aics_tlog: Asked) -> None:
    cases = cases_of(sealed_log, every=20)
    assert {case.kind for case in cases} == {"checkpoint", "inclusion", "consistency"}
    assert all(case.is_accepted_here() for case in cases)
    assert all(aics_tlog(cases))


def test_nothing_is_taken_with_a_bit_changed(sealed_log: str, aics_tlog: Asked) -> None:
    cases = cases_of(sealed_log, every=1000)
    inclusion = next(case for case in cases if case.kind == "inclusion" and case.index == 256)
    consistency = next(case for case in reversed(cases) if case.kind == "consistency" and case.old[0] != case.note)
    changed = [one for case in (cases[0], inclusion, consistency) for one in spoiled(case) if one != case]
    assert len(changed) > 1_000
    assert not any(one.is_accepted_here() for one in changed)
    assert not any(aics_tlog(changed))


def test_the_logs_of_the_example_project_are_taken(demo_cases: Sequence[Case], aics_tlog: Asked) -> None:
    chosen = [case for number, case in enumerate(demo_cases) if case.kind != "inclusion" or number % 20 == 0]
    assert all(aics_tlog(chosen))


def test_entries_are_proven_from_exported_tiles(sealed_log: str, aics_tlog: Asked, tmp_path: Path) -> None:
    folder = tmp_path / "tiles"
    export_tiles(newest_checkpoint(sealed_log), folder)
    found = cases_of(sealed_log, every=100)
    notes = tuple(case.note for case in found if case.kind == "checkpoint")[:-1]
    cases = [
        replace(case, kind="tiles", directory=str(folder), old=notes) for case in found if case.kind == "inclusion"
    ]
    assert all(aics_tlog(cases))
    other = [replace(case, entry=case.entry[:-1] + b"~") for case in cases]
    assert not any(aics_tlog(other))
    tile = folder / "tile/0/001"
    data = bytearray(tile.read_bytes())
    data[100] ^= 1
    tile.write_bytes(data)
    assert not any(aics_tlog([case for case in cases if 256 <= case.index < 512]))
