"""Processes that die, fork and end: what becomes of their events."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.client.conftest import Make
from tests.client.servers import KEY, AuditServer, Said, says

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

ROOT = Path(__file__).parents[2]
#: Threads and fork() in one process: what this is about.
PYTHON = [sys.executable, "-W", "error", "-W", "ignore:This process:DeprecationWarning"]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(server: AuditServer) -> Run:
    """Run a script with a server in its environment."""

    def run(script: str, *arguments: str, python: list[str] = PYTHON) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*python, "-c", textwrap.dedent(script), *arguments],
            cwd=ROOT,
            env={**os.environ, "AUDITKIT_API_KEY": KEY, "AUDITKIT_BASE_URL": server.url},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_it_works_where_there_is_no_django(run: Run, server: AuditServer) -> None:
    done = run(
        """
        import sys

        class Blocked:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in ("django", "rest_framework", "asgiref", "cryptography", "rich", "psycopg"):
                    raise ImportError(f"{name} is not installed")

        sys.meta_path.insert(0, Blocked())
        import auditkit_django.client as client
        assert [name for name in sys.modules if name.startswith("auditkit_django.")] == ["auditkit_django.client"]
        assert "httpx" not in sys.modules
        for name in client.__all__:
            getattr(client, name)
        import auditkit_django.client.handler, auditkit_django.client.spool
        with client.AuditKit() as audit:
            audit.event("a.b")
        print(*{name for name in sys.modules if name.startswith("auditkit_django.")} - {"auditkit_django.client"})
        """
    )
    assert done.returncode == 0, done.stderr
    assert server.actions() == ["a.b"]
    assert all(name.startswith("auditkit_django.client.") for name in done.stdout.split())


def test_the_thread_that_sends_imports_nothing(run: Run, server: AuditServer, tmp_path: Path) -> None:
    # A fork in the middle of an import leaves its child with half a module.
    dated = Said(429, b"x", {"Retry-After": "Fri, 02 Jan 2026 03:04:35 GMT"})
    server.plays.extend([says(dated), says(Said(500, b"1", cut=True))])
    done = run(
        """
        import logging, sys
        from auditkit_django.client import AuditKit
        client = AuditKit(spool=sys.argv[1], pause=lambda seconds: None)
        logging.getLogger("auditkit_django.client").warning("so that what logs is there")
        before = set(sys.modules)
        client.event("a.b", metadata={"text": "x" * 5000})
        assert client.flush(10)
        print(*sorted(set(sys.modules) - before))
        """,
        str(tmp_path),
    )
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr
    assert server.actions() == ["a.b"]
    assert len(server.asked) == 3


def test_what_is_queued_is_sent_when_the_process_ends(run: Run, server: AuditServer) -> None:
    done = run(
        """
        from auditkit_django.client import AuditKit
        client = AuditKit(linger_seconds=60)
        for number in range(700):
            client.event("a.b")
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert len(server.log) == 700


@pytest.mark.parametrize("has_spool", [False, True], ids=["memory", "spool"])
def test_a_process_that_ends_while_the_server_is_away_says_what_was_not_sent(
    run: Run, server: AuditServer, make: Make, tmp_path: Path, has_spool: bool
) -> None:
    server.plays.extend([says(Said(503))] * 100)
    script = """
        import sys
        from auditkit_django.client import AuditKit
        client = AuditKit(exit_timeout_seconds=0.3, spool=sys.argv[1] or None)
        client.event("a.b")
        client.event("a.c")
        """
    done = run(script, str(tmp_path) if has_spool else "")
    assert done.returncode == 0
    assert "2 events were not sent before the client was closed (last: 503" in done.stderr
    assert ("they stay in the spool" if has_spool else "they are lost") in done.stderr
    assert "Traceback" not in done.stderr
    server.plays.clear()
    client = make(spool=tmp_path)
    assert client.flush(10)
    assert server.actions() == (["a.b", "a.c"] if has_spool else [])
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_sent_by_the_next(
    run: Run, server: AuditServer, make: Make, tmp_path: Path
) -> None:
    # The first batch is recorded, and its answer never seen.
    def record_and_kill(server: AuditServer, asked: Any) -> Said:
        os.kill(asked.body[0]["metadata"]["pid"], signal.SIGKILL)
        return server.record(asked)

    server.plays.append(record_and_kill)
    done = run(
        """
        import os, sys
        from auditkit_django.client import AuditKit
        client = AuditKit(spool=sys.argv[1], linger_seconds=60, batch_events=30)
        print(*[client.event("a.b", metadata={"pid": os.getpid()}) for number in range(10)], flush=True)
        client.flush()
        """,
        str(tmp_path),
    )
    assert done.returncode == -signal.SIGKILL
    keys = done.stdout.split()
    assert len(keys) == 10
    [path] = tmp_path.glob("*.spool")
    with path.open("ab") as file:
        file.write(b'{"action":"a.torn","idem')
    client = make(spool=tmp_path)
    client.event("a.mine", idempotency_key="mine")
    assert client.flush(10)
    assert sorted(server.log) == sorted([*keys, "mine"])
    assert (client.stats.sent, client.stats.repeated) == (1, 10)
    [kept] = map(json.loads, (tmp_path / "refused.jsonl").read_text().splitlines())
    assert kept["text"].startswith('{"action":"a.torn"')
    assert [path.name for path in tmp_path.iterdir()] == ["refused.jsonl"]


