"""
The keeper of one throw-away PostgreSQL: a program between the tests and the postmaster, whose parent it is.

It obeys words on its standard input, ``start`` and ``kill``, and answers each with the postmaster's process id. When
the input ends or the starter is gone, it shuts the server down and removes its folder. An orderly end and a starter
that was killed are thus one and the same way.

Why a process of its own: PR_SET_PDEATHSIG exists on Linux only, fires when the starting *thread* ends, and removes no
folder; ``atexit`` does not run on SIGKILL. As the postmaster's parent, the keeper can never signal an id that has gone
to a stranger.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

SHUTDOWN_SECONDS = 30.0
#: How often a dead postmaster is reaped, and the starter looked for: a fork of it may hold our input open.
GLANCE_SECONDS = 0.1


def keep(starter: int, folder: Path, command: list[str], options: dict[str, Any]) -> None:
    """Obey the words on standard input until it ends or the process ``starter`` is gone, then clean up."""
    server: subprocess.Popen[bytes] | None = None
    try:
        while os.getppid() == starter:
            if server is not None:
                server.poll()
            if not select.select([sys.stdin], [], [], GLANCE_SECONDS)[0]:
                continue
            word = sys.stdin.readline().strip()
            if word == "start":
                with (folder / "server.log").open("ab") as log:
                    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **options)
            elif word == "kill" and server is not None:
                server.kill()
                server.wait()
            else:
                return
            print(server.pid, flush=True)
    finally:
        _shut_down(server)
        _remove(folder)


def _shut_down(server: subprocess.Popen[bytes] | None) -> None:
    """Fast shutdown: sessions are ended and their transactions rolled back. SIGKILL if that takes too long."""
    if server is None:
        return
    server.send_signal(signal.SIGINT)
    try:
        server.wait(SHUTDOWN_SECONDS)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _remove(folder: Path) -> None:
    """Remove ``folder``; sessions of a killed postmaster may write for a moment longer, hence more than one try."""
    for _ in range(50):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        select.select([], [], [], GLANCE_SECONDS)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    keep(int(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), json.loads(sys.argv[4]))
