"""A scratch database and the processes of ``crowd.py`` that work on it; ``environment`` is for all of them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.support.postgres import Server

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 30.0


@dataclass(slots=True, kw_only=True)
class Scene:
    """``name``: of the database, or the path of its file. ``server`` is None on SQLite."""

    name: str
    server: Server | None
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    outputs: list[Path] = field(default_factory=list)

    def run(self, role: str, *arguments: str, code: int = 0, module: str = "tests.log.crowd") -> str:
        """Run one role to its end, with exit code ``code``; what it printed. Those that do much get more patience."""
        command = [sys.executable, "-m", module, role, *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=20 * PATIENCE_SECONDS if role in ("fill", "command", "count") else PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == code, (done.returncode, done.stdout[-3000:], done.stderr[-3000:])
        return done.stdout

    def start(
        self, role: str, *arguments: str, module: str = "tests.log.crowd", **environment: str
    ) -> subprocess.Popen[bytes]:
        """Start one role (or another module, whose first argument it is); it prints into a file of its own."""
        output = self.folder / f"{role}-{len(self.processes)}.out"
        command = [sys.executable, "-m", module, role, *arguments]
        with output.open("wb") as out, output.with_suffix(".err").open("wb") as err:
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**self._environment(), **environment},
                stdout=out,
                stderr=err,
                # A group of its own: whoever has children is killed with them.
                start_new_session=True,
            )
        self.processes.append(process)
        self.outputs.append(output)
        return process

    def printed(self, process: subprocess.Popen[bytes]) -> str:
        """What ``process`` has printed so far."""
        return self.outputs[self.processes.index(process)].read_text()

    def errors(self, process: subprocess.Popen[bytes]) -> str:
        """The end of what ``process`` has complained of."""
        return self.outputs[self.processes.index(process)].with_suffix(".err").read_text()[-3000:]

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        """SIGTERM, and the exit code."""
        process.terminate()
        return process.wait(PATIENCE_SECONDS)

    def end(self) -> None:
        """Kill what is left."""
        for process in self.processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def acknowledged(self) -> list[str]:
        """Ids of all events whose commit a writer has seen."""
        writers = [output for output in self.outputs if output.name.startswith("write")]
        # Of a killed writer the last line may be cut short; it was never a whole acknowledgement.
        return [line for output in writers for line in output.read_text().splitlines() if len(line) == 36]

    def wait_for(self, what: Any, why: str) -> None:
        """Wait until ``what()`` holds."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not what():
            assert time.monotonic() < deadline, why
            for process, output in zip(self.processes, self.outputs, strict=True):
                assert not (process.poll() or 0) > 0, output.with_suffix(".err").read_text()[-3000:]
            time.sleep(0.02)

    def check(self) -> dict[str, Any]:
        """Nothing is lost, doubled or out of sequence, nothing waits, and every log is VALID; the whole report."""
        found: dict[str, Any] = json.loads(self.run("report"))
        seqs: dict[str, list[int]] = {}
        for tenant, seq, _event in found["entries"]:
            seqs.setdefault(tenant, []).append(seq)
        assert {tenant: list(range(len(taken))) for tenant, taken in seqs.items()} == seqs
        logged = [event for _tenant, _seq, event in found["entries"]]
        assert len(logged) == len(set(logged))
        acknowledged = self.acknowledged()
        assert len(acknowledged) == len(set(acknowledged))
        assert set(acknowledged) <= set(logged), "an acknowledged event was lost"
        assert set(found["acts"]) <= set(logged)
        assert sorted(found["acts"]) == sorted(found["organizations"]), "an event without its change, or the reverse"
        assert found["pending"] == 0
        assert set(found["verdicts"].values()) <= {"VALID"}, found["verdicts"]
        return found

    def _environment(self) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith(("AUDITKIT_", "CROWD_"))}
        ours |= {"DJANGO_SETTINGS_MODULE": "tests.settings", "CROWD_NAME": self.name, **self.environment}
        if self.server is None:
            return {**ours, "CROWD_VENDOR": "sqlite"}
        return {
            **ours,
            "CROWD_VENDOR": "postgresql",
            "CROWD_HOST": self.server.host,
            "CROWD_PORT": str(self.server.port),
        }
