"""A gunicorn with one worker that may be killed and started again on the same port."""

from __future__ import annotations

import os
import signal
import socket
import time
import urllib.request
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import subprocess

    from tests.log.scene import Scene

PATIENCE_SECONDS = 60.0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@dataclass(slots=True)
class Gunicorn:
    """``chaos``: see ``tests.api.serving``."""

    scene: Scene
    chaos: float = 0.0
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.port}/api"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.process = self.scene.start(
            "tests.api.serving:make_application()",
            *("--bind", f"127.0.0.1:{self.port}", "--workers", "1", "--log-level", "warning"),
            module="gunicorn",
            CHAOS=str(self.chaos),
        )
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                with urllib.request.urlopen(f"{self.url}/v1/health", timeout=5):
                    return
            except OSError as exc:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(self.scene.errors(self.process)) from exc
                time.sleep(0.05)

    def kill(self) -> None:
        """SIGKILL to master and worker at once, as a machine that goes down."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
