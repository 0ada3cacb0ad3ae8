"""
A directory that only grows: ``<folder>/<log id>/<size>.note``, one file for each checkpoint.

Nothing in it is ever overwritten, renamed or removed, so that the file system may forbid it too (``chattr +a``, a WORM
mount), and the notes reach the disk before they count as published.
"""

from __future__ import annotations

import os
from pathlib import Path

from auditkit_django.exceptions import PublicationRefusedError, PublishError
from auditkit_django.log.files import sync_folder
from auditkit_django.publishing.port import Receipt, SealedNote


class DirectoryPublisher:
    """Writes every checkpoint into ``folder``, which has to be there: where it is not, what is mounted there may be missing."""

    keeps_all = True
    interval_seconds = 0.0

    def __init__(self, *, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not self.folder.is_absolute():
            raise ValueError(f"folder: got {str(folder)!r}, wanted an absolute path")

    def publish(self, sealed: SealedNote) -> Receipt:
        """The file of ``sealed``, written, or there already."""
        place = self.folder / str(sealed.log_id)
        path = place / f"{sealed.size}.note"
        if not self.folder.is_dir():
            raise PublishError(
                f"directory: {self.folder} is not there: make it once by hand, or mount what belongs there"
            )
        try:
            if not place.is_dir():
                place.mkdir(mode=0o750, exist_ok=True)
                sync_folder(self.folder)
            _write_once(path, sealed.note.encode())
            sync_folder(place)
        except OSError as exc:
            raise PublishError(f"directory: {path.name} of {place} was not written: {exc.strerror}") from exc
        return Receipt(text=f"{sealed.log_id}/{sealed.size}.note")


def _write_once(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o440 | 0o200)
    with os.fdopen(descriptor, "r+b", buffering=0) as file:
        _lock(descriptor)
        standing = file.read(len(data) + 1) or b""
        if not data.startswith(standing):
            raise PublicationRefusedError(
                f"directory: {path} holds another note than the one that was sealed: one of the two histories is forged"
            )
        # What is there is the note, or its beginning, which a crash left; the rest is added.
        if rest := data[len(standing) :]:
            file.write(rest)
        os.fsync(descriptor)


def _lock(descriptor: int) -> None:
    try:
        import fcntl
    except ImportError:
        # Where files have no locks, the claim alone keeps two processes apart.
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
