"""
The verifier of evidence as one file of Python that needs nothing else: for auditors, who install nothing of ours.

    python -m auditkit_django.ledger.standalone verify.py

It holds the sources of the modules that verification needs, word for word, each under its name, and imports them from there: what
an auditor reads in it is what is tested here. It is made when it is asked for, and the same sources make the same file.
"""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator, Sequence
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from importlib.util import resolve_name
from pathlib import Path
from typing import Final

_ROOT: Final = "auditkit_django"
_LEDGER: Final = f"{_ROOT}.ledger"
_MAIN: Final = f"{_LEDGER}.__main__"

_HEAD: Final = '''#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""
Verify evidence of an audit log: auditkit-django {version}, as one file.

    python -I verify.py FILE --key "VERIFIER KEY" [--since NOTE] [--json]

FILE is a bundle (zip), csv, json or jsonl. The verifier key is one line that the operator of the log gave you earlier, by another
way than FILE. Take this file, too, from somewhere else than what it is to verify: whoever makes evidence could make a verifier
to go with it. Exit codes: 0 VALID, 1 VALID_WITH_GAPS, 2 INVALID, 3 INCOMPLETE.

Where auditkit-django {version} is installed, `python -m auditkit_django.ledger.standalone FILE` makes this file, the same in
every byte, and prints its SHA-256. This file prints none of itself: that would prove nothing.

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
        return compile("\n" * line + source, main.__code__.co_filename, "exec", dont_inherit=True)


sys.meta_path.insert(0, _Sources())


def main(arguments=None):
    """Verify what the arguments name, with `verify` in front of them or not; the exit code."""
    from auditkit_django.ledger.__main__ import main as run

    # For processes that this one starts: they would look for modules where this is run.
    os.environ["PYTHONSAFEPATH"] = "1"
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    prog = sys.argv[0].replace("\\", "/").rpartition("/")[2]
    return run(arguments if arguments[:1] == ["verify"] else ["verify", *arguments], prog=prog)


if __name__ == "__main__":
    sys.exit(main())
'''


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file and print its SHA-256, as ``sha256sum`` does."""
    parser = argparse.ArgumentParser(
        prog=f"python -m {_LEDGER}.standalone", description="Make the one file that verifies."
    )
    parser.add_argument("file", type=Path, help="where to write it, such as verify.py")
    path = parser.parse_args(arguments).file
    data = text().encode()
    path.write_bytes(data)
    print(f"{sha256(data).hexdigest()}  {path}")
    return 0


def text(version: str | None = None) -> str:
    """
    The source of the file; ``version`` is that of this package, which is what is said where none is given.

    Raises:
        ValueError: A module cannot go in: it is not of the ledger, takes a name of the package itself, or has ''' in it.
    """
    found = _HEAD.format(version=version or package_version()) + _module(_ROOT, f"{_ROOT}/__init__.py", "", after=0)
    for name in sorted(_needed(_MAIN)):
        found += _module(name, *_source(name), after=found.count("\n"))
    return found + _TAIL


def package_version() -> str:
    """That of the sources, read from them: another may be installed, and imported."""
    for node in ast.parse(_package().joinpath("__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__version__":
            return str(ast.literal_eval(node.value))
    raise ValueError(f"{_ROOT}/__init__.py has no __version__")


def _needed(name: str) -> set[str]:
    """The modules of the ledger that ``name`` imports, itself and their packages among them."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        # The package itself is empty in the file: its names are those of the facade.
        if one in found or one == _ROOT:
            continue
        if not f"{one}.".startswith(f"{_LEDGER}."):
            raise ValueError(f"{one} is imported: the verifier is made of modules of {_LEDGER}")
        found.add(one)
        waiting += [one.rpartition(".")[0], *_imported(one)]
    return found


def _imported(name: str) -> Iterator[str]:
    """The modules of the package that a module imports."""
    place, source = _source(name)
    within = name if place.endswith("/__init__.py") else name.rpartition(".")[0]
    for node in _run(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            module = resolve_name("." * node.level + (node.module or ""), within)
            if _is_ours(module):
                yield module
                yield from _submodules(module, [alias.name for alias in node.names])


def _submodules(module: str, names: Sequence[str]) -> Iterator[str]:
    """Those of the names imported from ``module`` that are modules."""
    for name in names:
        if _find(inner := f"{module}.{name}") is not None:
            yield inner
        elif module == _ROOT:
            raise ValueError(f"{name!r} of {_ROOT} is imported, which is empty in the verifier")


def _run(node: ast.AST) -> Iterator[ast.AST]:
    """The node and all within it, without what is there for types only."""
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            for other in child.orelse:
                yield from _run(other)
        else:
            yield from _run(child)


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] == _ROOT


def _source(name: str) -> tuple[str, str]:
    """The place of a module, and its source."""
    found = _find(name)
    if found is None:
        raise ValueError(f"{name} is imported, and is no module")
    place, file = found
    return place, file.read_text(encoding="utf-8")


def _find(name: str) -> tuple[str, Traversable] | None:
    """The place of a module and its file, if it is one."""
    inside = name.removeprefix(f"{_ROOT}.").replace(".", "/")
    for place in (f"{inside}.py", f"{inside}/__init__.py"):
        file = _package().joinpath(*place.split("/"))
        if file.is_file():
            return f"{_ROOT}/{place}", file
    return None


def _package() -> Traversable:
    """The folder of the package. This module may be loaded by its path, or be in a zip."""
    here = Path(__file__)
    return here.parents[1] if here.is_file() else files(_ROOT)


def _module(name: str, place: str, source: str, *, after: int) -> str:
    """The part for one module, which comes ``after`` so many lines."""
    if "'''" in source or source.endswith(("'", "\\")):
        raise ValueError(f"{name}: its source has ''' in it, which ends the text that holds it")
    return f"\n# ==== {place}\nSOURCES[{name!r}] = ({place!r}, {after + 2}, r'''{source}''')\n"


if __name__ == "__main__":
    sys.exit(main())
