"""``manage.py auditkit_export --format tiles``: files that agree with what was signed, whatever happens on the way."""

from __future__ import annotations

import shutil
import tracemalloc
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from auditkit_django.exceptions import SealError, UnknownTenantError
from auditkit_django.ledger.checkpoint import Checkpoint as Sealed
from auditkit_django.ledger.checkpoint import format_checkpoint
from auditkit_django.ledger.note import sign, signed
from auditkit_django.log import tiles_export
from auditkit_django.log.prune import prune
from auditkit_django.log.seal import seal
from auditkit_django.log.tiles_export import TilesExport, export_tiles, newest_checkpoint
from auditkit_django.models import Checkpoint, Entry, Event, Log, Tile
from auditkit_django.testing import guards_lifted
from tests.log.attack_table import SIGNER, STRANGER, TENANT, grow
from tests.log.attacker import delete, entry_at, execute, update
from tests.log.synthetic import grow_log
from tests.log.tiles_reader import Directory

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def signing(tmp_path: Path, settings: SettingsWrapper) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": SIGNER, "SEAL_GUARD_DIR": str(tmp_path / "signed")}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tiles"


def sealed_at(size: int, tenant: str = TENANT) -> Checkpoint:
    """The log of ``tenant`` with ``size`` entries, sealed."""
    log = Log.objects.filter(tenant=tenant).first()
    grow(size - (log.size if log is not None else 1), tenant)
    row = seal(tenant)
    assert row is not None
    assert row.size == size
    return row


def export(folder: Path) -> TilesExport:
    return export_tiles(newest_checkpoint(TENANT), folder)


@pytest.mark.parametrize("size", [2, 255, 256, 257, 600])
def test_the_files_agree_with_the_checkpoint_and_with_the_database(size: int, folder: Path) -> None:
    row = sealed_at(size)
    assert export(folder) == TilesExport(origin=row_origin(), size=size, added=size, first_seq=0)
    directory = Directory(folder)
    assert directory.check() == size
    assert (folder / "checkpoint").read_text() == row.note
    bodies = Entry.objects.filter(tenant=TENANT).order_by("seq").values_list("body", flat=True)
    assert list(directory.entries()) == [bytes(body) for body in bodies]
    assert not list(folder.rglob("*.new"))


def row_origin() -> str:
    return Log.objects.get(tenant=TENANT).origin


def test_a_folder_grows_with_its_log_and_what_is_full_is_never_touched_again(folder: Path, tmp_path: Path) -> None:
    before: dict[str, tuple[int, bytes]] = {}
    done = 0
    for size in (2, 3, 255, 256, 258, 511, 513, 900):
        sealed_at(size)
        assert export(folder) == TilesExport(origin=row_origin(), size=size, added=size - done, first_seq=done)
        assert Directory(folder).check() == size
        after = Directory(folder).files()
        for path, found in before.items():
            if path == "checkpoint":
                assert after[path] != found
            elif ".p/" in path:
                # A partial tile stays, for readers of its checkpoint, until the full one is there.
                full = path.partition(".p/")[0]
                assert after.get(path) == (None if full in after else found), path
            else:
                assert after[path] == found
        fresh = tmp_path / f"fresh-{size}"
        export(fresh)
        whole = {path: data for path, (_inode, data) in Directory(fresh).files().items()}
        assert whole.items() <= {path: data for path, (_inode, data) in after.items()}.items()
        before, done = after, size
    again = export(folder)
    assert (again.size, again.added) == (900, 0)
    files = Directory(folder).files()
    assert {path for path in files if files[path] != before[path]} <= {"checkpoint"}


def test_tiles_of_three_levels_in_memory_that_does_not_grow(folder: Path) -> None:
    sealed_at(2)
    grow_log(TENANT, 65_536 - 2 - 300)
    seal(TENANT)
    export(folder)
    grow_log(TENANT, 300 + 700)
    row = seal(TENANT)
    assert row is not None
    tracemalloc.start()
    try:
        assert export(folder).added == 1000
        fresh = folder.with_name("fresh")
        export(fresh)
        _now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    entries = sum(len(entry) for entry in Directory(fresh).entries())
    assert entries > 20_000_000
    assert peak < entries / 3
    for each in (folder, fresh):
        assert Directory(each).check() == row.size == 66_236
    assert (fresh / "tile/2/000.p/1").is_file()
    assert (fresh / "tile/1/000").is_file()
    assert (fresh / "tile/1/001.p/2").is_file()