@pytest.mark.parametrize("has_spool", [False, True], ids=["memory", "spool"])
def test_a_fork_sends_its_own_and_leaves_the_parents_to_the_parent(
    run: Run, server: AuditServer, tmp_path: Path, has_spool: bool
) -> None:
    done = run(
        """
        import os, sys
        from auditkit_django.client import AuditKit
        client = AuditKit(linger_seconds=60, spool=sys.argv[1] or None)
        client.event("parent.before")
        children = []
        for number in range(3):
            pid = os.fork()
            if pid == 0:
                assert client.stats.queued == 0, client.stats
                client.event(f"child.{number}")
                assert client.close(10)
                os._exit(0)
            children.append(pid)
        client.event("parent.after")
        assert [os.waitpid(pid, 0)[1] for pid in children] == [0, 0, 0]
        assert client.stats.queued == 2, client.stats
        assert client.flush(10)
        assert client.stats.sent == 2, client.stats
        """,
        str(tmp_path) if has_spool else "",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(server.actions()) == ["child.0", "child.1", "child.2", "parent.after", "parent.before"]
    assert sum(server.posts()) == 5
    assert list(tmp_path.iterdir()) == []


def test_a_client_made_before_the_fork_and_used_after_it_flushes_at_the_end(run: Run, server: AuditServer) -> None:
    # As gunicorn does with preload_app.
    done = run(
        """
        import os, sys
        from auditkit_django.client import AuditKit
        client = AuditKit(linger_seconds=60)
        pid = os.fork()
        if pid == 0:
            client.event("worker")
            sys.exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert server.actions() == ["worker"]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_of_multiprocessing_flushes_at_its_end(
    run: Run, server: AuditServer, tmp_path: Path, method: str
) -> None:
    path = tmp_path / "host.py"
    path.write_text(
        textwrap.dedent(
            """
            import multiprocessing
            from auditkit_django.client import AuditKit

            client = AuditKit(linger_seconds=60)

            def work(number):
                client.event(f"work.{number}")

            if __name__ == "__main__":
                import sys
                client.event("parent")
                context = multiprocessing.get_context(sys.argv[1])
                children = [context.Process(target=work, args=(number,)) for number in range(2)]
                for child in children:
                    child.start()
                for child in children:
                    child.join()
                assert [child.exitcode for child in children] == [0, 0]
            """
        )
    )
    # Not -c: children that are spawned import the file anew.
    start = "import runpy, sys; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = run(start, str(path), method)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(server.actions()) == ["parent", "work.0", "work.1"]


def test_a_fork_waits_while_a_tls_context_is_made(run: Run, server: AuditServer) -> None:
    done = run(
        """
        import os, ssl, threading, time
        from auditkit_django.client import AuditKit

        # As OpenSSL does it: with a lock that a fork does not know of.
        lock, is_made, real = threading.Lock(), threading.Event(), ssl.create_default_context

        def create_default_context(*args, **options):
            with lock:
                is_made.set()
                time.sleep(0.2)
                return real(*args, **options)

        ssl.create_default_context = create_default_context
        client = AuditKit()
        client.event("parent")
        threading.Thread(target=client.flush).start()
        assert is_made.wait(10)
        pid = os.fork()
        if pid == 0:
            client.event("child")
            os._exit(0 if client.close(5) else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert client.close(10)
        """
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(server.actions()) == ["child", "parent"]


def test_forks_in_the_middle_of_traffic_lose_and_double_nothing(run: Run, server: AuditServer, tmp_path: Path) -> None:
    done = run(
        """
        import os, sys, threading
        from auditkit_django.client import AuditKit
        client = AuditKit(linger_seconds=0.01, batch_events=20, spool=sys.argv[1])

        def record():
            for number in range(300):
                client.event("parent")

        threads = [threading.Thread(target=record) for _ in range(2)]
        for thread in threads:
            thread.start()
        children = []
        for number in range(10):
            pid = os.fork()
            if pid == 0:
                client.event("child")
                os._exit(0 if client.close(20) else 1)
            children.append(pid)
        for thread in threads:
            thread.join()
        assert {os.waitpid(pid, 0)[1] for pid in children} == {0}
        assert client.close(20)
        """,
        str(tmp_path),
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert server.actions().count("parent") == 600
    assert server.actions().count("child") == 10
    assert list(tmp_path.iterdir()) == []
