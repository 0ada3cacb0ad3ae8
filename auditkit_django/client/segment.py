"""
One file of a spool: events as JSON, one a line, appended by one process.

``<name>.spool`` has the events, ``<name>.done`` how many of its bytes were settled, in decimal. The file is locked
(``flock``) as long as whoever appends to it or sends it lives: one that can be locked was left behind.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from auditkit_django.client.queue import Line
from auditkit_django.client.settings import MAX_EVENT_BYTES

SUFFIX = ".spool"
_CHUNK = 1024 * 1024


class Segment:
    """An open and locked file; made by :meth:`create` and :meth:`adopted`. Offsets and sizes are bytes."""

    def __init__(self, path: Path, descriptor: int, *, size: int = 0, done: int = 0, is_own: bool) -> None:
        self.path, self._descriptor, self._is_own = path, descriptor, is_own
        self.size, self.done = size, done
        #: Whether half a line stands at its end, which nothing may follow.
        self.is_torn = False

    @classmethod
    def create(cls, folder: Path) -> Self:
        """A new file of this process. Raises OSError."""
        while True:
            # Names sort by age.
            path = folder / f"{int(time.time())}-{os.getpid()}-{secrets.token_hex(4)}{SUFFIX}"
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
            # Between the two somebody may have taken it for a file left behind, and removed it.
            if _is_locked(descriptor, path):
                return cls(path, descriptor, is_own=True)

    @classmethod
    def adopted(cls, path: Path) -> Self | None:
        """A file that was left behind; None where its process lives, or it is gone. Raises OSError."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return None
        if not _is_locked(descriptor, path):
            return None
        size = os.fstat(descriptor).st_size
        return cls(path, descriptor, size=size, done=_done_of(path, size), is_own=False)

    def append(self, events: Sequence[bytes], *, fsync: bool) -> None:
        """
        Write ``events``, all or none.

        Raises:
            OSError: They could not be written; the file is as it was.
        """
        data = memoryview(b"\n".join((*events, b"")))
        written = 0
        try:
            while written < len(data):
                written += os.write(self._descriptor, data[written:])
            if fsync:
                os.fsync(self._descriptor)
        except OSError:
            self.is_torn = True
            os.ftruncate(self._descriptor, self.size)
            self.is_torn = False
            raise
        self.size += len(data)

    def count(self) -> int:
        """The lines from ``done`` on, one that was cut off included."""
        found, at, last = 0, self.done, b"\n"
        while chunk := os.pread(self._descriptor, min(_CHUNK, self.size - at), at):
            found, at, last = found + chunk.count(b"\n"), at + len(chunk), chunk[-1:]
        return found + (last != b"\n")

    def read(self, *, max_events: int, max_bytes: int) -> list[Line]:
        """The next lines from ``done`` on; at least one where there is one."""
        end = self.size
        chunk = os.pread(self._descriptor, min(max(max_bytes, MAX_EVENT_BYTES + 1), end - self.done), self.done)
        is_last = self.done + len(chunk) >= end
        found: list[Line] = []
        at = 0
        while at < len(chunk) and len(found) < max_events:
            newline = chunk.find(b"\n", at)
            stop = len(chunk) if newline < 0 else newline + 1
            if found and (stop > max_bytes or (newline < 0 and not is_last)):
                break
            found.append(self._line(chunk[at : stop if newline < 0 else newline], stop - at))
            at = stop
        # Somebody cut the file: what is missing counts as one line that nobody can read.
        return found or [Line(b"", self.size - self.done, is_readable=False)]

    def _line(self, data: bytes, size: int) -> Line:
        # Of the own files it is known; in others a crash may have left half a line, or a block of zeros.
        return Line(data, size, is_readable=self._is_own or _is_event(data))

    def settle(self, size: int) -> None:
        """The next ``size`` bytes are done with. Raises OSError; they may then be read again by a later process."""
        self.done += size
        if self.done < self.size:
            descriptor = os.open(self.path.with_suffix(".done"), os.O_WRONLY | os.O_CREAT, 0o600)
            try:
                # Of one width, so that it is written over in place.
                os.pwrite(descriptor, b"%020d\n" % self.done, 0)
            finally:
                os.close(descriptor)

    @property
    def is_done(self) -> bool:
        """Whether everything in it was settled."""
        return self.done >= self.size

    def remove(self) -> None:
        """Delete the file and let go of it. Raises OSError."""
        try:
            # In this order: without the other a file would be sent again from its beginning, without this one nothing.
            self.path.unlink(missing_ok=True)
            self.path.with_suffix(".done").unlink(missing_ok=True)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file, which stays: whoever locks it next sends what is left."""
        os.close(self._descriptor)


def _is_locked(descriptor: int, path: Path) -> bool:
    """Lock the file; False, and it is closed, where somebody has it, or had it and removed it. Raises OSError."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        named, opened = path.stat(), os.fstat(descriptor)
        is_it = (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)
    except (BlockingIOError, FileNotFoundError):
        is_it = False
    except OSError:
        os.close(descriptor)
        raise
    if not is_it:
        os.close(descriptor)
    return is_it


def _done_of(path: Path, size: int) -> int:
    try:
        done = int(path.with_suffix(".done").read_bytes())
    except (FileNotFoundError, ValueError):
        done = 0
    # What cannot be is sent from the beginning: idempotency keys make it safe.
    return done if 0 <= done <= size else 0


def _is_event(data: bytes) -> bool:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "action" in value and "idempotency_key" in value