@pytest.mark.parametrize("start", [0, 300])
def test_a_run_that_is_cut_short_leaves_what_the_checkpoint_says_and_the_next_completes_it(
    start: int, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    if start:
        sealed_at(start)
        export(folder)
    sealed_at(600)
    write, written = tiles_export._write, 0
    for last in range(50):
        copy, left = folder.with_name(f"copy-{last}"), [last]
        shutil.copytree(folder, copy)

        def dying(path: Path, data: bytes, left: list[int] = left) -> None:
            if not left[0]:
                path.with_name(f"{path.name}.new").write_bytes(data[:7])
                raise KeyboardInterrupt
            left[0] -= 1
            write(path, data)

        with monkeypatch.context() as patch:
            patch.setattr(tiles_export, "_write", dying)
            try:
                export(copy)
            except KeyboardInterrupt:
                # Whoever reads in between sees what the checkpoint is for.
                assert (copy / "checkpoint").exists() is bool(start)
                assert not start or Directory(copy).said()[1] == start
            else:
                written = last
                break
        export(copy)
        assert Directory(copy).check() == 600
        assert not list(copy.rglob("*.new"))
    # Tiles and entries of each 256, the level above, the checkpoint; from 300 on the first 256 are there.
    assert written == (6 if start else 8)


def test_a_reader_of_the_old_checkpoint_is_served_until_the_new_one_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed_at(300)
    export(folder)
    sealed_at(600)
    write, seen = tiles_export._write, []

    def watched(path: Path, data: bytes) -> None:
        seen.append(Directory(folder).check())
        write(path, data)

    monkeypatch.setattr(tiles_export, "_write", watched)
    export(folder)
    assert set(seen) == {300}
    assert Directory(folder).check() == 600


_ALTERED = {
    "an entry": lambda: update(Entry, {"tenant": TENANT, "seq": 400}, body=b"another"),
    "an entry that the folder has": lambda: update(Entry, {"tenant": TENANT, "seq": 280}, body=b"another"),
    "a leaf hash": lambda: update(Entry, {"tenant": TENANT, "seq": 400}, leaf_hash=b"h" * 32),
    "a short leaf hash": lambda: update(Entry, {"tenant": TENANT, "seq": 400}, leaf_hash=b"h"),
    "a leaf hash that the folder has": lambda: update(Entry, {"tenant": TENANT, "seq": 280}, leaf_hash=b"h" * 32),
    "an entry deleted": lambda: delete(Entry, {"tenant": TENANT, "seq": 400}),
    "the last entry deleted": lambda: delete(Entry, {"tenant": TENANT, "seq": 599}),
    "a tile": lambda: update(Tile, {"tenant": TENANT, "number": 0}, hash=b"h" * 32),
    "a short tile": lambda: update(Tile, {"tenant": TENANT, "number": 0}, hash=b"h"),
    "a tile deleted": lambda: delete(Tile, {"tenant": TENANT, "number": 0}),
    "the checkpoint's note": lambda: update(Checkpoint, {"tenant": TENANT, "size": 600}, note="x"),
    "the checkpoint's size": lambda: update(Checkpoint, {"tenant": TENANT, "size": 600}, size=601),
    "the checkpoint signed by a stranger": lambda: _sign_anew(STRANGER, 600),
    "the newest checkpoint dropped": lambda: delete(Checkpoint, {"tenant": TENANT, "size": 600}),
}


def _sign_anew(signer: Any, size: int, root: bytes | None = None) -> str:
    row = Checkpoint.objects.get(tenant=TENANT, size=size)
    text = format_checkpoint(Sealed(origin=row_origin(), size=size, root=root or bytes(row.root)))
    key = signer.verifier_key(row_origin(), 0)
    note = signed(text, [sign(text, key=key, signer=lambda message: signer.sign(row_origin(), 0, message))])
    update(Checkpoint, {"tenant": TENANT, "size": size}, note=note)
    return note


@pytest.mark.parametrize("name", _ALTERED)
def test_a_log_that_is_not_what_was_signed_is_not_exported(name: str, folder: Path) -> None:
    sealed_at(300)
    export(folder)
    sealed_at(600)
    if name == "the newest checkpoint dropped":
        export(folder)
    before = Directory(folder).files()
    with guards_lifted():
        _ALTERED[name]()
    with pytest.raises(SealError, match="tiles: |proof: "):
        export(folder)
    after = Directory(folder).files()
    assert after["checkpoint"] == before["checkpoint"]
    # An entry that does not hash to its leaf is met after files before it were written, which are right.
    assert name == "an entry" or after == before
    assert Directory(folder).check() == (600 if name == "the newest checkpoint dropped" else 300)


def test_a_folder_of_another_history_is_refused(folder: Path) -> None:
    sealed_at(300)
    export(folder)
    with guards_lifted():
        note = _sign_anew(SIGNER, 300, root=b"r" * 32)
    (folder / "checkpoint").write_text(note)
    before = Directory(folder).files()
    for size in (300, 600):
        if size == 600:
            with guards_lifted():
                _sign_anew(SIGNER, 300)
            sealed_at(600)
        with pytest.raises(SealError, match="another"):
            export(folder)
        assert Directory(folder).files() == before


@pytest.mark.parametrize("spoil", [lambda note: note[:-1], lambda note: "", lambda note: note.replace("300", "301")])
def test_a_folder_whose_checkpoint_was_altered_is_refused(spoil: Any, folder: Path) -> None:
    sealed_at(300)
    export(folder)
    (folder / "checkpoint").write_text(spoil((folder / "checkpoint").read_text()))
    before = Directory(folder).files()
    with pytest.raises(SealError, match="the checkpoint is none of this log"):
        export(folder)
    assert Directory(folder).files() == before


def test_without_a_key_the_files_are_written_and_hold_the_note_for_whoever_has_one(
    folder: Path, settings: SettingsWrapper
) -> None:
    sealed_at(300)
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": None}
    export(folder)
    assert Directory(folder).check() == 300
    execute("UPDATE auditkit_django_log SET origin = 'another' WHERE tenant = %s", [TENANT])
    with pytest.raises(SealError, match="wanted one of 'another'"):
        export(folder)


def test_a_log_whose_beginning_was_pruned_is_exported_from_where_it_begins(
    folder: Path, settings: SettingsWrapper
) -> None:
    settings.AUDITKIT = {**settings.AUDITKIT, "RETENTION": {"*": 30}}
    sealed_at(300)
    export(folder)
    short = folder.with_name("short")
    shutil.copytree(folder, short)
    sealed_at(600)
    export(folder)
    assert prune(TENANT, may_be_unpublished=True, clock=_in_two_months).first_seq == 512
    with guards_lifted():
        newest = sealed_at(900)
    # What was exported before stays, and goes on.
    assert export(folder) == TilesExport(origin=row_origin(), size=900, added=300, first_seq=600)
    assert Directory(folder).check() == newest.size
    fresh = folder.with_name("fresh")
    assert export(fresh) == TilesExport(origin=row_origin(), size=900, added=388, first_seq=512)
    assert Directory(fresh, first=512).check() == 900
    assert sorted(path.name for path in (fresh / "tile/0").iterdir()) == ["002", "003.p"]
    before = Directory(short).files()
    with pytest.raises(SealError, match="has 300 entries, the log begins at seq 512"):
        export(short)
    assert Directory(short).files() == before
    for first in (100, -256):
        execute("UPDATE auditkit_django_log SET first_seq = %s WHERE tenant = %s", [first, TENANT])
        with pytest.raises(SealError, match=f"begins at seq {first}"):
            export(folder.with_name("another"))
    # As if less had been pruned: what is missing is missed.
    execute("UPDATE auditkit_django_log SET first_seq = 0 WHERE tenant = %s", [TENANT])
    with pytest.raises(SealError, match="the entry at seq 0 of tenant 'acme' is missing"):
        export(folder.with_name("another"))


def _in_two_months() -> datetime:
    return timezone.now() + timedelta(days=60)


def test_the_command_exports_and_records_that_it_did(folder: Path) -> None:
    sealed_at(300)
    out = StringIO()
    call_command("auditkit_export", str(folder), tenant=TENANT, format="tiles", stdout=out)
    assert out.getvalue() == f"{row_origin()}: 300 entries, 300 new, from seq 0 on\n"
    assert Directory(folder).check() == 300
    [event] = Event.objects.filter(tenant=TENANT, action="audit.log.exported")
    assert event.disclosed()["metadata"] == {"format": "tiles", "count": 300}


def test_the_command_says_why_it_cannot(folder: Path) -> None:
    with pytest.raises(CommandError, match="got 'nobody', wanted one with a log"):
        call_command("auditkit_export", str(folder), tenant="nobody", format="tiles")
    with pytest.raises(UnknownTenantError):
        newest_checkpoint("nobody")
    grow(3)
    with pytest.raises(CommandError, match="has no checkpoint"):
        call_command("auditkit_export", str(folder), tenant=TENANT, format="tiles")
    # Nothing is recorded of what never began: a mistyped tenant has no log afterwards.
    assert not Event.objects.filter(action="audit.log.exported").exists()
    assert not folder.exists()
    seal(TENANT)
    folder.write_text("a file")
    with pytest.raises(CommandError, match="exists"):
        call_command("auditkit_export", str(folder), tenant=TENANT, format="tiles")
    assert entry_at(TENANT, 0).seq == 0
