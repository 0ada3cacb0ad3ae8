"""The floors of the house: a module imports only what stands below it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.processes

ROOT = Path(__file__).parents[1]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def imported_by(statement: str) -> set[str]:
    """The packages, by first name, that a fresh interpreter has loaded after ``statement``."""
    done = run("-c", f"import sys; {statement}; print(*{{name.partition('.')[0] for name in sys.modules}})")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.skipif(
    importlib.util.find_spec("importlinter") is None,
    reason='import-linter comes with the dev extra: pip install -e ".[dev]"',
)
def test_every_module_imports_only_lower_floors() -> None:
    # A cache of the import graph shared with another run may be half-written.
    done = run("-c", "from importlinter.cli import lint_imports_command as run; run()", "--no-logo", "--no-cache")
    assert done.returncode == 0, f"a contract of pyproject.toml is broken:\n{done.stdout}{done.stderr}"


def test_importing_the_package_imports_nothing() -> None:
    assert "django" not in imported_by("import auditkit_django")
    done = run(
        "-c", "import sys, auditkit_django; print(*(n for n in sys.modules if n.startswith('auditkit_django.')))"
    )
    assert done.stdout.split() == []


def test_the_public_names_are_there_without_being_loaded() -> None:
    done = run("-c", "import sys, auditkit_django; print(*dir(auditkit_django)); assert 'django' not in sys.modules")
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["__version__", "audited", "auditlog", "track"]


@pytest.mark.parametrize("module", ["entry", "disclosure", "merkle", "ranges", "proofs"])
def test_the_ledger_imports_without_django(module: str) -> None:
    assert not imported_by(f"import auditkit_django.ledger.{module}") & {"django", "rich", "psycopg", "rest_framework"}


def test_every_module_of_the_package_has_a_docstring() -> None:
    import ast

    without = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "auditkit_django").rglob("*.py"))
        if path.read_text().strip()
        and "migrations" not in path.parts
        and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert without == []
