"""
Events that wait on disk: a directory that the processes of a host share.

Each event is appended to a file of its process before ``event()`` returns and read from there by the sender, so that
memory holds no more than a batch. Files that a process left behind are taken over by another (:meth:`Spool.adopt`).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from auditkit_django.client.errors import SettingsError
from auditkit_django.client.queue import Line
from auditkit_django.client.segment import SUFFIX, Segment

logger = logging.getLogger(__name__)

REFUSED: Final = "refused.jsonl"
_SEGMENT_BYTES: Final = 8 * 1024 * 1024
#: Open files at a time; others that were left behind wait for the next look.
_MAX_OPEN: Final = 64


class Spool:
    """
    A store on disk, with at most ``max_bytes`` in files of this process and those it took over.

    Raises:
        SettingsError: The directory cannot be made or written to.
    """

    def __init__(self, folder: Path, *, max_bytes: int, fsync: bool) -> None:
        self._folder, self._max_bytes, self._fsync = folder, max_bytes, fsync
        self._segment_bytes = min(_SEGMENT_BYTES, max(1, max_bytes // 4))
        self._segments: deque[Segment] = deque()
        #: The last of the segments, where it takes more.
        self._current: Segment | None = None
        self._waiting = 0
        self._failure = ""
        self.waiting_bytes = 0
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise SettingsError(f"spool: got {folder}, wanted a directory that can be made ({exc.strerror})") from exc
        if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            raise SettingsError(f"spool: got {folder}, wanted a directory that this process may write to")

    def __len__(self) -> int:
        return self._waiting

    def put(self, events: Sequence[bytes]) -> int:
        size = sum(map(len, events)) + len(events)
        if self._files_bytes() + size > self._max_bytes:
            self._failure = f"{self._files_bytes()} bytes are on disk, wanted at most {self._max_bytes} with it"
            return 0
        try:
            self._writable().append(events, fsync=self._fsync)
        except OSError as exc:
            # A disk that is full or broken is a spool without room; what happens then is the caller's choice.
            if self._current is not None and self._current.is_torn:
                self._current = None
            self._failure = f"the spool {self._folder} cannot be written: {exc.strerror}"
            return 0
        self._waiting += len(events)
        self.waiting_bytes += size
        return size

    def _files_bytes(self) -> int:
        return sum(segment.size for segment in self._segments)

    def why_full(self) -> str:
        return self._failure

    def _writable(self) -> Segment:
        if self._current is None or self._current.size >= self._segment_bytes:
            self._current = Segment.create(self._folder)
            self._segments.append(self._current)
            if self._fsync:
                _fsync_folder(self._folder)
        return self._current

    def peek(self, *, max_events: int, max_bytes: int) -> list[Line]:
        # Without the lock: only who settles removes segments, and what is before a segment's size changes no more.
        for segment in list(self._segments):
            if not segment.is_done:
                return segment.read(max_events=max_events, max_bytes=max_bytes)
        return []

    def settle(self, lines: Sequence[Line]) -> None:
        size = sum(line.size for line in lines)
        # What a crash left has fewer lines than were counted where it has no line ends: the bytes are what counts.
        self.waiting_bytes -= size
        self._waiting = max(0, self._waiting - len(lines)) if self.waiting_bytes else 0
        segment = next(one for one in self._segments if not one.is_done)
        try:
            segment.settle(size)
        except OSError as exc:
            logger.warning("the spool %s cannot note what was sent: %s", self._folder, exc.strerror)
        self._tidy()

    def _tidy(self) -> None:
        """Remove the files at the front in which nothing waits."""
        while self._segments and self._segments[0].is_done:
            segment = self._segments.popleft()
            if segment is self._current:
                self._current = None
            try:
                segment.remove()
            except OSError as exc:
                logger.warning("the spool %s cannot remove %s: %s", self._folder, segment.path.name, exc.strerror)

    def keep_refused(self, line: Line, error: dict[str, Any]) -> None:
        kept = {"refused_at": datetime.now(UTC).isoformat(), "error": error, **_shown(line)}
        descriptor = os.open(self._folder / REFUSED, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            # Of all processes of the spool, and a line may be long.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            data = memoryview(json.dumps(kept, separators=(",", ":")).encode() + b"\n")
            while data:
                data = data[os.write(descriptor, data) :]
        finally:
            os.close(descriptor)

    def adopt(self, lock: AbstractContextManager[object]) -> int:
        found = 0
        for path in self._left_behind():
            try:
                segment = Segment.adopted(path)
            except OSError as exc:
                logger.warning("the spool %s has %s, which cannot be read: %s", self._folder, path.name, exc.strerror)
                continue
            if segment is not None:
                count = segment.count()
                with lock:
                    found += self._take_over(segment, count)
            if len(self._segments) >= _MAX_OPEN:
                break
        return found

    def _left_behind(self) -> list[Path]:
        for stray in self._folder.glob("*.done"):
            if not stray.with_suffix(SUFFIX).exists():
                stray.unlink(missing_ok=True)
        # The own ones are among them, and locked.
        return sorted(self._folder.glob(f"*{SUFFIX}"))

    def _take_over(self, segment: Segment, count: int) -> int:
        # Behind all that was taken before, and before all that is taken later: a flush counts on this order.
        self._current = None
        self._segments.append(segment)
        size = segment.size - segment.done
        self._waiting += count
        self.waiting_bytes += size
        self._tidy()
        return size

    def whereabouts(self) -> str:
        return f"they stay in the spool {self._folder} for the next process"

    def close(self) -> None:
        for segment in self._segments:
            segment.close()
        self._segments.clear()
        self._current = None


def _shown(line: Line) -> dict[str, Any]:
    if line.is_readable:
        return {"event": json.loads(line.data)}
    return {"text": line.data.decode("utf-8", "replace")}


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
