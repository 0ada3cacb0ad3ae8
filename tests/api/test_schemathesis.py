"""A stranger reads the OpenAPI document and asks whatever it allows, and much that it does not: no answer is undocumented."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from auditkit_django.log.keys import create_key_file
from tests.api.server import Gunicorn

if TYPE_CHECKING:
    from tests.log.scene import Scene

pytestmark = [pytest.mark.processes, pytest.mark.xdist_group("processes")]

CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance,ignored_auth"
#: Of each operation: the run stays within a minute.
EXAMPLES = os.environ.get("AUDITKIT_SCHEMATHESIS_EXAMPLES", "25")


def test_no_server_error_and_no_undocumented_answer(scene: Scene) -> None:
    scene.environment |= {"CROWD_KEY": str(scene.folder / "key"), "CROWD_APPEND_BATCH": "1000"}
    create_key_file(scene.folder / "key")
    key = scene.run("key", module="tests.api.serving").strip()
    scene.run("fill", module="tests.api.serving")
    server = Gunicorn(scene)
    server.start()
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", f"{server.url}/v1/openapi.json"),
            *("--header", f"Authorization: Bearer {key}", "--checks", CHECKS, "--max-examples", EXAMPLES),
            *(
                "--seed",
                "1",
                "--mode",
                "all",
                "--phases",
                "examples,coverage,fuzzing",
                "--suppress-health-check",
                "all",
            ),
            "--no-color",
        ],
        cwd=scene.folder,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-12_000:] + done.stderr[-3000:]
    assert key not in done.stdout
