"""Files that are there whole or not at all, and stay there after a power cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from auditkit_django.exceptions import SealError


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """
    A file that takes the name ``path`` when the block ends, all of it on the disk, and leaves nothing where it raises. The
    name itself reaches the disk by :func:`sync_folder`.
    """
    beside = path.with_name(f"{path.name}.new")
    try:
        with beside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Have the names in ``folder`` reach the disk: after a power cut a file is there by its name."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_alone(descriptor: int, *, what: str) -> None:
    """
    Wait for the lock on an open file or folder, which ends when it is closed.

    Raises:
        SealError: The platform has no locks on files (``fcntl``); ``what`` names who asks.
    """
    try:
        import fcntl
    except ImportError as exc:
        raise SealError(f"{what}: got a platform without fcntl, wanted one with locks on files") from exc
    fcntl.flock(descriptor, fcntl.LOCK_EX)
