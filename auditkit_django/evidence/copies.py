"""
Copies of events for reading: a workbook (xlsx) and Parquet. They are not evidence, and say so.

Both are written in constant memory, have the columns of csv and need a library of their own, which comes with
an extra of the same name. Nothing is recorded here: who lets a copy out records that first.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import IO, Final, Self

from django.core.exceptions import ImproperlyConfigured

from auditkit_django.query.pages import ListedEvent

#: Stands in each copy, whatever else is said about it.
NOT_EVIDENCE: Final = "A copy for reading, not evidence"

_LIBRARIES: Final = {"xlsx": "xlsxwriter", "parquet": "pyarrow"}


def write_xlsx(events: Iterable[ListedEvent], file: IO[bytes], *, title: str, said: Mapping[str, str]) -> int:
    """
    Write a workbook of ``events`` to ``file``, which need not be seekable; the number of events.

    ``said`` is what its sheet About states, by label. The rows wait in temporary files, and ``file`` is written at the end:
    where ``events`` fail it stays empty.

    Raises:
        ImproperlyConfigured: XlsxWriter is not installed; no event was asked for.
        OSError: The file, or a temporary one, was not written.
    """
    with _extra("xlsx"):
        from auditkit_django.evidence import xlsx
    with _Sink(file) as sink:
        return xlsx.write(events, sink, title=title, said=said, warning=NOT_EVIDENCE)


def write_parquet(events: Iterable[ListedEvent], file: IO[bytes], *, said: Mapping[str, str]) -> int:
    """
    Write ``events`` to ``file`` as Parquet, row group by row group; the number of events.

    ``file`` need not be seekable. ``said`` is in the metadata that Parquet has, under ``auditkit``. Where ``events`` fail the
    file has no end and is no Parquet.

    Raises:
        ImproperlyConfigured: pyarrow is not installed; no event was asked for.
        OSError: The file was not written.
    """
    with _extra("parquet"):
        from auditkit_django.evidence import parquet
    with _Sink(file) as sink:
        return parquet.write(events, sink, said=said, warning=NOT_EVIDENCE)


def require(format: str) -> None:
    """
    Refuse a format whose library is missing, before anything is recorded of a copy that cannot be made.

    Raises:
        ImproperlyConfigured: It is not installed.
    """
    with _extra(format):
        import_module(_LIBRARIES[format])


@contextmanager
def _extra(name: str) -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as exc:
        if (exc.name or "").partition(".")[0] != _LIBRARIES[name]:
            raise
        raise ImproperlyConfigured(
            f'{name}: {_LIBRARIES[name]} is not installed, wanted: pip install "auditkit-django[{name}]"'
        ) from exc


class _Sink:
    """
    A file that takes nothing more after an error.

    Both libraries, when what they left unfinished is dropped, write the end that makes a file look whole.
    """

    closed = False

    def __init__(self, file: IO[bytes]) -> None:
        self._file: IO[bytes] | None = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_details: object) -> None:
        if kind is not None:
            self._file = None

    def write(self, data: bytes) -> int:
        if self._file is not None:
            self._file.write(data)
        return len(data)

    def flush(self) -> None:
        if self._file is not None:
            self._file.flush()
