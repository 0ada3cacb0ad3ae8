"""
``python -m tests``: the whole suite on SQLite and on a real PostgreSQL.

``python -m tests sqlite`` or ``postgresql`` runs one of them; further arguments go to pytest. The packs are a suite of
their own (``tests/packs``), with every package installed that a pack is for.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

DATABASES = ("sqlite", "postgresql")
SUITES = (
    ("", "tests.settings", ("--ignore=tests/packs",)),
    (", packs", "tests.packs.settings", ("tests/packs",)),
)


def main(arguments: list[str]) -> int:
    """Run pytest once per database; the worst exit code."""
    chosen = [name for name in DATABASES if name in arguments] or list(DATABASES)
    rest = [argument for argument in arguments if argument not in DATABASES]
    if not any(argument.startswith("-n") for argument in rest):
        rest = ["-n", "2", "--dist", "loadgroup", *rest]
    worst = 0
    for name in chosen:
        for suite, settings, places in SUITES:
            print(f"== {name}{suite} ==", flush=True)
            environment = {**os.environ, "AUDITKIT_TEST_DB": name, "DJANGO_SETTINGS_MODULE": settings}
            command = [sys.executable, "-X", "dev", "-m", "pytest", *places, *rest]
            run = subprocess.run(command, cwd=Path(__file__).parents[1], env=environment, check=False)
            worst = max(worst, run.returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
