"""A sealed log, and the tools; where one of them is not installed its tests are skipped, loudly, and fail in CI."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from auditkit_django.log.keys import SecretSigner
from auditkit_django.log.seal import seal
from tests.interop.cases import Case, dumped, loaded
from tests.log.attack_table import grow

if TYPE_CHECKING:
    from pytest_django.fixtures import SettingsWrapper

ROOT = Path(__file__).resolve().parents[2]
#: Where Debian's packages put the sources of golang.org/x/mod.
GOPATH = Path("/usr/share/gocode")
#: What the log of these tests has at each of its seals: less than a tile, a tile and one more, more than two.
SIZES = (2, 3, 65, 257, 300, 643)

#: Ask one of the tools: its verdict on each case.
Asked = Callable[[Sequence[Case]], list[bool]]


def _absent(reason: str) -> NoReturn:
    (pytest.fail if os.environ.get("AUDITKIT_REQUIRE_INTEROP") else pytest.skip)(reason)
    raise AssertionError


@pytest.fixture(scope="session")
def go_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """main.go, built."""
    if not shutil.which("go") or not (GOPATH / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        _absent("Go's verifier is absent: apt-get install --no-install-recommends golang-go golang-golang-x-mod-dev")
    folder = tmp_path_factory.mktemp("go")
    environment = {**os.environ, "GO111MODULE": "off", "GOPATH": str(GOPATH), "GOCACHE": str(folder / "cache")}
    command = ["go", "build", "-o", str(folder / "client"), str(Path(__file__).with_name("main.go"))]
    subprocess.run(command, env=environment, check=True, timeout=300)
    return folder / "client"


@pytest.fixture
def go(go_client: Path) -> Asked:
    """Go's ``sumdb/note`` and ``sumdb/tlog``."""

    def ask(cases: Sequence[Case]) -> list[bool]:
        done = subprocess.run([go_client], input=dumped(cases), capture_output=True, text=True, check=True, timeout=300)
        verdicts = json.loads(done.stdout)
        assert len(verdicts) == len(cases)
        return [verdict["ok"] for verdict in verdicts]

    return ask


@pytest.fixture
def aics_tlog(tmp_path: Path) -> Asked:
    """The commands of the package ``aics-tlog``, each case a call of its own in one process."""
    if importlib.util.find_spec("aics_tlog") is None:
        _absent("aics-tlog is absent: tests/interop/requirements.txt says how to install it")

    def ask(cases: Sequence[Case]) -> list[bool]:
        command = [sys.executable, str(Path(__file__).with_name("ask_aics_tlog.py")), str(tmp_path)]
        done = subprocess.run(command, input=dumped(cases), capture_output=True, text=True, check=False, timeout=300)
        assert done.returncode == 0, done.stderr[-2000:]
        verdicts = json.loads(done.stdout)
        assert len(verdicts) == len(cases)
        return list(verdicts)

    return ask


@pytest.fixture
def sealed_log(db: None, tmp_path: Path, settings: SettingsWrapper) -> str:
    """The tenant of a log of 643 entries that was sealed at each of ``SIZES``."""
    signer = SecretSigner(bytes(range(32)))
    settings.AUDITKIT = {**settings.AUDITKIT, "SIGNER": signer, "SEAL_GUARD_DIR": str(tmp_path / "signed")}
    # The first entry is the opening's.
    for size, before in zip(SIZES, (1, *SIZES), strict=False):
        grow(size - before, "acme")
        row = seal("acme")
        assert row is not None
        assert row.size == size
    return "acme"


@pytest.fixture(scope="session")
def demo_cases(tmp_path_factory: pytest.TempPathFactory) -> Sequence[Case]:
    """The cases of every log of the example project's demo."""
    folder = tmp_path_factory.mktemp("demo")
    database = {"DJANGO_SETTINGS_MODULE": "example_project.settings", "NORTHWIND_DATABASE": str(folder / "db.sqlite3")}
    environment = {**os.environ, **database, "NO_COLOR": "1"}

    def run(*command: str) -> str:
        done = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout

    run("manage.py", "demo", "--no-serve")
    return loaded(run("-m", "tests.interop.cases"))
