"""Go's sumdb/note and sumdb/tlog take what we write, and refuse it with any bit changed; so do we."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from auditkit_django.ledger.note import format_vkey
from auditkit_django.log import keys
from auditkit_django.log.prune import prune
from auditkit_django.log.seal import seal
from auditkit_django.log.tiles_export import export_tiles, newest_checkpoint
from auditkit_django.models import Checkpoint, Log
from tests.interop.cases import Case, cases_of, is_the_same_to_a_lenient_reader, spoiled
from tests.interop.conftest import SIZES, Asked
from tests.log.attack_table import grow

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("interop")]


def test_every_checkpoint_and_every_proof_is_taken(sealed_log: str, go: Asked) -> None:
    cases = cases_of(sealed_log)
    pairs = len(SIZES) * (len(SIZES) + 1) // 2
    assert Counter(case.kind for case in cases) == {"checkpoint": len(SIZES), "inclusion": 643, "consistency": pairs}
    assert all(case.is_accepted_here() for case in cases)
    assert all(go(cases))


def test_nothing_is_taken_with_a_bit_changed(sealed_log: str, go: Asked) -> None:
    cases = cases_of(sealed_log, every=100)
    inclusions = [case for case in cases if case.kind == "inclusion"]
    consistencies = [case for case in cases if case.kind == "consistency" and case.old[0] != case.note]
    chosen = [cases[0], cases[5], *inclusions[::4], *consistencies[::3]]
    changed = [(case, one) for case in chosen for one in spoiled(case) if one != case]
    assert len(changed) > 5_000
    assert not any(one.is_accepted_here() for _case, one in changed)
    taken = [pair for pair, is_taken in zip(changed, go([one for _case, one in changed]), strict=True) if is_taken]
    # Go's base64 passes over the last unused bits of a signature; ours has one form for one meaning.
    assert all(is_the_same_to_a_lenient_reader(*pair) for pair in taken)
    assert len(taken) < len(chosen) * 4


def test_another_logs_key_and_origin_are_refused(sealed_log: str, go: Asked) -> None:
    case = cases_of(sealed_log, every=1000)[-1]
    name, _id, key = case.vkey.split("+", 2)
    others = [replace(case, origin="another"), replace(case, vkey=f"{name}+00000000+{key}")]
    assert go([case, *others]) == [True, False, False]


def _with_lines(note: bytes, count: int) -> bytes:
    """The note with ``count`` signatures of keys that nobody knows under it."""
    return note + b"".join(b"\xe2\x80\x94 other%d YWJjZHNpZ25hdHVyZQ==\n" % number for number in range(count))


#: What a parser may be asked to pass over; and whether Go does.
LENIENCES: dict[str, tuple[Callable[[bytes], bytes], bool]] = {
    "an edited body": (lambda note: note.replace(b"\n643\n", b"\n644\n"), False),
    "a size with a zero in front": (lambda note: note.replace(b"\n643\n", b"\n0643\n"), False),
    "CRLF": (lambda note: note.replace(b"\n", b"\r\n"), False),
    "a blank line more": (lambda note: note.replace(b"\n\n", b"\n\n\n"), False),
    "cut base64": (lambda note: note[:-4] + b"\n", False),
    "a space more": (lambda note: note.replace(b"\xe2\x80\x94 ", b"\xe2\x80\x94  "), False),
    "no newline at the end": (lambda note: note[:-1], False),
    "text after the signatures": (lambda note: note + b"text\n", False),
    "an extension line": (lambda note: note.replace(b"\n\n", b"\nextension\n\n"), False),
    "more than 100 signatures": (lambda note: _with_lines(note, 100), False),
    "the same signature twice": (lambda note: note + note.splitlines(keepends=True)[-1], True),
    "more than 64 signatures": (lambda note: _with_lines(note, 64), True),
}


def test_we_are_stricter(sealed_log: str, go: Asked) -> None:
    checkpoint = [case for case in cases_of(sealed_log, every=1000) if case.kind == "checkpoint"][-1]
    changed = [replace(checkpoint, note=change(checkpoint.note)) for change, _is_taken in LENIENCES.values()]
    assert all(case.note != checkpoint.note for case in changed)
    assert dict(zip(LENIENCES, go(changed), strict=True)) == {name: taken for name, (_, taken) in LENIENCES.items()}
    assert not any(case.is_accepted_here() for case in changed)
    # The format asks for sixteen.
    sixteen = replace(checkpoint, note=_with_lines(checkpoint.note, 15))
    assert go([sixteen]) == [sixteen.is_accepted_here()] == [True]


def test_the_logs_of_the_example_project_are_taken(demo_cases: Sequence[Case], go: Asked) -> None:
    assert len({case.origin for case in demo_cases}) >= 3
    assert Counter(case.kind for case in demo_cases)["inclusion"] > 500
    assert all(case.is_accepted_here() for case in demo_cases)
    assert all(go(demo_cases))
    changed = [
        one for case in demo_cases[::97] for one in spoiled(case) if (one.note, one.old) == (case.note, case.old)
    ]
    assert len(changed) > 500
    assert not any(one.is_accepted_here() for one in changed)
    assert not any(go(changed))


def tiles_of(sealed_log: str, folder: Path) -> Case:
    """The exported log, with its older checkpoints."""
    export_tiles(newest_checkpoint(sealed_log), folder)
    checkpoints = [case for case in cases_of(sealed_log, every=1000) if case.kind == "checkpoint"]
    return replace(checkpoints[-1], kind="tiles", directory=str(folder), old=tuple(case.note for case in checkpoints))


def test_every_entry_and_every_checkpoint_is_proven_from_exported_tiles(
    sealed_log: str, go: Asked, tmp_path: Path
) -> None:
    # First up to an older checkpoint, then to the newest: a folder that has grown.
    older = Checkpoint.objects.get(tenant=sealed_log, size=300)
    export_tiles(older, tmp_path / "tiles")
    case = tiles_of(sealed_log, tmp_path / "tiles")
    assert go([case]) == [True]


def test_what_is_left_of_a_pruned_log_is_proven_from_exported_tiles(
    sealed_log: str, go: Asked, tmp_path: Path, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "RETENTION": {"*": 30}}
    clock = lambda: timezone.now() + timedelta(days=60)  # noqa: E731
    assert prune(sealed_log, may_be_unpublished=True, clock=clock).first_seq == 512
    grow(400, sealed_log)
    assert seal(sealed_log) is not None
    export_tiles(newest_checkpoint(sealed_log), tmp_path / "tiles")
    [older, newest] = [
        replace(_checkpoint_case(row), kind="tiles", directory=str(tmp_path / "tiles"), first=512)
        for row in Checkpoint.objects.filter(tenant=sealed_log, size__gt=512).order_by("size")
    ]
    assert go([replace(newest, old=(older.note, newest.note)), replace(newest, first=256)]) == [True, False]


def _checkpoint_case(row: Checkpoint) -> Case:
    log, signer = Log.objects.get(tenant=row.tenant), keys.signer()
    assert signer is not None
    vkey = format_vkey(signer.verifier_key(log.origin, 0))
    return Case(kind="checkpoint", note=row.note.encode(), vkey=vkey, origin=log.origin)


def test_a_tile_with_a_bit_changed_is_refused(sealed_log: str, go: Asked, tmp_path: Path) -> None:
    case = tiles_of(sealed_log, tmp_path / "tiles")
    files = sorted(path for path in (tmp_path / "tiles").rglob("*") if path.is_file())
    # The checkpoint; of each level, and of the entries, every tile.
    assert len(files) == 1 + 3 + 1 + 3
    verdicts, sizes = [], []
    for path in files:
        data = path.read_bytes()
        for at in range(0, len(data), max(1, len(data) // 15)):
            path.write_bytes(data[:at] + bytes([data[at] ^ 1 << at % 8]) + data[at + 1 :])
            verdicts += go([case])
            sizes.append(at)
        path.unlink()
        verdicts += go([case])
        path.write_bytes(data)
    assert len(sizes) > 100
    assert not any(verdicts)
    assert go([case]) == [True]
