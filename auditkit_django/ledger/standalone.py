"""
The verifier of evidence as one file of Python that needs nothing else: for auditors, who install nothing of ours.

It holds the sources of the modules that verification needs, word for word, each under its name, and imports them from there: what
an auditor reads in it is what is tested here. It is made when it is asked for, and the same sources make the same file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_LEDGER: Final = "auditkit_django.ledger"
_MAIN: Final = f"{_LEDGER}.__main__"
_FOLDER: Final = Path(__file__).parent

_HEAD: Final = '''#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Verify evidence of an audit log: auditkit-django {version}, as one file.

    python -I verify.py FILE --key "VERIFIER KEY" [--since NOTE] [--json]

FILE is a bundle (zip), csv, json or jsonl. The verifier key is one line that the operator of the log gave you earlier, by another
way than FILE. Take this file, too, from somewhere else than what it is to verify: whoever makes evidence could make a verifier
to go with it. Exit codes: 0 VALID, 1 VALID_WITH_GAPS, 2 INVALID, 3 INCOMPLETE.

It needs Python 3.11 or newer and its standard library. Where the package `cryptography` is installed it checks the signatures,
else this file does. Nothing is imported from the folder of this file, and nothing of an auditkit-django that is installed. It is
to be run, and not to be imported by other programs. Below are the modules that verification is made of, word for word; the format
that they read is documented in docs/evidence.md of the project.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit("Python 3.11 or newer is needed, this is " + sys.version.partition(" ")[0])
if __name__ == "__main__" and not sys.flags.safe_path:
    # The folder of this file, where evidence may lie: a `cryptography` beside it would find every signature good.
    del sys.path[0]
if getattr(sys.modules.get("auditkit_django"), "__file__", None):
    raise ImportError("auditkit_django is imported already: the verifier is to be run in a process of its own")

import importlib.abc
import importlib.util
import os

SOURCES = {{}}
'''

_TAIL: Final = r'''

class _Sources(importlib.abc.InspectLoader, importlib.abc.MetaPathFinder):
    """Imports the modules above, and no others of that package."""

    def find_spec(self, name, path=None, target=None):
        if name in SOURCES:
            return importlib.util.spec_from_loader(name, self, is_package=self.is_package(name))
        if name.partition(".")[0] == "auditkit_django":
            raise ModuleNotFoundError(f"{name} is not in the verifier", name=name)
        return None

    def is_package(self, name):
        return SOURCES[name][0].endswith("__init__.py")

    def get_source(self, name):
        return SOURCES[name][2]

    def get_code(self, name):
        _place, line, source = SOURCES[name]
        # At its own lines of this file, so that a traceback shows them.
        return compile("\n" * line + source, __file__, "exec", dont_inherit=True)


sys.meta_path.insert(0, _Sources())


def main():
    """Verify what the arguments name; the exit code."""
    from auditkit_django.ledger.__main__ import main as run

    # For processes that this one starts: they would look for modules where this is run.
    os.environ["PYTHONSAFEPATH"] = "1"
    arguments = sys.argv[1:]
    return run(arguments if arguments[:1] == ["verify"] else ["verify", *arguments], prog="verify.py")


if __name__ == "__main__":
    sys.exit(main())
'''


def text(version: str) -> str:
    """The source of the file; ``version`` is that of this package."""
    found = _HEAD.format(version=version) + _module("auditkit_django", "auditkit_django/__init__.py", "", after=0)
    for name in sorted(_needed(_MAIN)):
        found += _module(name, *_source(name), after=found.count("\n"))
    return found + _TAIL


def _needed(name: str) -> set[str]:
    """The modules of the ledger that ``name`` imports, itself and their packages among them."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one in found:
            continue
        found.add(one)
        waiting += [one.rpartition(".")[0], *_imported(one)] if one != _LEDGER else []
    return found


def _imported(name: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(_source(name)[1])):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(_LEDGER):
            yield str(node.module)
            # A name that is imported from a package may be one of its modules.
            yield from (one for alias in node.names if _path(one := f"{node.module}.{alias.name}").is_file())


def _source(name: str) -> tuple[str, str]:
    """The place of a module, and its source."""
    path = _path(name)
    path = path if path.is_file() else path.with_suffix("") / "__init__.py"
    return f"auditkit_django/ledger/{path.relative_to(_FOLDER).as_posix()}", path.read_text(encoding="utf-8")


def _path(name: str) -> Path:
    inside = name.removeprefix(_LEDGER).lstrip(".").replace(".", "/")
    return _FOLDER / f"{inside}.py" if inside else _FOLDER / "__init__.py"


def _module(name: str, place: str, source: str, *, after: int) -> str:
    """The part for one module, which comes ``after`` so many lines."""
    if "'''" in source or source.endswith(("'", "\\")):
        raise ValueError(f"{name}: its source has ''' in it, which ends the text that holds it")
    return f"\n# ==== {place}\nSOURCES[{name!r}] = ({place!r}, {after + 2}, r'''{source}''')\n"
