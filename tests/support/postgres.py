"""
A throw-away PostgreSQL server for tests and benchmarks: a fresh cluster on a unix socket, gone at the end of the block.

The cluster, its socket and its log live in one new folder that only the server's user (and root) may enter; there is no
TCP port and no password. Started by root, the server runs as ``postgres`` or ``nobody``, since PostgreSQL refuses root.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from tests.support.binaries import PostgresFailed, PostgresNotFound, find_binaries, server_account, within_reach

__all__ = ["PostgresFailed", "PostgresNotFound", "Server", "find_binaries", "running"]

USER = "auditkit"
PORT = 5432  # Only names the socket; the folder is what keeps servers apart.
SOCKET_BYTES = 100  # Unix allows 103 (macOS) or 107 (Linux).
START_SECONDS = 60.0
ALWAYS = {"listen_addresses": "", "max_connections": "200", "timezone": "UTC", "log_timezone": "UTC"}
DURABLE = {"shared_buffers": "256MB"}
FAST = {"shared_buffers": "64MB", "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running server. ``host`` is the folder of its socket; ``bin_dir`` may be a copy that its user can read."""

    host: str
    bin_dir: Path
    data_dir: Path
    port: int = PORT
    user: str = USER
    keeper: subprocess.Popen[str] = field(repr=False)

    @property
    def pid(self) -> int:
        """Process id of the postmaster that was started last."""
        return int((self.data_dir / "postmaster.pid").read_text().split("\n", 1)[0])

    def settings(self, name: str = USER) -> dict[str, object]:
        """An entry of Django's ``DATABASES`` for the database ``name``."""
        where = {"HOST": self.host, "PORT": str(self.port), "USER": self.user, "PASSWORD": ""}
        return {"ENGINE": "django.db.backends.postgresql", "NAME": name, **where}

    def dsn(self, name: str = USER) -> str:
        """A connection string for psycopg and libpq."""
        return psycopg.conninfo.make_conninfo("", host=self.host, port=self.port, user=self.user, dbname=name)

    def kill(self) -> None:
        """
        SIGKILL the postmaster; its sessions end by themselves as soon as they notice.

        Unless ``durable``, this loses the last commits: with ``synchronous_commit=off`` they are not written yet.
        """
        self._tell("kill")

    def restart(self) -> None:
        """
        SIGKILL the postmaster if it runs, start it again and wait until it has recovered and answers.

        Raises:
            PostgresFailed: It ended, or did not answer in time.
        """
        self.kill()
        self._start()

    def _start(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        log = Path(self.host, "server.log")
        while time.monotonic() < deadline:
            known = log.stat().st_size if log.exists() else 0
            if self._answers(pid=self._tell("start"), deadline=deadline):
                return
            # Sessions of a killed postmaster hold its shared memory until they notice: then, and only then, try again.
            said = log.read_bytes()[known:].decode(errors="replace")
            if "shared memory block" not in said:
                raise PostgresFailed(f"PostgreSQL did not start:\n{said[-2000:]}")
            time.sleep(0.05)
        raise PostgresFailed(f"PostgreSQL did not start within {START_SECONDS:.0f} s: its old sessions live on")

    def _answers(self, *, pid: int, deadline: float) -> bool:
        """Whether the postmaster ``pid`` accepts a connection before it ends and before ``deadline``."""
        while time.monotonic() < deadline:
            try:
                psycopg.connect(self.dsn("postgres")).close()
            except psycopg.OperationalError:
                try:
                    os.kill(pid, 0)
                except ProcessLookupError:
                    return False
                time.sleep(0.02)
            else:
                return True
        return False

    def _tell(self, word: str) -> int:
        """Give the keeper an order; the postmaster's process id comes back once it is carried out."""
        assert self.keeper.stdin is not None and self.keeper.stdout is not None
        self.keeper.stdin.write(f"{word}\n")
        self.keeper.stdin.flush()
        answer = self.keeper.stdout.readline()
        if not answer:
            raise PostgresFailed("the keeper of the server has ended; its own output says why")
        return int(answer)


@contextmanager
def running(
    *,
    root: Path | None = None,
    durable: bool = False,
    settings: Mapping[str, str] | None = None,
    bin_dir: Path | None = None,
) -> Iterator[Server]:
    """
    A new server with an empty database ``auditkit``; it ends with the block, or with this process if that dies first.

    Its folder is made in ``root`` (default: the temporary folder). ``durable`` leaves fsync on, for benchmarks and for
    tests that crash the server. ``settings`` are added to the server's own, ``bin_dir`` saves the search.

    Raises:
        PostgresNotFound: There are no binaries.
        PostgresFailed: The server cannot be set up; the message says why.
    """
    programs = bin_dir or find_binaries()
    account = server_account()
    folder = Path(tempfile.mkdtemp(prefix="akpg-", dir=root)).resolve()
    options: dict[str, Any] = {"cwd": str(folder), "env": _environment(), "start_new_session": True}
    if account is not None:
        os.chown(folder, account.pw_uid, account.pw_gid)
        options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    try:
        _check(folder, others=account is not None)
        programs = within_reach(programs, folder=folder, account=account, options=options)
        _initialise(programs, folder, options)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    chosen = {**ALWAYS, **(DURABLE if durable else FAST), **(settings or {})}
    with _kept(programs, folder, options, chosen) as server:  # From here on the keeper removes the folder.
        server._start()
        with psycopg.connect(server.dsn("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {USER}")
        yield server


@contextmanager
def _kept(programs: Path, folder: Path, options: dict[str, Any], settings: Mapping[str, str]) -> Iterator[Server]:
    """A server that is not started yet, with its keeper (see ``postmaster.py``), which has ended after the block."""
    command = [str(programs / "postgres"), "-D", str(folder / "data"), "-k", str(folder), "-p", str(PORT)]
    command += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    script = str(Path(__file__).with_name("postmaster.py"))
    arguments = [str(os.getpid()), str(folder), json.dumps(command), json.dumps(options)]
    # A session of its own: Ctrl-C in the terminal is for the tests, which then end the server in order.
    keeper = subprocess.Popen(
        [sys.executable, "-I", script, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    with keeper:  # Leaving closes the keeper's input, its sign to clean up, and waits for its end.
        yield Server(host=str(folder), bin_dir=programs, data_dir=folder / "data", keeper=keeper)


def _environment() -> dict[str, str]:
    """Ours, without the variables that would move the server, and with messages in English."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**ours, "LC_ALL": "C"}


def _check(folder: Path, *, others: bool) -> None:
    """Refuse a folder whose socket could not be addressed, or, if ``others`` is set, that its owner could not reach."""
    closed = [parent for parent in folder.parents if not parent.stat().st_mode & stat.S_IXOTH]
    if others and closed:
        raise PostgresFailed(f"the server's user cannot pass {closed[-1]}: give a `root` or TMPDIR open to everybody")
    size = len(os.fsencode(folder / f".s.PGSQL.{PORT}"))
    if size >= SOCKET_BYTES:
        raise PostgresFailed(f"{folder} is too long for a unix socket ({size} bytes): give a shorter `root` or TMPDIR")


def _initialise(programs: Path, folder: Path, options: dict[str, Any]) -> None:
    """Make the cluster, with the locale C.UTF-8 or, where the system lacks it, C."""
    command = [str(programs / "initdb"), "-D", str(folder / "data"), *f"-U {USER} -A trust -E UTF8 --no-sync".split()]
    for locale in ("C.UTF-8", "C"):
        done = subprocess.run([*command, f"--locale={locale}"], capture_output=True, text=True, check=False, **options)
        if done.returncode == 0:
            return
        if "locale" not in done.stderr:
            break
    raise PostgresFailed(f"initdb failed:\n{done.stdout[-1000:]}{done.stderr[-1000:]}")
