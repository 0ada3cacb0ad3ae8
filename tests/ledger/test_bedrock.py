"""The floor below everything: the auditor's machine has Python and nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from auditkit_django.ledger.errors import AuditkitError, MalformedError, VerificationError, excerpt

PROGRAM = """
import importlib, pkgutil, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top != "auditkit_django" and top not in sys.stdlib_module_names:
            raise ImportError(f"{name} is not in the standard library")

sys.meta_path.insert(0, Blocker())
sys.path.insert(0, sys.argv[1])
import auditkit_django.ledger as ledger
names = [module.name for module in pkgutil.walk_packages(ledger.__path__, "auditkit_django.ledger.")]
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
others = {name for name in sys.modules if name.startswith("auditkit_django.")} - {*names, "auditkit_django.ledger"}
print(len(names), sorted(others))
"""


def test_the_ledger_imports_with_the_standard_library_alone_and_nothing_of_the_project_but_itself() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-I", "-c", PROGRAM, str(root)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    count, others = done.stdout.split(maxsplit=1)
    assert int(count) >= 7
    assert others.strip() == "[]"


def test_refused_data_and_failed_proofs_are_errors_of_one_tree_with_stable_codes() -> None:
    assert (AuditkitError.code, MalformedError.code, VerificationError.code) == (
        "auditkit",
        "malformed",
        "verification",
    )
    assert issubclass(MalformedError, (AuditkitError, ValueError))
    assert issubclass(VerificationError, AuditkitError)
    assert not issubclass(VerificationError, ValueError)


def test_a_message_shows_at_most_80_characters_of_what_was_refused() -> None:
    for got in ("x" * 10**6, b"\x00" * 10**6, list(range(10**4)), 10**5000, [10**5000], ValueError("y" * 500)):
        assert 0 < len(excerpt(got)) <= 80
    assert excerpt("short") == "'short'"
    assert excerpt(2**53) == "9007199254740992"
