"""The directory that only grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from auditkit_django.models import Log, Publication
from tests.publishing.conftest import run, sealed

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(tmp_path: Path, use: Callable[..., None]) -> Path:
    """Where the notes go."""
    path = tmp_path / "notes"
    use(archive={"BACKEND": "auditkit_django.publishing.directory.DirectoryPublisher", "OPTIONS": {"folder": path}})
    return path


def test_every_checkpoint_of_every_log_is_a_file(folder: Path) -> None:
    folder.mkdir()
    checkpoints = [sealed(), sealed(), sealed("globex")]
    run("archive")
    ids = {log.tenant: str(log.id) for log in Log.objects.all()}
    for one in checkpoints:
        assert (folder / ids[one.tenant] / f"{one.size}.note").read_text() == one.note
    assert sum(path.is_file() for path in folder.rglob("*")) == 3
    assert {row.receipt for row in Publication.objects.all()} == {
        f"{ids[one.tenant]}/{one.size}.note" for one in checkpoints
    }


def test_the_same_note_in_place_is_published_and_its_beginning_is_completed(folder: Path) -> None:
    first, second = sealed(), sealed()
    place = folder / str(Log.objects.get().id)
    place.mkdir(parents=True)
    (place / f"{first.size}.note").write_text(first.note)
    (place / f"{second.size}.note").write_bytes(second.note.encode()[:70])
    assert [one.state for one in run("archive")] == ["published"]
    assert (place / f"{second.size}.note").read_text() == second.note


@pytest.mark.parametrize("text", ["another history\n", "{note}x", "{forged}"])
def test_a_different_note_in_place_is_never_overwritten_and_said_loudly(
    folder: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = sealed()
    path = folder / str(Log.objects.get().id) / f"{checkpoint.size}.note"
    path.parent.mkdir(parents=True)
    standing = text.format(note=checkpoint.note, forged=checkpoint.note.replace("\n4\n", "\n5\n"))
    path.write_text(standing)
    [outcome] = run("archive")
    assert outcome.state == "failed"
    assert "holds another note" in outcome.error
    assert path.read_text() == standing
    assert "CRITICAL" in caplog.text


def test_a_link_in_place_is_not_followed(folder: Path, tmp_path: Path) -> None:
    checkpoint = sealed()
    path = folder / str(Log.objects.get().id) / f"{checkpoint.size}.note"
    path.parent.mkdir(parents=True)
    path.symlink_to(tmp_path / "elsewhere")
    [outcome] = run("archive")
    assert outcome.state == "failed"
    assert not (tmp_path / "elsewhere").exists()


def test_a_folder_that_cannot_be_written_is_tried_again(folder: Path) -> None:
    # Not mounted, say: a folder that is made there would be on the database's own disk.
    checkpoint = sealed()
    [outcome] = run("archive")
    assert (outcome.state, "is not there: make it once by hand" in outcome.error) == ("failed", True)
    assert not folder.exists()
    folder.mkdir()
    place = folder / str(Log.objects.get().id)
    place.write_text("a file where the log's folder is to be")
    [outcome] = run("archive", is_asked=True)
    assert (outcome.state, "was not written" in outcome.error) == ("failed", True)
    place.unlink()
    run("archive", is_asked=True)
    assert Publication.objects.get().size == checkpoint.size
